"""What is valid in an answer, field by field; the examples are those of Kraken's pages."""

import json
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.custody.document import (
    InvalidAnswerError,
    TooManyRowsError,
    parse_json,
)
from exporter.resources.fields import ROWS_AT_ONCE, InvalidField, InvalidRow
from exporter.resources.organization_balances import OrganizationBalance
from exporter.resources.vault_balances import (
    Asset,
    AssetBalance,
    VaultBalances,
)
from exporter.resources.vault_balances import (
    read as vault_steps,
)
from exporter.resources.vault_balances import (
    read_usual as usual_steps,
)
from exporter.turns import at_once
from tests.resources.answers import organization_balance, read_vault, vault_balances

BITCOIN = """{
    "asset": "BTC", "asset_class": "currency", "name": "Bitcoin", "name_full": "Bitcoin",
    "symbol": "BTC", "decimals": 8, "display_decimals": 8, "rate_decimals": 8,
    "funding_decimals": 8, "min_lot": "0.00010000", "reserve": false, "virtual": true,
    "metadata": {"color_code": "#F7931A"}, "balance": "1.50000000",
    "balance_diff": "0.10000000", "spot": "1.50000000", "hold": "0.00000000",
    "available": "1.50000000", "pledged": "0.00000000", "quote_balance": "97500.00",
    "quote_spot_balance": "97500.00", "quote_available": "97500.00",
    "quote_price": "65000.00", "quote_asset": "USD", "quote_asset_class": "currency"
}"""
DOLLAR = """{
    "asset": "USD", "asset_class": "currency", "name": "US Dollar", "name_full": "US Dollar",
    "symbol": "USD", "decimals": 4, "display_decimals": 2, "rate_decimals": 4,
    "funding_decimals": 4, "min_lot": "0.0100", "reserve": false, "virtual": false,
    "metadata": {"color_code": "#85BB65"}, "balance": "10000.0000", "spot": "10000.0000",
    "hold": "0.0000", "available": "10000.0000", "quote_balance": "10000.00",
    "quote_spot_balance": "10000.00", "quote_available": "10000.00", "quote_price": "1.0000",
    "quote_asset": "USD", "quote_asset_class": "currency"
}"""
TOTAL = """{"quote_asset": "USD", "balance": {"total": "12345.6789", "spot": "10000.0000",
    "staked": "1500.0000", "pledged": "845.6789"}}"""

REQUIRED = ("asset", "asset_class", "balance", "spot", "hold", "available")
REQUIRED_AMOUNTS = REQUIRED[2:]
OPTIONAL_AMOUNTS = (
    "pledged",
    "staked",
    "balance_diff",
    "quote_balance",
    "quote_spot_balance",
    "quote_available",
    "quote_price",
)
TEXTS = ("name", "name_full", "symbol")
FLAGS = ("virtual", "reserve")
PLACES = ("decimals", "display_decimals", "rate_decimals", "funding_decimals")
DESCRIPTIONS = (*TEXTS, *FLAGS, *PLACES, "min_lot", "launch_time")


class Missing:
    def __repr__(self) -> str:
        return "missing"


MIB = 1024 * 1024
MISSING = Missing()
NOT_FINITE = "is not a finite decimal"


def document(value: object) -> object:
    """Return a value as parsed from an answer's body."""
    return parse_json(json.dumps(value).encode())


def row(**fields: object) -> dict[str, object]:
    """Return the row of Kraken's example with these fields replaced."""
    changed: dict[str, object] = json.loads(BITCOIN) | fields
    return {name: value for name, value in changed.items() if value is not MISSING}


def read_row(**fields: object) -> AssetBalance:
    """Return the only row of an answer, which must be valid."""
    answer = read_vault(json.dumps([row(**fields)]))
    assert answer.invalid == ()
    return answer.rows[0]


def refused(*rows: object) -> tuple[InvalidRow, ...]:
    return read_vault(json.dumps(rows)).invalid


def raw(field: str, literal: str) -> VaultBalances:
    """Return an answer with one row whose `field` is this JSON text."""
    text = json.dumps([row(**{field: "HERE"})]).replace('"HERE"', literal)
    return read_vault(text)


def test_krakens_example_of_a_vault_is_read_field_by_field() -> None:
    answer = read_vault(f"[{BITCOIN}, {DOLLAR}]")
    bitcoin, dollar = answer.rows
    assert (answer.invalid, answer.quote_asset) == ((), "USD")
    assert msgspec.structs.asdict(bitcoin) == {
        "asset": "BTC",
        "asset_class": "currency",
        "balance": "1.50000000",
        "spot": "1.50000000",
        "hold": "0.00000000",
        "available": "1.50000000",
        "pledged": "0.00000000",
        "staked": None,
        "balance_diff": "0.10000000",
        "quote_balance": "97500.00",
        "quote_spot_balance": "97500.00",
        "quote_available": "97500.00",
        "quote_price": "65000.00",
        "quote_asset": "USD",
        "name": "Bitcoin",
        "name_full": "Bitcoin",
        "symbol": "BTC",
        "virtual": True,
        "reserve": False,
        "decimals": 8,
        "display_decimals": 8,
        "rate_decimals": 8,
        "funding_decimals": 8,
        "min_lot": "0.00010000",
        "launch_time": None,
    }
    assert dollar.balance == "10000.0000"
    assert (dollar.pledged, dollar.balance_diff) == (None, None)
    assert answer.assets[1] == Asset(
        asset="USD",
        asset_class="currency",
        name="US Dollar",
        name_full="US Dollar",
        symbol="USD",
        virtual=False,
        reserve=False,
        decimals=4,
        display_decimals=2,
        rate_decimals=4,
        funding_decimals=4,
        min_lot=Decimal("0.01"),
        launch_time=None,
    )


def test_krakens_example_of_an_organization_is_read_field_by_field() -> None:
    assert organization_balance(parse_json(TOTAL.encode())) == OrganizationBalance(
        quote_asset="USD",
        total=Decimal("12345.6789"),
        spot=Decimal(10000),
        staked=Decimal(1500),
        pledged=Decimal("845.6789"),
    )


@pytest.mark.parametrize(
    ("value", "amount"),
    [(MISSING, None), (None, None), ("0", "0"), ("0.00", "0.00"), (0, "0")],
    ids=["absent", "null", "zero", "zero with places", "the number zero"],
)
def test_absent_and_null_are_none_and_zero_is_zero(value: object, amount: str | None) -> None:
    for field in OPTIONAL_AMOUNTS:
        assert getattr(read_row(**{field: value}), field) == amount


@pytest.mark.parametrize("value", [MISSING, None, True, [], {}, {"amount": "1"}], ids=repr)
def test_a_row_without_a_required_field_is_invalid(value: object) -> None:
    for field in REQUIRED:
        wrong_type = NOT_FINITE if field in REQUIRED_AMOUNTS else "is not a text"
        problem = "is missing" if value is MISSING else wrong_type
        assert refused(row(**{field: value})) == (InvalidRow(0, field, problem),)


@pytest.mark.parametrize(
    "literal",
    [
        '"1.50000000"',
        "1.50000000",
        "2",
        '"2"',
        '"-0.1"',
        '"+0.1"',
        '"1."',
        "1e5",
        '"1E-5"',
        '"0.123456789012345678901234567890"',
        "123456789012345678901234567890.12",
        '"1e-9999"',
        '"1.7e308"',
        '"' + "9" * 60 + '"',
    ],
)
def test_an_amount_keeps_each_digit_as_a_number_and_as_a_text(literal: str) -> None:
    for field in [*REQUIRED_AMOUNTS, *OPTIONAL_AMOUNTS]:
        answer = raw(field, literal)
        assert answer.invalid == ()
        assert getattr(answer.rows[0], field) == literal.strip('"')


NO_DECIMALS = pytest.mark.parametrize(
    "literal",
    [
        '"NaN"',
        "NaN",
        '"sNaN"',
        '"Infinity"',
        "Infinity",
        "-Infinity",
        '"inf"',
        "1e999",
        '"1e999"',
        '"1.8e308"',
        '"1e309"',
        '"1e99999"',
        "9" * 5000,
        "9" * 61,
        '"' + "9" * 61 + '"',
        '"0.' + "1" * 61 + '"',
        '"1_000"',
        '"1,000"',
        '" 1"',
        '"1 "',
        '"1\\n"',
        '""',
        '"."',
        '".5"',
        '"-"',
        '"0x10"',
        '"\\u0661"',
        '"\\uff11"',
        '"\\u00b2"',
        '"\\ud83d"',
        "true",
        "false",
        "[1]",
        '{"amount": 1}',
    ],
    ids=lambda literal: literal[:12],
)


@NO_DECIMALS
def test_what_is_not_a_finite_decimal_makes_the_row_invalid(literal: str) -> None:
    for field in REQUIRED_AMOUNTS:
        answer = raw(field, literal)
        assert (answer.rows, answer.invalid_fields) == ((), ())
        assert answer.invalid == (InvalidRow(0, field, NOT_FINITE),)


@NO_DECIMALS
def test_an_optional_amount_that_cannot_be_read_is_none_and_its_row_counts(literal: str) -> None:
    for field in OPTIONAL_AMOUNTS:
        answer = raw(field, literal)
        assert answer.invalid == ()
        assert answer.rows == vault_balances(document([row(**{field: MISSING})])).rows
        assert answer.invalid_fields == (InvalidField(field, NOT_FINITE, rows=1, position=0),)


def test_a_field_that_cannot_be_read_is_reported_once_for_all_rows_of_the_same_reason() -> None:
    rows = [
        row(asset="A"),
        row(asset="B", staked="x", symbol=7),
        row(asset="C", staked="y", symbol="\ud83d"),
        row(asset="C", staked="z"),
        row(asset="D", staked="x", hold=None),
    ]
    answer = vault_balances(document(rows))
    assert [kept.asset for kept in answer.rows] == ["A", "B", "C"]
    assert answer.invalid_fields == (
        InvalidField("staked", NOT_FINITE, rows=2, position=1),
        InvalidField("symbol", "is not a text", rows=1, position=1),
        InvalidField("symbol", "is not valid Unicode", rows=1, position=2),
    )


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("quote_asset", 7, "is not a text"),
        ("quote_asset", "", "is not a text"),
        ("quote_asset", "x" * 65, "is longer than 64 characters"),
        ("name", [], "is not a text"),
        ("name_full", "\udc00", "is not valid Unicode"),
        ("virtual", "true", "is not true or false"),
        ("reserve", 1, "is not true or false"),
        ("decimals", 1000, "is not a whole number below 1000"),
        ("rate_decimals", "8.5", "is not a whole number below 1000"),
        ("min_lot", True, NOT_FINITE),
        ("launch_time", "14 November 2023", "is not Unix seconds or RFC 3339 with a time zone"),
        ("launch_time", 10**400, "is not Unix seconds or RFC 3339 with a time zone"),
        ("launch_time", 1_795_262_400_000, "is not a time between the years 1000 and 9999"),
        ("launch_time", "0001-01-01T00:00:00Z", "is not a time between the years 1000 and 9999"),
    ],
)
def test_a_description_that_cannot_be_read_is_none_and_reported(
    field: str, value: object, problem: str
) -> None:
    answer = vault_balances(document([row(**{field: value})]))
    assert getattr(answer.rows[0], field) is None
    assert answer.invalid_fields == (InvalidField(field, problem, rows=1, position=0),)


@pytest.mark.parametrize("value", [MISSING, None], ids=repr)
def test_a_field_that_is_missing_is_not_one_that_cannot_be_read(value: object) -> None:
    for field in [*OPTIONAL_AMOUNTS, *DESCRIPTIONS, "quote_asset"]:
        assert vault_balances(document([row(**{field: value})])).invalid_fields == ()


@pytest.mark.parametrize("field", TEXTS)
def test_an_empty_name_says_nothing(field: str) -> None:
    answer = vault_balances(document([row(**{field: ""})]))
    assert (getattr(answer.rows[0], field), answer.invalid_fields) == (None, ())


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("asset", "", "is not a text"),
        ("asset", 7, "is not a text"),
        ("asset", "x" * 65, "is longer than 64 characters"),
        ("asset", "\ud83d", "is not valid Unicode"),
        ("asset_class", "", "is not a text"),
        ("asset_class", "x" * 65, "is longer than 64 characters"),
    ],
)
def test_an_invalid_code_makes_the_row_invalid(field: str, value: object, problem: str) -> None:
    assert refused(row(**{field: value})) == (InvalidRow(0, field, problem),)


@pytest.mark.parametrize("value", ["", 7, None, [], "x" * 65, "\udc00"])
def test_an_invalid_quote_asset_counts_as_missing(value: object) -> None:
    assert read_row(quote_asset=value).quote_asset is None


def test_an_answer_with_too_many_rows_is_refused() -> None:
    rows = [{name: row(asset=f"T{number}")[name] for name in REQUIRED} for number in range(8_000)]
    assert len(vault_balances(document(rows)).rows) == 8_000
    with pytest.raises(TooManyRowsError, match="has 8001 rows, more than 8000") as caught:
        vault_balances(document([*rows, row()]))
    assert caught.value.type == "response/too_large"


def test_a_code_may_have_64_characters_of_any_script() -> None:
    assert read_row(asset="₿" * 64).asset == "₿" * 64


@pytest.mark.parametrize("element", [None, True, 7, 1.5, "row", [], ["asset"]], ids=repr)
def test_a_row_that_is_not_an_object_is_invalid_as_a_whole(element: object) -> None:
    assert refused(row(), element) == (InvalidRow(1, "", "is not an object"),)


def test_the_first_field_that_is_wrong_is_named() -> None:
    assert refused({}) == (InvalidRow(0, "asset", "is missing"),)
    assert refused(row(hold="x", spot="x")) == (InvalidRow(0, "spot", NOT_FINITE),)


def test_the_other_rows_count() -> None:
    answer = vault_balances(document([row(), row(asset="ETH", hold=None), row(asset="SOL")]))
    assert [kept.asset for kept in answer.rows] == ["BTC", "SOL"]
    assert answer.invalid == (InvalidRow(1, "hold", NOT_FINITE),)


def test_an_asset_and_class_count_once_and_the_first_time() -> None:
    answer = vault_balances(document([row(balance="1"), row(balance="2"), row(balance="3")]))
    assert [kept.balance for kept in answer.rows] == ["1"]
    problem = "and its class appear more than once"
    assert answer.invalid == (InvalidRow(1, "asset", problem), InvalidRow(2, "asset", problem))


def test_the_same_asset_of_another_class_is_another_row() -> None:
    answer = vault_balances(document([row(), row(asset_class="tokenised_asset"), row(asset="btc")]))
    assert len(answer.rows) == 3
    assert answer.invalid == ()


def test_an_invalid_row_does_not_take_the_place_of_a_valid_one() -> None:
    answer = vault_balances(document([row(hold=None), row()]))
    assert [kept.asset for kept in answer.rows] == ["BTC"]
    assert answer.invalid == (InvalidRow(0, "hold", NOT_FINITE),)


@pytest.mark.parametrize(
    "value", [MISSING, None, "", {}, [], [True], {"text": "Bitcoin"}, "\ud83d"], ids=repr
)
def test_an_unusable_description_is_none_and_withholds_nothing(value: object) -> None:
    for field in DESCRIPTIONS:
        read = read_row(**{field: value})
        assert getattr(read, field) is None
        assert read.balance == "1.50000000"


@pytest.mark.parametrize("field", ["min_lot", "launch_time"])
@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e999", '"NaN"', '"1e999"', '"1_0"'])
def test_an_invalid_descriptive_number_withholds_nothing(field: str, literal: str) -> None:
    assert getattr(raw(field, literal).rows[0], field) is None


@pytest.mark.parametrize(
    ("literal", "places"),
    [
        ("8", 8),
        ('"8"', 8),
        ("8.0", 8),
        ("0", 0),
        ("999", 999),
        ("1000", None),
        ("-1", None),
        ("8.5", None),
        ("true", None),
        ("NaN", None),
        ("1e9999", None),
    ],
)
def test_places_are_a_small_whole_number(literal: str, places: int | None) -> None:
    for field in PLACES:
        assert getattr(raw(field, literal).rows[0], field) == places


@pytest.mark.parametrize(
    ("value", "flag"), [(True, True), (False, False), ("true", None), (1, None), (0, None)]
)
def test_a_flag_is_exactly_true_or_false(value: object, flag: object) -> None:
    for field in FLAGS:
        assert getattr(read_row(**{field: value}), field) is flag


@pytest.mark.parametrize("field", TEXTS)
def test_a_long_name_is_cut(field: str) -> None:
    assert getattr(read_row(**{field: "x" * 200}), field) == "x" * 128


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1700000000", "1700000000"),
        (1700000000, "1700000000"),
        ("1700000000.25", "1700000000.25"),
        ("2023-11-14T22:13:20Z", "1700000000"),
        ("2023-11-14T22:13:20.250Z", "1700000000.25"),
        ("2023-11-15T00:13:20+02:00", "1700000000"),
        ("2023-11-14T22:13:20", None),
        ("1000-01-01T00:00:00Z", "-30610224000"),
        ("0999-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59.999Z", "253402300799.999"),
        ("253402300799.999", "253402300799.999"),
        ("9999-12-31T23:59:59-00:01", None),
        ("253402300800", None),
        (1_795_262_400_000_000_000, None),
        ("1e300", None),
        ("2023-13-14T22:13:20Z", None),
        ("14 November 2023", None),
        (True, None),
    ],
)
def test_a_launch_time_is_unix_seconds_or_rfc_3339(written: object, seconds: str | None) -> None:
    expected = None if seconds is None else Decimal(seconds)
    answer = read_vault(json.dumps([row(launch_time=written)]))
    assert (answer.invalid, answer.assets[0].launch_time) == ((), expected)


@pytest.mark.parametrize(
    ("envelope", "quote_asset"),
    [
        ({}, "USD"),
        ({"quote_asset": "EUR"}, "EUR"),
        ({"quote_asset": None}, "USD"),
        ({"quote_asset": ""}, "USD"),
        ({"quote_asset": ["EUR"]}, "USD"),
        ({"quote_asset": "\ud83d"}, "USD"),
        ({"quote_asset": "x" * 65}, "USD"),
        ({"next": "unknown", "error": []}, "USD"),
    ],
)
def test_rows_may_come_in_an_envelope(envelope: dict[str, object], quote_asset: str) -> None:
    answer = vault_balances(document({"result": [row(quote_asset=MISSING)], **envelope}))
    assert answer.quote_asset == quote_asset
    assert [(kept.asset, kept.quote_asset) for kept in answer.rows] == [("BTC", None)]


def test_a_row_may_name_its_own_quote_asset() -> None:
    answer = vault_balances(document({"result": [row(quote_asset="EUR")], "quote_asset": "USD"}))
    assert answer.rows[0].quote_asset == "EUR"


@pytest.mark.parametrize("written", [[], {"result": []}])
def test_an_empty_vault_has_no_rows(written: object) -> None:
    assert vault_balances(document(written)) == VaultBalances((), (), "USD")


@pytest.mark.parametrize(
    "written", [None, True, 7, "rows", {}, {"result": {}}, {"result": None}, {"rows": []}], ids=repr
)
def test_an_answer_without_rows_is_invalid(written: object) -> None:
    with pytest.raises(InvalidAnswerError, match="is neither an array of rows nor an object with"):
        vault_balances(document(written))


def organization(**parts: object) -> object:
    balance = json.loads(TOTAL)["balance"] | parts
    kept = {name: value for name, value in balance.items() if value is not MISSING}
    return document({"balance": kept, "quote_asset": "USD"})


@pytest.mark.parametrize(
    ("value", "amount"),
    [(MISSING, None), (None, None), ("0", Decimal(0)), (0.5, Decimal("0.5"))],
    ids=["absent", "null", "zero", "a number"],
)
def test_a_part_of_the_total_may_be_missing(value: object, amount: Decimal | None) -> None:
    for part in ["spot", "staked", "pledged"]:
        assert getattr(organization_balance(organization(**{part: value})), part) == amount


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"total": MISSING}, "balance.total is missing"),
        ({"total": None}, "balance.total is not a finite decimal"),
        ({"total": "NaN"}, "balance.total is not a finite decimal"),
        ({"total": True}, "balance.total is not a finite decimal"),
    ],
)
def test_a_total_that_cannot_be_right_is_invalid(parts: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        organization_balance(organization(**parts))
    assert str(caught.value) == problem


@pytest.mark.parametrize("value", ["1e999", "", {}, True], ids=repr)
def test_a_part_that_cannot_be_read_does_not_withhold_the_total(value: object) -> None:
    for part in ["spot", "staked", "pledged"]:
        balance = organization_balance(organization(**{part: value}))
        assert (balance.total, getattr(balance, part)) == (Decimal("12345.6789"), None)
        assert balance.invalid_fields == (InvalidField(part, NOT_FINITE, rows=1, position=None),)


def test_an_answer_cannot_set_invalid_fields_itself() -> None:
    balance = organization_balance(organization(invalid_fields=[["total", "is wrong", 1, 0]]))
    assert balance.invalid_fields == ()


@pytest.mark.parametrize(
    ("written", "quote_asset"),
    [
        ({"balance": {"total": "1"}, "quote_asset": "EUR"}, "EUR"),
        ({"balance": {"total": "1"}}, "USD"),
        ({"balance": {"total": "1", "quote_asset": "EUR"}}, "USD"),
        ({"balance": {"total": "1"}, "quote_asset": 7}, "USD"),
        ({"result": {"balance": {"total": "1"}, "quote_asset": "EUR"}}, "EUR"),
        ({"result": {"balance": {"total": "1"}}, "error": []}, "USD"),
    ],
)
def test_a_total_may_come_in_an_envelope(written: object, quote_asset: str) -> None:
    assert organization_balance(document(written)) == OrganizationBalance(
        quote_asset=quote_asset, total=Decimal(1)
    )


@pytest.mark.parametrize(
    "written", [None, 7, "x", [], {}, {"balance": None}, {"balance": []}, {"result": []}], ids=repr
)
def test_an_answer_without_a_balance_is_invalid(written: object) -> None:
    with pytest.raises(InvalidAnswerError, match="has no balance"):
        organization_balance(document(written))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[",
        b"[]]",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"'a'",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(body)


def test_a_vault_of_three_and_a_half_thousand_whole_rows_is_read() -> None:
    body = json.dumps([row(asset=f"T{number}") for number in range(2_700)]).encode()
    assert len(body) < 4 * MIB
    assert len(vault_balances(parse_json(body)).rows) == 2_700


def test_reading_yields_to_the_event_loop_every_hundred_rows() -> None:
    rows = [row(asset=f"T{number}") for number in range(2_000)]
    # Once as each row is read, and once as their amounts are put together.
    assert sum(1 for _ in vault_steps(document(rows))) == 2 * (2_000 // ROWS_AT_ONCE - 1)
    assert sum(1 for _ in vault_steps(document(rows[:ROWS_AT_ONCE]))) == 0


def usual(written: object) -> VaultBalances | None:
    return at_once(usual_steps(bytearray(json.dumps(written).encode())))


USUAL = row(launch_time="2023-11-14T22:13:20Z")
QUOTED = row(asset="ETH", quote_asset=MISSING, staked="0.5", launch_time="1700000000")


@pytest.mark.parametrize(
    "written",
    [
        [],
        [USUAL, QUOTED],
        {"result": [USUAL, QUOTED], "quote_asset": "EUR"},
        {"result": [QUOTED], "error": [], "errors": None, "next": {"page": [1]}},
    ],
)
def test_the_fast_way_reads_what_is_as_usual(written: object) -> None:
    assert usual(written) == vault_balances(document(written))


@pytest.mark.parametrize(
    "written",
    [
        None,
        {"result": None},
        {"result": [USUAL], "error": ["EGeneral:Internal error"]},
        {"result": [USUAL], "errors": [{"severity": "E"}]},
        {"result": [USUAL], "error": "unknown"},
        {"result": [USUAL], "type": "tag:kraken.com,2025:PermissionDenied"},
        {"result": [USUAL], "quote_asset": 7},
        [USUAL, USUAL],
        [USUAL, row(asset="ETH", hold=None)],
        [row(balance="1\n2")],
        [row(balance="1\n")],
        [row(balance="NaN")],
        [row(balance="-Infinity")],
        [row(balance="1.7" + "0" * 58)],
        [row(quote_price="1e5")],
        [row(min_lot="1_0")],
        [row(launch_time="1_0")],
        [row(name="")],
        [row(name="x" * 129)],
        [row(decimals=1000)],
        [row(asset="\ud83d")],
        [QUOTED] * ROWS_AT_ONCE + [row(balance="x")],
    ],
    ids=lambda written: repr(written)[-40:],
)
def test_the_fast_way_leaves_all_else_to_a_look_at_each_value(written: object) -> None:
    assert usual(written) is None


def test_the_fast_way_does_not_read_more_than_the_other() -> None:
    rows = [{name: row(asset=f"T{number}")[name] for name in REQUIRED} for number in range(8_001)]
    answer = usual(rows[:8_000])
    assert answer is not None
    assert len(answer.rows) == 8_000
    assert usual(rows) is None
    assert usual([USUAL | {"metadata": [0] * 75_000}]) is None


def test_others_may_come_between_a_hundred_rows_of_the_fast_way() -> None:
    rows = [row(asset=f"T{number}") for number in range(2_000)]
    steps = usual_steps(bytearray(json.dumps(rows).encode()))
    assert sum(1 for _ in steps) == 2_000 // ROWS_AT_ONCE - 1


BODY = json.dumps({"result": [USUAL, QUOTED], "quote_asset": "EUR", "error": []}).encode()
SNIPPETS = st.binary(min_size=1, max_size=3) | st.sampled_from(
    [
        *rb'" \ \ud83d \u0061 - + 0 . e9 NaN null [] {} , :'.split(),
        *(b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xd9\xa1", b"\x00", b"\n", b"\x0c"),
        *(b'"balance": "7", ', b'"asset": null, ', b'"staked": true, ', b'"result": [], '),
    ]
)


@given(
    place=st.integers(min_value=0, max_value=len(BODY)),
    instead_of=st.integers(min_value=0, max_value=3),
    snippet=SNIPPETS,
)
@example(place=BODY.index(b"#F7931A"), instead_of=1, snippet=b"\xff")
@example(place=BODY.index(b"color_code"), instead_of=1, snippet=b"\xff")
@example(place=BODY.index(b"#F7931A"), instead_of=1, snippet=b"\n")
@example(place=BODY.index(b'"balance"'), instead_of=0, snippet=b'"balance": "7", ')
def test_a_damaged_body_is_the_same_both_ways_or_not_for_the_fast_one(
    place: int, instead_of: int, snippet: bytes
) -> None:
    body = BODY[:place] + snippet + BODY[place + instead_of :]
    fast = at_once(usual_steps(bytearray(body)))
    if fast is not None:
        # By their texts: 1 is equal to true.
        assert repr(fast) == repr(vault_balances(parse_json(body)))


FIELDS = st.sampled_from(
    [*AssetBalance.__struct_fields__, "balance", "result", "total", "metadata"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["1.5", "1e999", "NaN", "-0", "9" * 400, "1e-9999", "2023-11-14T22:13:20Z"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(), inner),
    max_leaves=20,
)
ALMOST_ROWS = st.dictionaries(FIELDS, LEAVES).map(lambda fields: row(**fields))
ALMOST_VAULTS = st.lists(ALMOST_ROWS | VALUES, max_size=4)
DOCUMENTS = (
    VALUES
    | ALMOST_VAULTS
    | st.fixed_dictionaries({"result": ALMOST_VAULTS}, optional={"quote_asset": VALUES})
    | st.fixed_dictionaries({"balance": st.dictionaries(FIELDS, LEAVES)})
    | st.fixed_dictionaries({"result": st.fixed_dictionaries({"balance": VALUES})})
)


def amounts(row: AssetBalance) -> list[float]:
    written = (getattr(row, field) for field in (*REQUIRED_AMOUNTS, *OPTIONAL_AMOUNTS, "min_lot"))
    return [float(amount) for amount in written if amount is not None]


@given(written=DOCUMENTS)
def test_any_json_is_a_vault_of_finite_amounts_or_invalid(written: Any) -> None:
    try:
        answer = read_vault(json.dumps(written))
    except InvalidAnswerError:
        assert usual(written) is None
        return
    assert all(math.isfinite(amount) for kept in answer.rows for amount in amounts(kept))
    keys = [(kept.asset, kept.asset_class) for kept in answer.rows]
    assert len(set(keys)) == len(keys)
    given = written["result"] if isinstance(written, dict) else written
    assert len(answer.rows) + len(answer.invalid) == len(given)
    assert [asset.key for asset in answer.assets] == keys
    repr(answer.assets).encode()  # Every text can be exposed.


@given(written=DOCUMENTS)
def test_any_json_is_a_total_of_finite_amounts_or_invalid(written: Any) -> None:
    try:
        balance = organization_balance(document(written))
    except InvalidAnswerError:
        return
    parts = (balance.total, balance.spot, balance.staked, balance.pledged)
    assert all(math.isfinite(amount) for amount in parts if amount is not None)
    balance.quote_asset.encode()
