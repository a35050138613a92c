"""Whether a connection may carry another request, by tables."""

import pytest

from exporter.custody.keeping import Trust, idle_seconds

HOUR = 3600.0


@pytest.mark.parametrize(
    ("status", "age", "seconds"),
    [
        (200, 0.0, 5.0),
        (404, 0.0, 5.0),
        (429, 0.0, 5.0),
        (499, 0.0, 5.0),
        (500, 0.0, 0.0),
        (503, 0.0, 0.0),
        (599, 0.0, 0.0),
        (200, 54.0, 5.0),
        (200, 58.0, 2.0),
        (200, 60.0, 0.0),
        (200, 61.0, 0.0),
    ],
)
def test_a_connection_waits_up_to_5_seconds_and_a_minute_of_age_and_not_after_5xx(
    status: int, age: float, seconds: float
) -> None:
    assert idle_seconds(1000.0, status, 1000.0 + age) == seconds


@pytest.mark.parametrize(
    ("finds", "now", "keeps"),
    [
        ([], 0, True),
        ([0], 0, True),
        ([0, HOUR], HOUR, True),
        ([0, HOUR - 1], HOUR - 1, False),
        ([0, 10], 10 + HOUR - 1, False),
        ([0, 10], 10 + HOUR, True),
        ([0, 10, 20], 20 + HOUR - 1, False),
        ([0, 10, 10 + HOUR], 10 + HOUR, True),
        ([0, 10, 10 + HOUR, 20 + HOUR], 20 + HOUR, False),
    ],
)
def test_connections_are_not_kept_for_an_hour_after_a_second_find_within_an_hour(
    finds: list[float],
    now: float,
    keeps: bool,  # noqa: FBT001 - a column of the table
) -> None:
    trust = Trust()
    for moment in finds:
        trust.found(moment)
    assert trust.keeps(now) is keeps
