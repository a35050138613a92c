"""The table of a target's balances."""

from decimal import Decimal

import pytest

from exporter.resources.target import Target
from exporter.resources.worth import Cell
from exporter.state.state import TargetState
from exporter.web.balance_table import BalanceRow, BalanceTable, balance_table_of
from tests.resources.answers import (
    HOT,
    ORGANIZATION,
    exposed,
    read_organization,
    row,
    vault_answer,
    vault_target,
)


def table(*rows: dict[str, object], target: Target = HOT) -> BalanceTable:
    return table_of(TargetState(target, balances=exposed(target, vault_answer(*rows))))


def table_of(known: TargetState) -> BalanceTable:
    found = balance_table_of(known)
    assert found
    return found


def figures(row: BalanceRow) -> dict[str, str]:
    return {it.title: f"{it.amount} {it.unit}".strip() for it in row.figures}


def test_each_row_of_a_vault_has_its_asset_its_name_its_worth_and_its_amounts() -> None:
    (found,) = table(
        row(
            name="Bitcoin",
            balance="1.50",
            balance_diff="-0.10",
            quote_price="65000",
            quote_balance="97500.0",
            quote_asset="EUR",
        ),
        target=vault_target(min_available={"BTC": Decimal("0.5")}),
    ).rows
    assert found[:4] == ("BTC", "currency", "Bitcoin", "")
    assert list(figures(found).items()) == [
        ("Quote balance", "97500.0 EUR"),
        ("Balance", "1.50"),
        ("Day-over-day change", "-0.10"),
        ("Available", "0"),
        ("Minimum", "0.5"),
        ("Spot", "0"),
        ("Hold", "0"),
        ("Pledged", "None"),
        ("Staked", "None"),
        ("Quote price", "65000 EUR"),
    ]
    assert found.is_short
    assert [it.title for it in found.figures if it.is_minimum] == ["Minimum"]


def test_what_has_a_minimum_and_is_not_held_has_a_row_without_amounts() -> None:
    minimum = vault_target(min_available={"ETH": Decimal(2)})
    btc, eth = table(row("BTC"), target=minimum).rows
    assert (btc.is_short, eth.is_short) == (False, True)
    assert eth[:4] == ("ETH", "", "", "not in the answer")
    assert {title for title, text in figures(eth).items() if text != "None"} == {"Minimum"}
    # The row that could not be read may be it.
    *_, eth = table(row("BTC"), row("ETH", available="?"), target=minimum).rows
    assert not eth.is_short


def test_an_organization_has_one_row() -> None:
    text = '{"quote_asset": "USD", "balance": {"total": "3.10", "spot": "3.10", "staked": null}}'
    answer = exposed(ORGANIZATION, read_organization(text))
    found = table_of(TargetState(ORGANIZATION, balances=answer))
    (total,) = found.rows
    assert figures(total) == {
        "Total": "3.10 USD",
        "Spot": "3.10 USD",
        "Staked": "None USD",
        "Pledged": "None USD",
    }
    assert (found.total, found.unpriced) == ((), ())


def test_the_total_is_reported_with_the_assets_that_it_lacks() -> None:
    found = table(
        row("BTC", balance="1", quote_balance="2.50", quote_asset="USD"),
        row("LUNA", balance="7"),
        row("NONE"),
    )
    assert (found.worth, found.total) == ("Quote balance", (Cell(Decimal("2.50"), "USD"),))
    assert found.unpriced == ("LUNA",)


@pytest.mark.parametrize(
    ("balances", "pads"),
    [
        (["1", "2"], ["", ""]),
        (["1", "2.50", "1000.1"], [".00", "", "0"]),
        (["-0.1", "1E-8"], ["0000000", ""]),
        # A number with an exponent has no place for a decimal point.
        (["1.5", "1E+90"], ["", ".0"]),
    ],
)
def test_amounts_of_a_column_are_padded_to_the_same_number_of_places(
    balances: list[str], pads: list[str]
) -> None:
    rows = table(*(row(f"A{number}", balance=it) for number, it in enumerate(balances))).rows
    assert [found.figures[1].pad for found in rows] == pads


def test_without_balances_there_is_no_table() -> None:
    assert balance_table_of(TargetState(HOT)) is None
