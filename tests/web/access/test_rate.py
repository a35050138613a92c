"""The token bucket, at given times."""

import pytest

from exporter.web.access.configuration import RequestRateLimit
from exporter.web.access.control import TokenBucket


@pytest.mark.parametrize(
    ("burst", "times", "answers"),
    [
        (1, [0, 0, 0.99, 1, 1], "+--+-"),
        (2, [0, 0, 0, 1, 1], "++-+-"),
        (3, [0, 0, 0, 0, 100, 100, 100, 100], "+++-+++-"),
        (1, [0, 0.5, 1, 1.5, 2], "+-+-+"),
        (1, [5, 5, 6], "+-+"),
    ],
)
def test_a_request_may_come_at_each_interval_and_some_at_once(
    burst: int, times: list[float], answers: str
) -> None:
    bucket = TokenBucket.full(RequestRateLimit(interval=1.0, burst=burst), now=times[0])
    assert "".join("+" if bucket.take(now) else "-" for now in times) == answers


def test_without_an_interval_there_is_no_limit() -> None:
    bucket = TokenBucket.full(RequestRateLimit(), now=0)
    assert all(bucket.take(0) for _ in range(1000))
