"""What is polled, as the configuration lists it."""

from decimal import Decimal
from pathlib import Path

from exporter.config import parse
from exporter.discovery.inventory import Inventory, Organization, Vault, inventory_of
from exporter.discovery.known import Found, Listed
from exporter.resources import targets_of
from exporter.resources.target import Target
from exporter.resources.vault_balances import VAULT_BALANCES, threshold_lines
from exporter.resources.vaults import info_lines
from exporter.turns import at_once
from tests.exporting import ENVIRON

DOCUMENT = """\
polling: {interval: 45s}
credentials:
  one: {api_key_env: SIMULATOR_KEY, api_secret_env: SIMULATOR_SECRET}
  two: {api_key_env: OTHER_KEY, api_secret_env: SIMULATOR_SECRET}
organizations:
- name: acme
  id: ABCD EFGH IJKL MNOP
  credentials: two
  interval: 2m
  vaults:
  - {name: hot, id: VABCDEF234567A, interval: 30s, min_available: {BTC: "0.50"}}
  - {id: VBBBBBBBBBBBBA}
- id: QRSTUVWXYZ012345
  credentials: one
"""


THRESHOLD = threshold_lines(("acme", "hot", "VABCDEF234567A"), {"BTC": Decimal("0.5")})


def test_targets_are_each_organizations_total_and_then_its_vaults_in_the_order_of_the_file() -> (
    None
):
    settings = parse(DOCUMENT, directory=Path(), environ=ENVIRON)
    assert at_once(targets_of(at_once(inventory_of(settings, {})))) == (
        Target("organization", "ABCD EFGH IJKL MNOP", "acme", "", 120.0, "two"),
        Target(
            *("vault", "VABCDEF234567A", "acme", "hot", 30.0, "two"),
            facts=THRESHOLD,
            min_available={"BTC": Decimal("0.50")},
        ),
        Target("vault", "VBBBBBBBBBBBBA", "acme", "VBBBBBBBBBBBBA", 45.0, "two"),
        Target("organization", "QRST UVWX YZ01 2345", "QRST UVWX YZ01 2345", "", 45.0, "one"),
    )


def test_a_target_can_be_a_key_although_its_thresholds_cannot() -> None:
    target = Target("vault", "VABCDEF234567A", "acme", "hot", 30.0, "two", THRESHOLD)
    assert {target: 1}[target] == 1


def test_each_vault_of_an_organization_whose_balances_are_collected_is_a_target() -> None:
    hot = Found(Listed("VABCDEF234567A", "Hot", "active", missing_rates=2), 0.0, 0.0)
    minima = {"BTC": Decimal("0.50")}
    vaults = (
        Vault("VABCDEF234567A", "hot", 30.0, "two", hot, minima),
        Vault("VBBBBBBBBBBBBA", "cold", 60.0, "one", is_configured=False),
    )
    acme, beta = (
        Organization(f"ABCD EFGH IJKL {label:>4}", label, 60.0, "one", vaults, collect=collect)
        for label, collect in (("acme", ("balances",)), ("beta", ("whitelist",)))
    )
    labels = ("acme", "hot", "VABCDEF234567A")
    first, second = VAULT_BALANCES.targets(Inventory((beta, acme)))
    assert first == Target(
        *("vault", "VABCDEF234567A", "acme", "hot", 30.0, "two"),
        facts={**threshold_lines(labels, minima), **info_lines(vaults[0], "acme")},
        found=hot,
        min_available=minima,
    )
    assert first.facts.keys() == {
        "kraken_custody_vault_min_available_balance",
        "kraken_custody_vault_info",
        "kraken_custody_vault_missing_quote_rates",
    }
    assert second == Target("vault", "VBBBBBBBBBBBBA", "acme", "cold", 60.0, "one", is_found=True)
    assert VAULT_BALANCES.name(first) == "hot"
