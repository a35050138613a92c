"""The amounts kept of an answer: every digit that the API wrote, in little memory."""

from decimal import Decimal
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from exporter.resources.vault_balances import BALANCES, Amounts, Packed, VaultBalances
from tests.resources.answers import (
    HOT,
    VAULT_EXAMPLE,
    exposed,
    read_vault,
    row,
    vault_answer,
    vault_balances,
)

FIELDS = [it.metric.source for it in BALANCES]
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)


def amounts(**values: str) -> tuple[str | None, ...]:
    return tuple(values.get(field) for field in FIELDS)


def packed(answer: VaultBalances) -> Packed:
    kept = exposed(HOT, answer).kept
    assert isinstance(kept, Packed)
    return kept


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
        spot="1e-8",
        hold="0.00000000",
        available="-0.10",
        quote_price="65000",
    )
    assert packed(answer).rows() == [Amounts("USD", expected)]


def test_what_the_api_left_out_is_none_and_never_zero() -> None:
    (found,) = packed(vault_answer(row(pledged=None))).rows()
    assert dict(zip(FIELDS, found.values, strict=True)) == {
        **dict.fromkeys(FIELDS),
        **dict.fromkeys(("balance", "spot", "hold", "available"), "0"),
    }


def test_each_row_has_its_own_quote_asset_or_that_of_the_answer() -> None:
    document = {"result": [row("BTC", quote_asset="EUR"), row("ETH")], "quote_asset": "GBP"}
    answer = vault_balances(document)
    assert packed(answer).quote_assets == ("EUR", "GBP")


def test_vaults_share_the_text_of_a_quote_asset_but_none_is_interned() -> None:
    with patch("sys.intern") as intern:
        one, other = (packed(vault_answer(row(quote_asset="EUR " * 9))) for _ in range(2))
    assert one.quote_assets[0] is other.quote_assets[0]
    # In Python 3.12 it would stay in memory for good.
    intern.assert_not_called()


def test_an_empty_vault_has_no_amounts() -> None:
    assert packed(vault_answer()).rows() == []


@given(st.lists(st.tuples(st.text(min_size=1, max_size=64), DECIMALS, st.none() | DECIMALS)))
def test_packing_is_lossless(
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
    assert packed(answer).rows() == [
        Amounts(entry.quote_asset or "USD", tuple(getattr(entry, field) for field in FIELDS))
        for entry in answer.rows
    ]


def test_an_answer_takes_less_than_half_of_what_the_api_wrote_of_it() -> None:
    kept = packed(read_vault(VAULT_EXAMPLE))
    assert len("".join(kept.written + kept.numbers)) < len(VAULT_EXAMPLE) / 2
