"""How pages write ages, moments and amounts: short where that is enough, and never as a wrong figure."""

import functools
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from exporter.durations import duration, whole_duration
from exporter.resources.target import listed

UNKNOWN = "–"  # noqa: RUF001 - a dash is what tables have where there is nothing
MOST_PLACES: Final = 70


def age(seconds: float) -> str:
    """Return how long ago something was; whole seconds are enough there, in two units."""
    return f"{_whole(seconds)} ago" if seconds >= 1 else "just now"


def lasting(seconds: float) -> str:
    """Return for how long something has been so."""
    return f"for {_whole(seconds)}" if seconds >= 1 else "just now"


def wait(seconds: float) -> str:
    """Return how long until something may happen."""
    return f"in {_whole(seconds)}" if seconds >= 1 else "now"


def _whole(seconds: float) -> str:
    return whole_duration(int(seconds), most_units=2)


class Timestamp(NamedTuple):
    """A moment, for machines (`2026-11-21T12:00:00Z`) and for people (`2026-11-21 12:00:00 UTC`)."""

    iso: str
    utc: str


def moment(at: float) -> Timestamp:
    """Return a moment in Unix seconds, to the second."""
    return _second(int(at))


def rfc3339(at: float) -> str:
    """Return a moment in Unix seconds as `2026-11-21T12:00:00.000Z`."""
    second, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_second(second).iso[:-1]}.{milliseconds:03}Z"


# 2,000 targets have 40,000 moments, most of them shared: without, their JSON would take 165 ms, not 100 ms.
@functools.lru_cache(maxsize=4096)
def _second(at: int) -> Timestamp:
    utc = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    return Timestamp(f"{utc.replace(' ', 'T')}Z", f"{utc} UTC")


def amount(value: Decimal) -> str:
    """Return an amount with each of its digits, those before the point in groups of three."""
    return f"{value:,f}" if _is_usual(value) else str(value)


def exact(value: Decimal) -> str:
    """Return an amount with each of its digits, for machines."""
    return f"{value:f}" if _is_usual(value) else str(value)


def _is_usual(value: Decimal) -> bool:
    """Whether a value may be written without an exponent: 1E-9999 has as many zeros, and a hostile page thousands."""
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
