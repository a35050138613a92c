"""The table of a target's balances."""

from decimal import Decimal

import pytest

from exporter.resources.resource import Cell, Exposed
from exporter.web.balance_table import BalanceTable, balance_table_of
from tests.resources.answers import HOT, ORGANIZATION, exposed, read_organization, row, vault_answer


def statement(*rows: dict[str, object]) -> BalanceTable:
    return table(exposed(HOT, vault_answer(*rows)))


def table(balances: Exposed) -> BalanceTable:
    found = balance_table_of(balances)
    assert found
    return found


def test_each_row_of_a_vault_has_its_asset_its_name_and_its_amounts() -> None:
    (found,) = statement(
        row("BTC", name="Bitcoin", balance="1.50", quote_price="65000", quote_asset="EUR")
    ).rows
    zero = Cell(Decimal(0), "")
    assert found == (
        "BTC",
        "Bitcoin",
        (
            *(Cell(Decimal("1.50"), ""), zero, zero, zero, Cell(None, ""), Cell(None, "")),
            *(Cell(Decimal(65000), "EUR"), Cell(None, "EUR")),
        ),
        "currency",
    )


def test_an_organization_has_one_row() -> None:
    text = '{"quote_asset": "USD", "balance": {"total": "3.10", "spot": "3.10", "staked": null}}'
    found = table(exposed(ORGANIZATION, read_organization(text)))
    assert found.titles == ("Total", "Spot", "Staked", "Pledged")
    ((_, _, cells, _),) = found.rows
    known, unknown = Cell(Decimal("3.10"), "USD"), Cell(None, "USD")
    assert cells == (known, known, unknown, unknown)
    assert (found.worth, found.unpriced) == ((), 0)


def worth(amount: str | None, quote_asset: str = "USD") -> dict[str, object]:
    return {"quote_balance": amount, "quote_asset": quote_asset}


@pytest.mark.parametrize(
    ("worths", "sums", "unpriced"),
    [
        ([], [], 0),
        ([worth("0.10"), worth("0.20")], [("0.30", "USD")], 0),
        ([worth("1"), worth(None), worth(None)], [("1", "USD")], 2),
        ([worth("1"), worth("2", "EUR"), worth("3")], [("4", "USD"), ("2", "EUR")], 0),
        ([worth(None)], [], 1),
        # More digits than decimals have by default.
        (
            [worth("123456789012345678901234567890"), worth("0.000000000000000000000000000001")],
            [("123456789012345678901234567890.000000000000000000000000000001", "USD")],
            0,
        ),
        # Rather no sum than a wrong one.
        ([worth("1E+300"), worth("1E-300"), worth("5", "EUR")], [("5", "EUR")], 0),
    ],
)
def test_the_quote_balances_add_up_exactly_in_each_quote_asset(
    worths: list[dict[str, object]], sums: list[tuple[str, str]], unpriced: int
) -> None:
    found = statement(*(row(f"A{number}", **fields) for number, fields in enumerate(worths)))
    assert [(str(cell.amount), cell.unit) for cell in found.worth] == sums
    assert found.unpriced == unpriced
