"""Worth: exact sums of amounts, by quote asset, and what they lack.

A sum that omits something never looks complete: assets without a price are counted beside it.
"""

import functools
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact
from typing import Final, NamedTuple, cast

from msgspec import Struct

# No sum is better than an inexact one.
_EXACTLY: Final = Context(prec=400, traps=[Inexact])


class Cell(NamedTuple):
    """An amount, None if the API left it out. unit: empty if it is the row's own asset."""

    amount: Decimal | None
    unit: str


Sum = tuple[Decimal | None, str]
"""An amount and its unit, as in a Cell, but plain: the garbage collector does not visit thousands of them."""


def plus(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    """Return the exact sum; None if either is None or the sum cannot be exact."""
    if first is None or second is None:
        return None
    try:
        return _EXACTLY.add(first, second)
    except Inexact:
        return None


def minus(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    """Return the exact difference; None in the same cases as `plus`."""
    return None if second is None else plus(first, second.copy_negate())


def sums(amounts: Iterable[tuple[Decimal | None, str]]) -> tuple[Cell, ...]:
    """Return the sum in each unit, in the order in which they appear; None if it cannot be exact."""
    found: dict[str, list[Decimal | None]] = {}
    for amount, unit in amounts:
        found.setdefault(unit, []).append(amount)
    return tuple([Cell(_sum(those), unit) for unit, those in found.items()])


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    return None if None in amounts else exact_sum(cast("list[Decimal]", amounts))


def exact_sum(amounts: Iterable[Decimal]) -> Decimal | None:
    """Return the sum of one amount or more; None if it cannot be exact."""
    try:
        return functools.reduce(_EXACTLY.add, amounts)
    except Inexact:
        return None


class Worth(Struct, frozen=True):
    """The worth in an answer.

    total: in each quote asset; an amount is None if it cannot be exact.
    parts: of the total, by their names in the API.
    unpriced: number of assets that are held but have no worth, so that the total lacks them.
    short: number of assets of which less is available than the configured minimum.
    """

    total: tuple[Sum, ...] = ()
    parts: Mapping[str, Cell] | None = None
    unpriced: int = 0
    short: int = 0


def shortages(
    available: Iterable[tuple[str, str]], minima: Mapping[str, Decimal], *, is_whole: bool
) -> int:
    """Return of how many assets less is available than the configured minimum.

    available: amounts as they are written, after their assets. is_whole: whether nothing is available of others.
    """
    if not minima:
        return 0
    rows = [(asset, Decimal(amount)) for asset, amount in available if asset in minima]
    if is_whole:
        rows += [(asset, Decimal(0)) for asset in minima.keys() - {asset for asset, _ in rows}]
    return sum(amount < minima[asset] for asset, amount in rows)


def is_unpriced(balance: str | None, worth: str | None) -> bool:
    """Whether something is held that no total includes. The amounts are as written by the API."""
    return worth is None and balance is not None and bool(Decimal(balance))


def is_short(available: Decimal | None, minimum: Decimal | None) -> bool:
    """Whether less is available than the minimum."""
    return available is not None and minimum is not None and available < minimum
