"""The sample lines of an answer: one for each amount that the API sent, and no other."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.lines import Lines, Page, count_series, label_set
from exporter.resources.vault_balances import BALANCES, Asset
from tests.resources.answers import (
    EXPECTED,
    HOT,
    ORGANIZATION,
    ORGANIZATION_EXAMPLE,
    VAULT_EXAMPLE,
    exposed,
    lines_of,
    make_store,
    page,
    put,
    read_organization,
    read_vault,
    row,
    vault_answer,
    vault_target,
)

AMOUNTS = {
    "balance": "kraken_custody_vault_balance",
    "spot": "kraken_custody_vault_spot_balance",
    "hold": "kraken_custody_vault_hold_balance",
    "available": "kraken_custody_vault_available_balance",
    "pledged": "kraken_custody_vault_pledged_balance",
    "staked": "kraken_custody_vault_staked_balance",
    "balance_diff": "kraken_custody_vault_balance_diff",
}
QUOTES = {
    "quote_balance": "kraken_custody_vault_quote_balance",
    "quote_spot_balance": "kraken_custody_vault_quote_spot_balance",
    "quote_available": "kraken_custody_vault_quote_available_balance",
    "quote_price": "kraken_custody_vault_quote_price",
}
REQUIRED = ("balance", "spot", "hold", "available")
OPTIONAL = tuple(field for field in (*AMOUNTS, *QUOTES) if field not in REQUIRED)
BTC = 'org="acme",vault="hot",vault_id="VABCDEF234567A",asset="BTC",asset_class="currency"'


def texts(lines: Lines) -> dict[str, str]:
    return {name: text.decode() for name, text in lines.items()}


def described(**descriptions: Any) -> Asset:
    fields: dict[str, Any] = dict.fromkeys(Asset._fields)
    return Asset(**fields | {"asset": "BTC", "asset_class": "currency"} | descriptions)


def test_the_example_of_a_vault_is_exposed_as_documented() -> None:
    store = make_store(HOT)
    put(store, HOT, read_vault(VAULT_EXAMPLE))
    assert page(store) == (EXPECTED / "vault.prom").read_text()


def test_the_example_of_an_organization_is_exposed_as_documented() -> None:
    store = make_store(ORGANIZATION)
    put(store, ORGANIZATION, read_organization(ORGANIZATION_EXAMPLE))
    assert page(store) == (EXPECTED / "organization.prom").read_text()


@pytest.mark.parametrize(("field", "metric"), AMOUNTS.items())
def test_each_amount_has_its_own_metric(field: str, metric: str) -> None:
    lines = texts(lines_of(HOT, vault_answer(row(**{field: "12.25"}))))
    assert lines[metric] == f"{metric}{{{BTC}}} 12.25\n"


@pytest.mark.parametrize(("field", "metric"), QUOTES.items())
def test_each_quoted_amount_has_its_own_metric_and_names_its_currency(
    field: str, metric: str
) -> None:
    lines = texts(lines_of(HOT, vault_answer(row(**{field: "12.25", "quote_asset": "EUR"}))))
    assert lines[metric] == f'{metric}{{{BTC},quote_asset="EUR"}} 12.25\n'


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_field_that_the_api_omits_has_no_sample(field: str) -> None:
    others: dict[str, Any] = {name: "7" for name in OPTIONAL if name != field}
    expected = {name for source, name in {**AMOUNTS, **QUOTES}.items() if source != field}
    assert lines_of(HOT, vault_answer(row(**others))).keys() == expected
    assert lines_of(HOT, vault_answer(row(**{**others, field: None}))).keys() == expected


@pytest.mark.parametrize("zero", ["0", "0.00000000", "0E-8"])
def test_a_zero_of_the_api_is_a_zero(zero: str) -> None:
    lines = texts(lines_of(HOT, vault_answer(row(balance=zero))))
    assert lines["kraken_custody_vault_balance"] == f"kraken_custody_vault_balance{{{BTC}}} 0.0\n"


@pytest.mark.parametrize(
    ("written", "exposed"),
    [
        ("0.1", "0.1"),
        ("-0.10000000", "-0.1"),
        ("1240.50000000", "1240.5"),
        ("123456789.12345678", "123456789.12345678"),
        ("0.000000000000000001", "1e-18"),
        ("100000000000000000000000", "1e+23"),
        ("9007199254740993", "9007199254740992.0"),  # The limit of floats: 2**53 + 1 is not one.
        ("1.00000000000000000001", "1.0"),
    ],
)
def test_an_amount_is_the_float_nearest_to_what_was_written(written: str, exposed: str) -> None:
    lines = texts(lines_of(HOT, vault_answer(row(balance=written))))
    assert lines["kraken_custody_vault_balance"].split(" ")[1] == f"{exposed}\n"


def test_a_row_without_a_quote_asset_has_the_one_of_the_envelope() -> None:
    answer = read_vault(
        '{"result": [{"asset": "BTC", "asset_class": "currency", "balance": "1", "spot": "1", '
        '"hold": "0", "available": "1", "quote_price": "2"}], "quote_asset": "EUR"}'
    )
    lines = texts(lines_of(HOT, answer))
    assert 'quote_asset="EUR"' in lines["kraken_custody_vault_quote_price"]


def test_an_empty_vault_has_no_samples() -> None:
    assert lines_of(HOT, vault_answer()) == {}


@pytest.mark.parametrize("missing", ["spot", "staked", "pledged"])
def test_a_missing_component_of_the_total_has_no_sample(missing: str) -> None:
    parts = {"total": "9", "spot": "4", "staked": "3", "pledged": "2"}
    del parts[missing]
    balance = ", ".join(f'"{name}": "{amount}"' for name, amount in parts.items())
    lines = texts(lines_of(ORGANIZATION, read_organization(f'{{"balance": {{{balance}}}}}')))
    assert lines["kraken_custody_organization_quote_balance"].endswith(" 9.0\n")
    components = lines["kraken_custody_organization_quote_component_balance"]
    assert components.count("\n") == 2
    assert f'component="{missing}"' not in components


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("plain", "plain"),
        ("", ""),
        ('say "hi"', r"say \"hi\""),
        ("back\\slash", r"back\\slash"),
        ("two\nlines", r"two\nlines"),
        ("not a line\\n", r"not a line\\n"),
        ('\\"\n', r"\\\"\n"),
        ("Zürich 東京 🪙", "Zürich 東京 🪙"),
        ("a,b={}#", "a,b={}#"),
    ],
)
def test_a_label_value_is_escaped_as_both_formats_want_it(value: str, escaped: str) -> None:
    assert label_set(("a", "b"), (value, "x")) == f'a="{escaped}",b="x"'


def test_each_label_needs_its_value() -> None:
    with pytest.raises(ValueError, match="shorter"):
        label_set(("a", "b"), ("x",))


def test_names_and_codes_are_escaped_in_every_line() -> None:
    target = vault_target('say "hi"', organization="a\\b")
    lines = texts(lines_of(target, vault_answer(row("two\nlines", quote_price="1"))))
    labels = (
        r'org="a\\b",vault="say \"hi\"",vault_id="VABCDEF234567A",'
        r'asset="two\nlines",asset_class="currency"'
    )
    metric = "kraken_custody_vault_balance"
    assert lines[metric] == f"{metric}{{{labels}}} 0.0\n"
    metric = "kraken_custody_vault_quote_price"
    assert lines[metric] == f'{metric}{{{labels},quote_asset="USD"}} 1.0\n'


def test_thresholds_are_exposed_by_asset() -> None:
    target = vault_target(min_available={"BTC": Decimal("0.50"), "USD": Decimal(1000)})
    assert texts(target.facts) == {
        "kraken_custody_vault_min_available_balance": (
            "kraken_custody_vault_min_available_balance"
            '{org="acme",vault="hot",vault_id="VABCDEF234567A",asset="BTC"} 0.5\n'
            "kraken_custody_vault_min_available_balance"
            '{org="acme",vault="hot",vault_id="VABCDEF234567A",asset="USD"} 1000.0\n'
        )
    }


def test_an_asset_has_its_descriptions_as_labels_and_its_numbers_as_samples() -> None:
    asset = described(
        name="Bitcoin",
        name_full="Bitcoin (full)",
        symbol="₿",
        virtual=True,
        reserve=False,
        decimals=10,
        display_decimals=8,
        rate_decimals=4,
        funding_decimals=0,
        min_lot=Decimal("0.00010000"),
        launch_time=Decimal(1_700_000_000),
    )
    assert texts(asset.lines()) == {
        "kraken_custody_asset_info": (
            'kraken_custody_asset_info{asset="BTC",asset_class="currency",name="Bitcoin",name_full="Bitcoin (full)",'
            'symbol="₿",virtual="true",reserve="false",decimals="10",display_decimals="8",rate_decimals="4",'
            'funding_decimals="0"} 1.0\n'
        ),
        "kraken_custody_asset_min_lot": (
            'kraken_custody_asset_min_lot{asset="BTC",asset_class="currency"} 0.0001\n'
        ),
        "kraken_custody_asset_launch_timestamp_seconds": (
            'kraken_custody_asset_launch_timestamp_seconds{asset="BTC",asset_class="currency"} 1700000000.0\n'
        ),
    }


def test_an_asset_that_is_not_described_has_empty_labels_and_no_numbers() -> None:
    assert texts(described().lines()) == {
        "kraken_custody_asset_info": (
            'kraken_custody_asset_info{asset="BTC",asset_class="currency",name="",name_full="",symbol="",virtual="",'
            'reserve="",decimals="",display_decimals="",rate_decimals="",funding_decimals=""} 1.0\n'
        )
    }


def test_series_are_counted_whatever_the_labels_hold() -> None:
    lines = lines_of(HOT, vault_answer(row("two\nlines"), row("BTC", quote_price="1")))
    assert count_series(lines) == 4 + 5


def test_rows_count_what_the_answer_held_and_invalid_rows_what_of_it_was_rejected() -> None:
    rejected = row("ETH", balance=None)
    balances = exposed(HOT, vault_answer(row("BTC"), rejected, row("BTC"), row("USD")))
    assert (balances.rows, len(balances.rejected)) == (4, 2)
    assert [described.key for described in balances.described] == [
        ("BTC", "currency"),
        ("USD", "currency"),
    ]
    assert balances.series == 2 * 4


def test_invalid_fields_are_those_of_the_rows_that_count() -> None:
    rows = [
        row("BTC", staked="x", name=7),
        row("ETH", staked="y", quote_price="1"),
        row("BTC", staked="z"),
        row("USD", staked="x", hold=None),
    ]
    balances = exposed(HOT, vault_answer(*rows))
    assert (balances.rows, len(balances.rejected)) == (4, 2)
    assert [(it.field, it.rows) for it in balances.unread] == [("staked", 2), ("name", 1)]
    assert balances.series == 4 + 4 + 1


def test_a_total_whose_part_cannot_be_read_has_an_invalid_field() -> None:
    text = '{"balance": {"total": "3", "spot": "x", "staked": "1"}}'
    balances = exposed(ORGANIZATION, read_organization(text))
    assert (balances.series, [(it.field, it.rows, it.position) for it in balances.unread]) == (
        2,
        [("spot", 1, None)],
    )


WRITTEN = st.none() | st.decimals(-(10**20), 10**20, places=8).map(lambda it: f"{it or abs(it):f}")
ANSWERS = st.lists(
    st.fixed_dictionaries({it.metric.source: WRITTEN for it in BALANCES}), max_size=9
)


@given(
    ANSWERS, st.lists(st.sampled_from(["USD", "EUR", 'a "quote"', None]), min_size=9, max_size=9)
)
def test_lines_are_those_that_each_sample_makes_for_itself(
    amounts: list[dict[str, str | None]], quote_assets: list[str | None]
) -> None:
    rows = [
        row(f"A{number}", quote_asset=quote_asset, **{k: v for k, v in fields.items() if v})
        for number, (fields, quote_asset) in enumerate(zip(amounts, quote_assets, strict=False))
    ]
    page = Page()
    for it in BALANCES:
        for fields in rows:
            labels = ("acme", "hot", "VABCDEF234567A", fields["asset"], fields["asset_class"])
            quote = (fields["quote_asset"] or "USD",) if it.is_quote else ()
            written = fields.get(it.metric.source)
            amount = None if written is None else Decimal(written)
            page.sample(it.metric, (*labels, *quote), amount)
    found = exposed(HOT, vault_answer(*rows))
    assert list(found.lines) == list(page.done())
    assert texts(found.lines) == texts(page.done())
    assert found.series == count_series(found.lines)


def test_an_answer_of_many_rows_becomes_the_same_lines_in_steps() -> None:
    rows = [row(f"A{number}", quote_price="1" if number > 150 else None) for number in range(250)]
    answer = vault_answer(*rows)
    # For the assets, of which none was described before.
    assert sum(1 for _ in answer.expose(HOT, ())) == 2
    lines = lines_of(HOT, answer)
    each = [lines_of(HOT, vault_answer(one)) for one in rows]
    assert list(lines) == list(each[-1])
    assert lines == {
        name: b"".join(page[name] for page in each if name in page) for name in each[-1]
    }


def test_the_examples_make_as_many_series_as_they_have_amounts() -> None:
    vault = exposed(HOT, read_vault(VAULT_EXAMPLE))
    organization = exposed(ORGANIZATION, read_organization(ORGANIZATION_EXAMPLE))
    assert vault.series == 10 + 8
    assert organization.series == 4
    assert (organization.rows, organization.described) == (None, ())
