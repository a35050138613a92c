"""Worth: exact sums of amounts, by quote asset, and what they lack.

A sum that omits something never looks complete: assets without a price are counted beside it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from typing import Final, NamedTuple

# Rather no sum than one that is not exact.
_EXACTLY: Final = Context(prec=400, traps=[Inexact])


class Cell(NamedTuple):
    """An amount, None where the API left it out. unit: empty where it is the row's own asset."""

    amount: Decimal | None
    unit: str


Sum = tuple[Decimal | None, str]
"""An amount and its unit, as in a Cell, but plain: thousands of them are none that the garbage collector visits."""


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


def sums(cells: Iterable[Sum]) -> tuple[Cell, ...]:
    """Return the sum in each unit, in the order in which they appear; None where it cannot be told."""
    found: dict[str, Decimal | None] = {}
    for amount, unit in cells:
        found[unit] = plus(found[unit], amount) if unit in found else amount
    return tuple(Cell(amount, unit) for unit, amount in found.items())


@dataclass(frozen=True, slots=True)
class Worth:
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


class Adding:
    """Adds up the worth of a vault row by row. min_available: the configured minima, by asset."""

    def __init__(self, min_available: Mapping[str, Decimal]) -> None:
        self._missing = dict(min_available)
        self._min_available = min_available
        self._total: dict[str, Decimal | None] = {}
        self._unpriced = self._short = 0

    def add(self, asset: str, balance: str, available: str, worth: str | None, unit: str) -> None:
        """Add a row, with amounts as they are written. worth: of the balance, in `unit`."""
        if worth is not None:
            self._total[unit] = plus(self._total.get(unit, Decimal(0)), Decimal(worth))
        else:
            self._unpriced += is_unpriced(balance, worth)
        if self._min_available:
            self._missing.pop(asset, None)
            self._short += is_short(Decimal(available), self._min_available.get(asset))

    def worth(self, *, is_whole: bool) -> Worth:
        """Return the sum. is_whole: whether these are all rows, so that nothing is held of other assets."""
        nothing = Decimal(0)
        missing = sum(is_short(nothing, minimum) for minimum in self._missing.values())
        return Worth(
            total=tuple([(amount, unit) for unit, amount in self._total.items()]),
            unpriced=self._unpriced,
            short=self._short + (missing if is_whole else 0),
        )


def is_unpriced(balance: str | None, worth: str | None) -> bool:
    """Whether something is held that no total includes. The amounts are as written by the API."""
    return worth is None and balance is not None and bool(Decimal(balance))


def is_short(available: Decimal | None, minimum: Decimal | None) -> bool:
    """Whether less is available than the minimum."""
    return available is not None and minimum is not None and available < minimum
