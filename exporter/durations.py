"""Durations as people write them: one way to read them and one to write them, for files, flags, reports and pages."""

import re
from decimal import Decimal
from typing import Final

LONGEST_SECONDS: Final = 366 * 86_400
FORM: Final = "write a duration such as 500ms, 30s, 5m or 1h30m"

# Those of Prometheus and those of Go, in which each unit means the same: what either writes is read everywhere.
_UNITS: Final = {
    "y": Decimal(365 * 86_400),
    "w": Decimal(7 * 86_400),
    "d": Decimal(86_400),
    "h": Decimal(3600),
    # Before `m`, which would be found in it.
    "ms": Decimal("1e-3"),
    "m": Decimal(60),
    "s": Decimal(1),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
_PART: Final = re.compile(rf"([0-9]{{1,15}}(?:\.[0-9]{{1,9}})?)({'|'.join(_UNITS)})")
_DURATION: Final = re.compile(f"(?:{_PART.pattern})+")
_WRITTEN_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def read_duration(text: str, *, may_be_zero: bool = False) -> float:
    """Read a duration, in seconds. Raises ValueError, whose message continues a sentence that names the text.

    Our own, because no library fits: durationpy, the maintained one for Go durations, skips what it does not know
    (`1h???30m`), rounds to microseconds, and reads `mm` as months.
    """
    if may_be_zero and text == "0":
        return 0.0
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"has no unit: {FORM}")
    if not _DURATION.fullmatch(text):
        raise ValueError(f"is not a duration: {FORM}")
    seconds = sum(Decimal(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    if not 0 <= seconds <= LONGEST_SECONDS or not (seconds or may_be_zero):
        least = "at least 0s" if may_be_zero else "more than 0s"
        raise ValueError(f"must be {least} and at most 366d: {FORM}")
    return float(seconds)


def duration(seconds: float) -> str:
    """Write a duration as it is read; one of less than a minute with a decimal if it has one."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f}ms"
    if (tenths := round(seconds, 1)) < 60:
        return f"{tenths:g}s"
    return whole_duration(round(seconds))


def whole_duration(seconds: int, *, most_units: int = len(_WRITTEN_UNITS)) -> str:
    """Write whole seconds, at least one, in the `most_units` largest units that they have."""
    left, parts = seconds, list[str]()
    units = list(_WRITTEN_UNITS)
    while units and left < units[0][1]:
        units.pop(0)
    for unit, length in units[:most_units]:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
