import json
import re
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.portfolio import (
    Organization,
    UnknownIdError,
    demo_portfolio,
    invented_vault_id,
    large_portfolio,
)
from exporter.simulator.wander import DAY, HOUR, MINUTE, Holds, Wander
from tests.simulator.calling import NOON, PORTFOLIO

VAULT_ID = re.compile(r"^V[A-Z2-7]{12}[ACEGIKMOQSUWY246]$")
REQUIRED = {
    *("asset", "asset_class", "name", "name_full", "symbol", "min_lot", "reserve", "virtual"),
    *("decimals", "display_decimals", "rate_decimals", "funding_decimals", "metadata"),
    *("balance", "spot", "hold", "available", "quote_asset", "quote_asset_class"),
}
MOMENTS = st.floats(NOON - 400 * DAY, NOON + 400 * DAY)
VAULTS = [vault for organization in PORTFOLIO.organizations for vault in organization.vaults]


def rows_at(now: float, *, full_precision: bool = True) -> list[dict[str, Any]]:
    return [row for vault in VAULTS for row in vault.rows(now, full_precision=full_precision)]


def amount(row: dict[str, Any], field: str) -> Decimal:
    return Decimal(row.get(field) or "0")


def total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def parts(organization: Organization, now: float) -> dict[str, Decimal]:
    balance: Any = organization.balance(now)["balance"]
    return {name: Decimal(text) for name, text in balance.items()}


def test_the_demo_has_enough_to_show() -> None:
    rows = rows_at(NOON)
    assert len(PORTFOLIO.organizations) >= 2
    assert len(VAULTS) >= 8
    assert len({row["asset"] for row in rows}) >= 12
    assert {"USD", "EUR"} <= {row["asset"] for row in rows if not row["virtual"]}
    assert {row["asset_class"] for row in rows} == {"currency", "tokenised_asset"}
    assert any(amount(row, "staked") for row in rows)
    assert any(amount(row, "pledged") for row in rows)
    assert any(row["launch_time"] for row in rows)


def test_the_demo_has_holds_now_and_then_but_not_everywhere() -> None:
    rows = [row for quarter in range(24) for row in rows_at(NOON + quarter * 7 * MINUTE)]
    assert 0.02 < sum(amount(row, "hold") > 0 for row in rows) / len(rows) < 0.3


def test_ids_have_the_documented_form() -> None:
    assert all(VAULT_ID.match(vault.id) for vault in VAULTS)
    for organization in PORTFOLIO.organizations:
        assert re.fullmatch(r"[A-Z0-9]{4}( [A-Z0-9]{4}){3}", organization.id)


def test_a_seed_gives_the_same_portfolio_every_time_and_another_seed_another() -> None:
    assert demo_portfolio(7) == PORTFOLIO
    assert demo_portfolio(8).organizations[0].balance(NOON) != PORTFOLIO.organizations[0].balance(
        NOON
    )


@given(now=MOMENTS, full_precision=st.booleans())
def test_the_parts_of_a_row_add_up(now: float, *, full_precision: bool) -> None:
    for row in rows_at(now, full_precision=full_precision):
        spot, hold = amount(row, "spot"), amount(row, "hold")
        assert amount(row, "balance") == spot + amount(row, "staked") + amount(row, "pledged")
        assert amount(row, "available") == spot - hold
        assert 0 <= hold <= spot


def test_rows_have_every_required_field_and_survive_json() -> None:
    rows = rows_at(NOON)
    assert all(row[field] is not None for row in rows for field in REQUIRED)
    assert json.loads(json.dumps(rows)) == rows


def test_fiat_rows_leave_out_what_the_documented_fiat_row_leaves_out() -> None:
    for row in rows_at(NOON):
        assert ("pledged" in row) == ("balance_diff" in row) == row["virtual"]


@pytest.mark.parametrize(
    ("full_precision", "field"), [(True, "decimals"), (False, "funding_decimals")]
)
def test_amounts_have_the_requested_decimals(*, full_precision: bool, field: str) -> None:
    for row in rows_at(NOON, full_precision=full_precision):
        for name in ("balance", "spot", "hold", "available"):
            assert re.fullmatch(rf"\d+\.\d{{{row[field]}}}", row[name])


def test_some_amounts_lose_digits_without_full_precision() -> None:
    assert any(row["decimals"] > row["funding_decimals"] for row in rows_at(NOON))


@given(now=MOMENTS)
def test_quote_fields_are_the_amounts_at_the_price(now: float) -> None:
    cent = Decimal("0.01")
    fields = {
        "quote_balance": "balance",
        "quote_spot_balance": "spot",
        "quote_available": "available",
    }
    for row in rows_at(now):
        for quoted, field in fields.items():
            if row["quote_price"] is None:
                assert row[quoted] is None
            else:
                value = amount(row, field) * amount(row, "quote_price")
                assert amount(row, quoted) == value.quantize(cent)


def test_exactly_one_asset_has_no_rate() -> None:
    assert {row["asset"] for row in rows_at(NOON) if row["quote_price"] is None} == {"NOVA"}


def test_a_price_is_the_same_in_every_vault() -> None:
    prices = {(row["asset"], row["quote_price"]) for row in rows_at(NOON)}
    assert len(prices) == len({row["asset"] for row in rows_at(NOON)})


def test_balance_diff_is_the_change_since_the_day_before() -> None:
    for row, before in zip(rows_at(NOON), rows_at(NOON - DAY), strict=True):
        if row["virtual"]:
            assert amount(row, "balance_diff") == amount(row, "balance") - amount(before, "balance")


@given(now=MOMENTS)
def test_an_organization_total_is_exactly_its_parts_and_the_sum_of_its_vaults(now: float) -> None:
    for organization in PORTFOLIO.organizations:
        balance = parts(organization, now)
        rows = [
            row for vault in organization.vaults for row in vault.rows(now, full_precision=True)
        ]
        assert balance["total"] == balance["spot"] + balance["staked"] + balance["pledged"]
        assert balance["spot"] == total(amount(row, "quote_spot_balance") for row in rows)
        # each part was rounded to the cent on its own, the row's total once
        rounding = len(rows) * Decimal("0.02")
        assert (
            abs(balance["total"] - total(amount(row, "quote_balance") for row in rows)) < rounding
        )


@pytest.mark.no_cover
def test_no_balance_falls_by_more_than_two_percent_within_an_hour() -> None:
    fields = ("balance", "spot", "staked", "pledged", "quote_balance", "quote_price")
    for minutes in range(0, 24 * 60, 10):
        now = NOON + minutes * MINUTE
        for before, after in zip(rows_at(now), rows_at(now + HOUR), strict=True):
            for field in fields:
                assert amount(after, field) >= amount(before, field) * Decimal("0.98")


def test_a_price_moves_within_bounds_and_never_jumps() -> None:
    walk = Wander.seeded("any", scale=1.0)
    factors = [walk.at(NOON + second) for second in range(0, 30 * 24 * 3600, 60)]
    assert 0.93 < min(factors) < 0.99
    assert 1.01 < max(factors) < 1.07
    assert max(abs(after - before) for before, after in pairwise(factors)) < 0.0005


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_holds_appear_and_always_clear_within_ten_minutes(key: str) -> None:
    holds = Holds(key, chance=1.0)
    step = 10.0
    held = [holds.at(NOON + number * step) > 0 for number in range(8640)]
    lengths = [len(run) * step for run in re.findall("1+", "".join("01"[on] for on in held))]
    assert len(lengths) == 96, "one in each quarter of an hour of the day"
    assert all(MINUTE < seconds <= 10 * MINUTE for seconds in lengths)


def test_a_quiet_vault_has_no_holds() -> None:
    holds = Holds("any", chance=0.0)
    assert not any(holds.at(NOON + minute * MINUTE) for minute in range(1440))


def test_an_organization_is_found_by_either_form_of_its_id() -> None:
    organization = PORTFOLIO.organizations[0]
    assert PORTFOLIO.organization(organization.id.replace(" ", "")) is organization
    assert PORTFOLIO.organization_balance(organization.id, NOON) == organization.balance(NOON)


def test_an_unknown_id_has_its_own_error() -> None:
    with pytest.raises(UnknownIdError):
        PORTFOLIO.vault_rows("VABCDEF234567A", NOON, full_precision=True)
    with pytest.raises(UnknownIdError):
        PORTFOLIO.organization_balance("ABCD EFGH IJKL MNOP", NOON)


def test_a_large_portfolio_has_the_requested_vaults_and_assets() -> None:
    (organization,) = large_portfolio(vaults=300, assets=5).organizations
    assert len({vault.id for vault in organization.vaults}) == 300
    assert (
        len({row["asset"] for row in organization.vaults[299].rows(NOON, full_precision=True)}) == 5
    )


@given(st.integers(0, 2**64 - 1))
def test_every_number_gives_a_vault_id_of_the_documented_form(number: int) -> None:
    assert VAULT_ID.match(invented_vault_id(number))


def test_vault_ids_do_not_collide() -> None:
    assert len({invented_vault_id(number) for number in range(10_000)}) == 10_000
