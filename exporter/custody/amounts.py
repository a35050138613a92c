"""Keeps the amounts of an answer as the API wrote them, packed: who looks at them is rare, and memory is dear."""

import json
from collections.abc import Iterable
from decimal import Decimal
from operator import attrgetter
from typing import Final, NamedTuple

from isal import isal_zlib

from exporter.custody.models import OrganizationBalance, VaultBalances

FIELDS: Final = (
    "balance",
    "spot",
    "hold",
    "available",
    "pledged",
    "staked",
    "quote_price",
    "quote_balance",
)
"""Of a row; the other quote amounts are products of these."""
TOTAL_FIELDS: Final = ("total", "spot", "staked", "pledged")
"""Of an organization's total."""

_FASTEST_USEFUL: Final = 1
_of_row = attrgetter(*FIELDS)
_of_total = attrgetter(*TOTAL_FIELDS)


class Amounts(NamedTuple):
    """The amounts of one row, or of an organization's total.

    quote_asset: the currency of the quote amounts. amounts: in the order of FIELDS or TOTAL_FIELDS, with every digit
    that the API wrote; None for what it left out.
    """

    quote_asset: str
    amounts: tuple[Decimal | None, ...]


def pack(answer: VaultBalances | OrganizationBalance) -> bytes:
    """Return the amounts of `answer` in about 5 bytes for each of its series."""
    if isinstance(answer, OrganizationBalance):
        return _packed([answer.quote_asset], [_of_total(answer)])
    quote_assets = [row.quote_asset or answer.quote_asset for row in answer.rows]
    return _packed(quote_assets, map(_of_row, answer.rows))


def unpack(packed: bytes) -> list[Amounts]:
    """Return the amounts that were packed, one entry for each row in its order, or for the total."""
    quote_assets, *rows = isal_zlib.decompress(packed).decode().split("\n")
    return [
        Amounts(quote_asset, tuple(Decimal(text) if text else None for text in row.split("\t")))
        for quote_asset, row in zip(json.loads(quote_assets), rows, strict=True)
    ]


def _packed(quote_assets: list[str], rows: Iterable[tuple[Decimal | None, ...]]) -> bytes:
    # Codes may hold anything, so JSON escapes them; a decimal has neither a tab nor a line feed.
    lines = [json.dumps(quote_assets)]
    lines += ["\t".join(["" if value is None else str(value) for value in row]) for row in rows]
    return isal_zlib.compress("\n".join(lines).encode(), _FASTEST_USEFUL)
