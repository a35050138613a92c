"""Answers of the API as resources read them, the targets they belong to, and the page they make."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from exporter.custody.document import parse_json
from exporter.metrics.exposition import Exposition
from exporter.metrics.lines import Lines
from exporter.metrics.negotiation import Format
from exporter.resources import organization_balances
from exporter.resources import vault_balances as vaults
from exporter.resources.organization_balances import OrganizationBalance
from exporter.resources.resource import Exposable, Exposed
from exporter.resources.target import Target
from exporter.resources.vault_balances import VaultBalances, threshold_lines
from exporter.state.history import PollResult
from exporter.state.state import TargetState, succeeded
from exporter.state.store import Store
from exporter.turns import at_once

EXPECTED = Path(__file__).parent / "expected"

ORGANIZATION = Target(
    kind="organization",
    id="ABCD EFGH IJKL MNOP",
    organization="acme",
    vault="",
    interval=60.0,
    credential="treasury",
)


def vault_target(
    name: str = "hot", min_available: dict[str, Decimal] | None = None, **others: Any
) -> Target:
    fields: dict[str, Any] = {
        "kind": "vault",
        "id": "VABCDEF234567A",
        "organization": "acme",
        "vault": name,
        "interval": 60.0,
        "credential": "treasury",
    } | others
    labels = (fields["organization"], name, fields["id"])
    minima = min_available or {}
    return Target(**fields, facts=threshold_lines(labels, minima), min_available=minima)


HOT = vault_target()
COLD = vault_target("cold", id="VBBBBBBBBBBBBA")

# The example answers of Kraken's pages "List vault asset balances" and "List balances", letter for letter.
VAULT_EXAMPLE = """[
  {
    "asset": "BTC",
    "asset_class": "currency",
    "name": "Bitcoin",
    "name_full": "Bitcoin",
    "symbol": "BTC",
    "decimals": 8,
    "display_decimals": 8,
    "rate_decimals": 8,
    "funding_decimals": 8,
    "min_lot": "0.00010000",
    "reserve": false,
    "virtual": true,
    "metadata": {
      "color_code": "#F7931A"
    },
    "balance": "1.50000000",
    "balance_diff": "0.10000000",
    "spot": "1.50000000",
    "hold": "0.00000000",
    "available": "1.50000000",
    "pledged": "0.00000000",
    "quote_balance": "97500.00",
    "quote_spot_balance": "97500.00",
    "quote_available": "97500.00",
    "quote_price": "65000.00",
    "quote_asset": "USD",
    "quote_asset_class": "currency"
  },
  {
    "asset": "USD",
    "asset_class": "currency",
    "name": "US Dollar",
    "name_full": "US Dollar",
    "symbol": "USD",
    "decimals": 4,
    "display_decimals": 2,
    "rate_decimals": 4,
    "funding_decimals": 4,
    "min_lot": "0.0100",
    "reserve": false,
    "virtual": false,
    "metadata": {
      "color_code": "#85BB65"
    },
    "balance": "10000.0000",
    "spot": "10000.0000",
    "hold": "0.0000",
    "available": "10000.0000",
    "quote_balance": "10000.00",
    "quote_spot_balance": "10000.00",
    "quote_available": "10000.00",
    "quote_price": "1.0000",
    "quote_asset": "USD",
    "quote_asset_class": "currency"
  }
]"""
ORGANIZATION_EXAMPLE = """{
  "quote_asset": "USD",
  "balance": {
    "total": "12345.6789",
    "spot": "10000.0000",
    "staked": "1500.0000",
    "pledged": "845.6789"
  }
}"""


def row(asset: str = "BTC", **fields: Any) -> dict[str, Any]:
    """Return the required fields of a row, and `fields`."""
    least = {"asset": asset, "asset_class": "currency"}
    return least | dict.fromkeys(("balance", "spot", "hold", "available"), "0") | fields


def vault_answer(*rows: dict[str, Any]) -> VaultBalances:
    return read_vault(json.dumps(rows))


def read_vault(text: str) -> VaultBalances:
    """Return an answer as read field by field; the fast way must agree or decline."""
    answer = vault_balances(parse_json(text.encode()))
    usual = at_once(vaults.read_usual(bytearray(text.encode())))
    assert usual in (None, answer)
    # The numbers too: a zero may or may not have a sign.
    assert usual is None or numbers(usual) == numbers(answer)
    return answer


def numbers(answer: VaultBalances) -> list[object]:
    """Return the values of an answer's samples, column by column."""
    return [json.loads(f"[{column}]") for column in answer.amounts.numbers]


def read_organization(text: str) -> OrganizationBalance:
    return organization_balance(parse_json(text.encode()))


def vault_balances(document: object) -> VaultBalances:
    return at_once(vaults.read(document))


def organization_balance(document: object) -> OrganizationBalance:
    return at_once(organization_balances.read(document))


def exposed(target: Target, answer: Exposable) -> Exposed:
    """Return an answer as exposed if nothing was described before."""
    return at_once(answer.expose(target, ()))


def lines_of(target: Target, answer: Exposable) -> Lines:
    return exposed(target, answer).lines


def make_store(*targets: Target, stale_after: float = 300.0, max_series: int = 1000) -> Store:
    return Store(targets, stale_after=lambda _: stale_after, max_series=max_series)


def put(
    store: Store, target: Target, answer: Exposable, *, read_at: float = 0.0, **state: Any
) -> Exposed:
    """Put an answer into the store as a poll that succeeded does."""
    balances = exposed(target, answer)
    store.put(read(TargetState(target), balances, read_at=read_at, **state))
    return balances


def read(
    before: TargetState, balances: Exposed, *, read_at: float = 0.0, **others: Any
) -> TargetState:
    """Return the state after a successful poll, with some fields replaced by `others`."""
    result = PollResult(1_795_262_400.0, None, 0.1)
    after = succeeded(before, balances, result, read_at=read_at, refresh_interval=None)
    return replace(after, **others)


def page(store: Store, format_: Format = Format.TEXT_0_0_4) -> str:
    """Return what the store adds to the exposition."""
    return plain(store, CollectorRegistry(), format_).decode()


def plain(store: Store, registry: CollectorRegistry, format_: Format) -> bytes:
    """Return the whole exposition."""
    return b"".join(Exposition(store, registry).plain(format_))


def samples(store: Store, family: str) -> list[str]:
    """Return the sample lines of one metric."""
    return [
        line for line in page(store).split("\n") if line.startswith((f"{family}{{", f"{family} "))
    ]
