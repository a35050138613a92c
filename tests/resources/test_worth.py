"""The worth of answers: exact sums in each quote asset, and what they lack."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from exporter.resources.target import Target
from exporter.resources.worth import Cell, Worth, minus, plus, sums
from exporter.state.state import exposed_again
from exporter.turns import at_once
from tests.resources.answers import (
    HOT,
    ORGANIZATION,
    ORGANIZATION_EXAMPLE,
    exposed,
    read_organization,
    row,
    vault_answer,
    vault_target,
)


def worth(*rows: dict[str, object], target: Target = HOT) -> Worth:
    found = exposed(target, vault_answer(*rows))
    # Packing and unpacking changes nothing.
    assert at_once(exposed_again(found, target)).worth == found.worth
    assert found.worth
    return found.worth


def worth_of(amount: str | None, quote_asset: str = "USD") -> dict[str, object]:
    return {"balance": "1", "quote_balance": amount, "quote_asset": quote_asset}


@pytest.mark.parametrize(
    ("worths", "total", "unpriced"),
    [
        ([], [], 0),
        ([worth_of("0.10"), worth_of("0.20")], [("0.30", "USD")], 0),
        ([worth_of("1"), worth_of(None), worth_of(None)], [("1", "USD")], 2),
        ([worth_of("1"), worth_of("2", "EUR"), worth_of("3")], [("4", "USD"), ("2", "EUR")], 0),
        ([worth_of(None)], [], 1),
        # An asset that is not held has no worth, and no total lacks it.
        ([worth_of("1"), worth_of(None) | {"balance": "0.00"}], [("1", "USD")], 0),
        # More digits than the default precision of decimals.
        (
            [
                worth_of("123456789012345678901234567890"),
                worth_of("0.000000000000000000000000000001"),
            ],
            [("123456789012345678901234567890.000000000000000000000000000001", "USD")],
            0,
        ),
        # No sum is better than a wrong one, and nothing is added to None.
        (
            [worth_of("1E+300"), worth_of("1E-300"), worth_of("1"), worth_of("5", "EUR")],
            [("None", "USD"), ("5", "EUR")],
            0,
        ),
    ],
)
def test_the_worth_of_a_vault_is_exact_in_each_quote_asset(
    worths: list[dict[str, object]], total: list[tuple[str, str]], unpriced: int
) -> None:
    found = worth(*(row(f"A{number}", **fields) for number, fields in enumerate(worths)))
    assert [(str(amount), unit) for amount, unit in found.total] == total
    assert found.unpriced == unpriced


@pytest.mark.parametrize(
    ("rows", "short"),
    [
        ([row("BTC", available="0.49")], 1),
        ([row("BTC", available="0.50")], 0),
        # Locked amounts are not available.
        ([row("BTC", balance="9", available="-0.1")], 1),
        # Each class of an asset must suffice, as in the alert.
        ([row("BTC", available="9"), row("BTC", asset_class="futures", available="0")], 1),
        ([row("BTC", available="0.4"), row("BTC", asset_class="futures", available="0")], 2),
        # Nothing is available of what is not held,
        ([row("ETH", available="9")], 1),
        # unless the row is one that was left out.
        ([row("ETH", available="9"), row("BTC", available="?")], 0),
    ],
)
def test_amounts_below_their_minimum_are_counted(rows: list[dict[str, object]], short: int) -> None:
    assert worth(*rows, target=vault_target(min_available={"BTC": Decimal("0.5")})).short == short


def test_a_changed_minimum_applies_to_the_balances_already_held() -> None:
    poor = replace(HOT, min_available={"BTC": Decimal(2)})
    assert not HOT.is_exposed_as(poor)
    found = at_once(exposed_again(exposed(HOT, vault_answer(row(available="1"))), poor))
    assert found.worth
    assert found.worth.short == 1


def test_an_organization_has_the_total_of_the_api_and_its_parts() -> None:
    found = exposed(ORGANIZATION, read_organization(ORGANIZATION_EXAMPLE)).worth
    assert found == Worth(
        (Cell(Decimal("12345.6789"), "USD"),),
        {
            "spot": Cell(Decimal("10000.0000"), "USD"),
            "staked": Cell(Decimal("1500.0000"), "USD"),
            "pledged": Cell(Decimal("845.6789"), "USD"),
        },
    )


def test_an_answer_without_amounts_has_no_worth() -> None:
    assert worth() == Worth(total=(), parts=None, unpriced=0, short=0) == Worth()


def test_what_is_unknown_makes_a_sum_unknown_and_never_smaller() -> None:
    one, none = Decimal(1), None
    assert (plus(one, none), plus(none, one), minus(one, none), minus(none, one)) == (none,) * 4
    assert minus(one, Decimal("0.1")) == Decimal("0.9")
    cells = [Cell(one, "USD"), Cell(none, "EUR"), Cell(one, "EUR"), Cell(one, "USD")]
    assert sums(cells) == (Cell(Decimal(2), "USD"), Cell(none, "EUR"))
