"""The table of a vault: a row for each asset of the answer, and for each minimum of an asset that is not in it."""

from decimal import Decimal
from typing import Any

import pytest

from exporter.resources.resource import Table, TableRow
from exporter.resources.vault_balances import FIELDS
from exporter.resources.worth import Cell
from tests.resources.answers import exposed, row, vault_answer, vault_target

VAULT = vault_target(min_available={"BTC": Decimal("0.5"), "ETH": Decimal(2), "SOL": Decimal(10)})


def cells(unit: str = "USD", **amounts: str) -> tuple[Cell, ...]:
    """Return the cells of a row with these amounts, by field; `unit` is that of the quoted ones."""
    units = {field: unit if field.startswith("quote_") else "" for field in FIELDS}
    known = {field: Decimal(amount) for field, amount in amounts.items()}
    return tuple(Cell(known.get(field), units[field]) for field in FIELDS)


def table(*rows: dict[str, Any]) -> Table:
    found = exposed(VAULT, vault_answer(*rows)).table(VAULT)
    assert isinstance(found, Table)
    return found


AMOUNTS = {
    "balance": "1.50",
    "spot": "1.25",
    "hold": "0.25",
    "available": "1.00",
    "pledged": "0.125",
    "staked": "0.0625",
    "balance_diff": "-0.10",
    "quote_balance": "97500.00",
    "quote_spot_balance": "81250.00",
    "quote_available": "65000.00",
    "quote_price": "65000.0",
}
BTC = TableRow(
    *("BTC", "currency", "Bitcoin", cells("EUR", min_available="0.5", **AMOUNTS)),
    note="",
    is_short=False,
    is_unpriced=False,
)
HELD = {"balance": "3", "spot": "3", "hold": "1.5", "available": "1.5"}
ETH = TableRow(
    *("ETH", "currency", "", cells(min_available="2", **HELD)),
    note="",
    is_short=True,
    is_unpriced=True,
)
NONE = dict.fromkeys(("balance", "spot", "hold", "available"), "0")
USD = TableRow(*("USD", "currency", "", cells(**NONE)), note="", is_short=False, is_unpriced=False)


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_vault_has_a_row_for_each_asset_and_for_each_minimum_that_no_asset_has(
    *, is_whole: bool
) -> None:
    rows = [
        row("BTC", name="Bitcoin", quote_asset="EUR", **AMOUNTS),
        row("ETH", **HELD),
        row("USD"),
        *([] if is_whole else [row("SOL", balance=None)]),
    ]
    # If a row was left out, it is unknown whether less than the minimum is available.
    nothing = cells("", min_available="10")
    missing = TableRow(
        *("SOL", "", "", nothing), note="not in the answer", is_short=is_whole, is_unpriced=False
    )
    assert table(*rows) == Table(
        [BTC, ETH, USD, missing],
        worth="quote_balance",
        minimum="min_available",
        empty="The vault is empty.",
    )
