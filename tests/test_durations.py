"""Durations: what is read as one, everywhere alike, and how durations are written."""

import re

import pytest

from exporter.durations import duration, read_duration, whole_duration

FORM = "write a duration such as 500ms, 30s, 5m or 1h30m"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("1w2d3h4m5s6ms", 788_645.006),
        ("1y1d", 31_622_400.0),
        ("366d", 31_622_400.0),
        # As Go writes them.
        ("1.5h", 5400.0),
        ("100us", 0.0001),
        ("100µs", 0.0001),
        ("1ns", 1e-9),
        ("30m1h", 5400.0),
        ("1s1s", 2.0),
        ("0h1s", 1.0),
        # Summed up exactly before it becomes a float.
        ("0.1s0.2s", 0.3),
    ],
)
def test_a_duration_is_read_as_prometheus_and_go_write_it(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10", "has no unit"),
        ("0", "has no unit"),
        ("0.5", "has no unit"),
        ("", "is not a duration"),
        ("s", "is not a duration"),
        ("-1s", "is not a duration"),
        ("+1s", "is not a duration"),
        ("1 s", "is not a duration"),
        ("1S", "is not a duration"),
        ("1s\n", "is not a duration"),
        (".5s", "is not a duration"),
        ("1.s", "is not a duration"),
        ("1h, 30m", "is not a duration"),
        ("1e3s", "is not a duration"),
        ("٣s", "is not a duration"),
        ("1234567890123456s", "is not a duration"),
        ("0s", "must be more than 0s and at most 366d"),
        ("366d1ns", "must be more than 0s and at most 366d"),
        ("999999999999999y", "must be more than 0s and at most 366d"),
    ],
)
def test_what_is_not_a_duration_is_refused_with_what_to_write(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'{problem}: {FORM}')}$"):
        read_duration(text)


def test_zero_is_read_only_if_it_means_something() -> None:
    assert read_duration("0", may_be_zero=True) == 0.0
    assert read_duration("0s", may_be_zero=True) == 0.0
    with pytest.raises(ValueError, match=r"^must be at least 0s and at most 366d"):
        read_duration("367d", may_be_zero=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5.0, "0ms"),
        (0.0, "0ms"),
        (0.05, "50ms"),
        (0.9994, "999ms"),
        (0.9996, "1s"),
        (1.25, "1.2s"),
        (59.94, "59.9s"),
        (59.96, "1m"),
        (60.4, "1m"),
        (90.0, "1m30s"),
        (3600.0, "1h"),
        (3661.5, "1h1m2s"),
        (7215.018, "2h15s"),
        (86400.0, "1d"),
        (31622400.0, "366d"),
    ],
)
def test_a_duration_is_written_as_it_is_read(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (59, "59s"),
        (3599, "59m59s"),
        (3661, "1h1m"),
        (86_400 + 3 * 3600 + 59, "1d3h"),
        (86_400 + 59, "1d"),
        (40 * 86_400, "40d"),
    ],
)
def test_an_age_is_written_in_its_two_largest_units(seconds: int, text: str) -> None:
    assert whole_duration(seconds, most_units=2) == text
