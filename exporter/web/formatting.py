"""Formats ages, times and amounts for pages: short if that is enough, and never inexact."""

import functools
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from exporter.durations import duration, whole_duration
from exporter.resources.target import listed

UNKNOWN = "–"  # noqa: RUF001 - a dash marks an empty cell
MOST_PLACES: Final = 70


def age(seconds: float) -> str:
    """Return how long ago something was, in whole seconds and at most two units."""
    return f"{_whole(seconds)} ago" if seconds >= 1 else "just now"


def lasting(seconds: float) -> str:
    """Return how long something has lasted."""
    return f"for {_whole(seconds)}" if seconds >= 1 else "just now"


def wait(seconds: float) -> str:
    """Return how long until something may happen."""
    return f"in {_whole(seconds)}" if seconds >= 1 else "now"


def _whole(seconds: float) -> str:
    return whole_duration(int(seconds), most_units=2)


class Timestamp(NamedTuple):
    """A time, for machines (`2026-11-21T12:00:00Z`) and for people (`2026-11-21 12:00:00 UTC`)."""

    iso: str
    utc: str


def moment(at: float) -> Timestamp:
    """Format Unix seconds, to the second."""
    return _second(int(at))


def rfc3339(at: float) -> str:
    """Format Unix seconds as `2026-11-21T12:00:00.000Z`."""
    second, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_second(second).iso[:-1]}.{milliseconds:03}Z"


# 2,000 targets have 40,000 moments, most of them shared: without, their JSON would take 165 ms, not 100 ms.
@functools.lru_cache(maxsize=4096)
def _second(at: int) -> Timestamp:
    utc = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    return Timestamp(f"{utc.replace(' ', 'T')}Z", f"{utc} UTC")


def amount(value: Decimal) -> str:
    """Format an amount with every digit, grouped by three before the point."""
    return f"{value:,f}" if _is_usual(value) else str(value)


def exact(value: Decimal) -> str:
    """Format an amount with every digit, for machines."""
    return f"{value:f}" if _is_usual(value) else str(value)


def _is_usual(value: Decimal) -> bool:
    """Whether a value is written without an exponent: 1E-9999 would have 9,999 digits, in thousands of rows."""
    return abs(value.adjusted()) < MOST_PLACES


FILTERS: dict[str, Callable[..., object]] = {
    "listed": listed,
    "duration": duration,
    "age": age,
    "lasting": lasting,
    "wait": wait,
    "moment": moment,
    "amount": amount,
    "exact": exact,
}
