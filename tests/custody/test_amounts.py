"""The amounts that are kept of an answer: each digit that the API wrote, and little memory."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from exporter.custody.amounts import FIELDS, TOTAL_FIELDS, Amounts, pack, unpack
from exporter.custody.models import vault_balances
from tests.metrics.answers import read_organization, row, vault_answer

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)


def amounts(**values: str) -> tuple[Decimal | None, ...]:
    return tuple(Decimal(values[field]) if field in values else None for field in FIELDS)


def test_every_digit_stays() -> None:
    answer = vault_answer(
        row(
            balance="1104.5891561100",
            spot="1e-8",
            hold="0.00000000",
            available="-0.10",
            quote_price="65000",
        )
    )
    expected = amounts(
        balance="1104.5891561100",
        spot="1E-8",
        hold="0.00000000",
        available="-0.10",
        quote_price="65000",
    )
    (found,) = unpack(pack(answer))
    assert found == Amounts("USD", expected)
    assert list(map(str, found.amounts)) == list(map(str, expected))


def test_what_the_api_left_out_is_none_and_never_zero() -> None:
    (found,) = unpack(pack(vault_answer(row(pledged=None))))
    assert dict(zip(FIELDS, found.amounts, strict=True)) == {
        **dict.fromkeys(FIELDS),
        **dict.fromkeys(("balance", "spot", "hold", "available"), Decimal(0)),
    }


def test_each_row_has_its_own_quote_asset_or_that_of_the_answer() -> None:
    document = {"result": [row("BTC", quote_asset="EUR"), row("ETH")], "quote_asset": "GBP"}
    answer = vault_balances(document)
    assert [found.quote_asset for found in unpack(pack(answer))] == ["EUR", "GBP"]


def test_the_total_of_an_organization_is_kept_with_its_parts() -> None:
    text = '{"quote_asset": "USD", "balance": {"total": "30.10", "spot": "30.1", "staked": null}}'
    expected = (Decimal("30.10"), Decimal("30.1"), None, None)
    assert TOTAL_FIELDS == ("total", "spot", "staked", "pledged")
    assert unpack(pack(read_organization(text))) == [Amounts("USD", expected)]


def test_an_empty_vault_has_no_amounts() -> None:
    assert unpack(pack(vault_answer())) == []


@given(st.lists(st.tuples(st.text(min_size=1, max_size=64), DECIMALS, st.none() | DECIMALS)))
def test_whatever_an_answer_has_comes_back(
    rows: list[tuple[str, Decimal, Decimal | None]],
) -> None:
    elements = [
        row(
            f"A{number}",
            balance=str(balance),
            staked=None if staked is None else str(staked),
            quote_asset=quote_asset.encode(errors="ignore").decode() or "USD",
        )
        for number, (quote_asset, balance, staked) in enumerate(rows)
    ]
    answer = vault_answer(*elements)
    assert unpack(pack(answer)) == [
        Amounts(entry.quote_asset or "USD", tuple(getattr(entry, field) for field in FIELDS))
        for entry in answer.rows
    ]


def test_a_row_takes_less_than_a_third_of_what_the_api_wrote_of_it() -> None:
    rows = [
        row(
            f"T{number:04}",
            balance=f"{1000 + number * 1.7:.8f}",
            spot=f"{900 + number * 1.3:.8f}",
            available=f"{900 + number * 1.3:.8f}",
        )
        for number in range(50)
    ]
    assert len(pack(vault_answer(*rows))) < len(json.dumps(rows)) / 3
