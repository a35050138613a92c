"""How pages write ages, moments and amounts."""

from decimal import Decimal

import pytest

from exporter.web.formatting import Timestamp, age, amount, exact, lasting, moment, rfc3339, wait

NOON = 1_795_262_400.0


@pytest.mark.parametrize(
    ("seconds", "ago", "so_long", "until"),
    [
        (-30.0, "just now", "just now", "now"),
        (0.9, "just now", "just now", "now"),
        (1.0, "1s ago", "for 1s", "in 1s"),
        (9.99, "9s ago", "for 9s", "in 9s"),
        (59.99, "59s ago", "for 59s", "in 59s"),
        (754.0, "12m34s ago", "for 12m34s", "in 12m34s"),
        (3661.0, "1h1m ago", "for 1h1m", "in 1h1m"),
        (86_400 + 59.0, "1d ago", "for 1d", "in 1d"),
    ],
)
def test_ages_and_waits_are_whole_seconds_that_have_passed(
    seconds: float, ago: str, so_long: str, until: str
) -> None:
    assert (age(seconds), lasting(seconds), wait(seconds)) == (ago, so_long, until)


def test_moments_are_written_in_utc() -> None:
    assert moment(NOON + 0.999) == Timestamp("2026-11-21T12:00:00Z", "2026-11-21 12:00:00 UTC")


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (NOON + 0.0426, "2026-11-21T12:00:00.042Z"),
        (NOON + 59.9999, "2026-11-21T12:00:59.999Z"),
        (4_102_444_800.5, "2100-01-01T00:00:00.500Z"),
    ],
)
def test_moments_for_programs_have_milliseconds(at: float, written: str) -> None:
    assert rfc3339(at) == written


@pytest.mark.parametrize(
    ("value", "for_people", "for_machines"),
    [
        ("0", "0", "0"),
        ("0.00000000", "0.00000000", "0.00000000"),
        ("1E-8", "0.00000001", "0.00000001"),
        ("1234.50", "1,234.50", "1234.50"),
        ("-1234567.891000", "-1,234,567.891000", "-1234567.891000"),
        ("12E+5", "1,200,000", "1200000"),
        # An absurd amount must not make a page of zeros.
        ("1E+300", "1E+300", "1E+300"),
        ("-1.20E-9999", "-1.20E-9999", "-1.20E-9999"),
        # More digits than a float or the default decimal context has.
        (
            "123456789012345678901234567890.123456789012345678901234567890",
            "123,456,789,012,345,678,901,234,567,890.123456789012345678901234567890",
            "123456789012345678901234567890.123456789012345678901234567890",
        ),
    ],
)
def test_amounts_are_written_with_each_of_their_digits(
    value: str, for_people: str, for_machines: str
) -> None:
    assert amount(Decimal(value)) == for_people
    assert exact(Decimal(value)) == for_machines
