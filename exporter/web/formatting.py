"""How pages write spans of time, moments and amounts: short where that is enough, and never as a wrong figure."""

import functools
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

from exporter.targets import listed

UNKNOWN = "–"  # noqa: RUF001 - a dash is what tables have where there is nothing
MOST_PLACES: Final = 70
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def span(seconds: float) -> str:
    """Return a span as people say it: in the two largest units that it has, or with a decimal where it is short."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return _whole(round(seconds))


# Thousands of targets are told of at once, and most of what is told of them lies within the same few minutes.
@functools.lru_cache(maxsize=4096)
def _whole(seconds: int) -> str:
    left, parts = seconds, list[str]()
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def age(seconds: float) -> str:
    """Return how long ago something was; whole seconds are enough there."""
    return f"{_whole(int(seconds))} ago" if seconds >= 1 else "just now"


def lasting(seconds: float) -> str:
    """Return for how long something has been so."""
    return f"for {_whole(int(seconds))}" if seconds >= 1 else "just now"


def wait(seconds: float) -> str:
    """Return how long until something may happen."""
    return f"in {_whole(int(seconds))}" if seconds >= 1 else "now"


class Moment(NamedTuple):
    """A moment, for machines (`2026-11-21T12:00:00Z`) and for people (`2026-11-21 12:00:00 UTC`)."""

    iso: str
    utc: str


def moment(at: float) -> Moment:
    """Return a moment in Unix seconds, to the second."""
    return _second(int(at))


def rfc3339(at: float) -> str:
    """Return a moment in Unix seconds as `2026-11-21T12:00:00.000Z`."""
    second, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_second(second).iso[:-1]}.{milliseconds:03}Z"


@functools.lru_cache(maxsize=4096)
def _second(at: int) -> Moment:
    utc = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    return Moment(f"{utc.replace(' ', 'T')}Z", f"{utc} UTC")


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
    "span": span,
    "age": age,
    "lasting": lasting,
    "wait": wait,
    "moment": moment,
    "amount": amount,
    "exact": exact,
}
