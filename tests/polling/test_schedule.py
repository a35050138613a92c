"""The order of polls: who is due, and who goes first when not all can."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from exporter.polling.retry import Poll
from exporter.polling.schedule import Schedule, Turn
from exporter.targets import Target


def target(vault: str, interval: float = 60.0) -> Target:
    return Target("vault", f"V{vault}", "acme", vault, interval, "key")


def made(**intervals: float) -> Schedule:
    return Schedule([target(name, interval) for name, interval in intervals.items()], now=0.0)


FREE = {"key": Turn(0.0)}


def poll_of() -> Poll:
    return Poll(lambda: 0.5)


def poll(made_schedule: Schedule, now: float) -> str | None:
    """Poll whoever goes next at `now`, and return its name."""
    entry, _ = made_schedule.next(now, FREE)
    if entry is None:
        return None
    entry.begin(poll_of, now)
    entry.finish()
    return entry.target.vault


def test_at_the_start_all_are_due_in_the_order_of_the_file() -> None:
    polls = made(slow=3600.0, quick=1.0, medium=60.0)
    assert [poll(polls, now=0.1 * step) for step in range(3)] == ["slow", "quick", "medium"]


def test_nobody_goes_before_it_is_due_and_the_wait_is_known() -> None:
    polls = made(a=60.0, b=30.0)
    poll(polls, 0.0)
    poll(polls, 1.0)
    assert polls.next(30.0, FREE) == (None, 31.0)
    assert poll(polls, 31.0) == "b"


def test_the_most_overdue_in_terms_of_its_own_interval_goes_first() -> None:
    polls = made(hourly=3600.0, often=10.0)
    poll(polls, 0.0)
    poll(polls, 0.0)
    # 20 s late is two intervals of one target and next to nothing of the other.
    assert poll(polls, 3620.0) == "often"


def test_a_target_is_not_polled_twice_at_the_same_time() -> None:
    polls = made(a=1.0)
    entry, _ = polls.next(0.0, FREE)
    assert entry is not None
    entry.begin(poll_of, 0.0)
    assert polls.next(1000.0, FREE) == (None, math.inf)


def test_who_may_not_go_yet_leaves_the_place_to_others() -> None:
    polls = made(paused=60.0, free=60.0)
    polls.entries[0].target = replace(polls.entries[0].target, credential="paused")
    entry, _ = polls.next(0.0, {**FREE, "paused": Turn(99.0)})
    assert entry is not None
    assert entry.target.vault == "free"


def test_who_gives_way_goes_only_where_no_other_wants_to() -> None:
    polls = made(slow=60.0, other=60.0)
    slow, other = polls.entries
    slow.is_slow = True
    turns = {"key": Turn(0.0, slow_turn_at=90.0)}
    assert polls.next(0.0, turns)[0] is other
    assert polls.next(90.0, turns)[0] is slow
    other.is_sending = True
    assert polls.next(0.0, turns)[0] is slow


def test_a_target_that_had_to_wait_is_not_read_less_often_for_it() -> None:
    polls = made(a=60.0)
    entry = polls.entries[0]
    starts = (0.0, 65.0, 130.0, 305.0)
    dues = []
    for start in starts:
        entry.begin(poll_of, start)
        entry.finish()
        dues.append(entry.due)
    # Up to a tenth of an interval; the last one missed more.
    assert dues == [60.0, 120.0, 184.0, 359.0]


def test_a_retry_gives_its_place_back_while_it_waits_and_goes_first_after() -> None:
    polls = made(failing=60.0, other=60.0)
    entry, _ = polls.next(0.0, FREE)
    assert entry is not None
    entry.begin(poll_of, 0.0)
    entry.retry(2.0)
    assert poll(polls, 1.0) == "other"
    assert polls.next(1.0, FREE) == (None, 2.0)
    assert polls.next(2.0, FREE)[0] is entry


def test_a_retry_belongs_to_the_poll_that_began_earlier() -> None:
    polls = made(a=60.0)
    entry, _ = polls.next(0.0, FREE)
    assert entry is not None
    entry.begin(poll_of, 0.0)
    first = entry.poll
    entry.retry(2.0)
    entry.begin(poll_of, 2.0)
    assert entry.poll is first
    entry.finish()
    assert entry.due == 60.0


def test_refusals_in_a_row_make_the_next_poll_come_later_until_one_succeeds() -> None:
    polls = made(a=60.0)
    entry = polls.entries[0]
    waits = []
    for refusals in (1, 2, 0, 1):
        now = entry.due
        entry.begin(poll_of, now)
        entry.finish(failed=refusals > 0, refusals=refusals)
        waits.append(entry.due - now)
    assert waits == [120.0, 240.0, 60.0, 120.0]


@pytest.mark.parametrize(
    ("earliest", "latest", "wait"),
    [
        (-math.inf, math.inf, 60.0),
        (10.0, math.inf, 60.0),
        (90.0, math.inf, 90.0),
        (10.0, 10.0, 10.0),
        (-math.inf, 20.0, 20.0),
        (90.0, 20.0, 90.0),
    ],
)
def test_the_next_poll_is_between_two_moments_and_rather_late_than_early(
    earliest: float, latest: float, wait: float
) -> None:
    polls = made(a=60.0)
    entry = polls.entries[0]
    entry.begin(poll_of, 0.0)
    entry.finish(failed=True, no_earlier_than=earliest, no_later_than=latest)
    assert entry.due == entry.ready_at == wait


def test_the_refresh_interval_is_what_lies_between_the_last_two_polls() -> None:
    polls = made(a=10.0)
    entry = polls.entries[0]
    assert entry.refresh_interval is None
    poll(polls, 0.0)
    assert entry.refresh_interval is None
    poll(polls, 25.0)
    assert entry.refresh_interval == 25.0


@pytest.mark.parametrize("demand_ratio", [2, 5])
def test_when_all_cannot_be_polled_in_time_all_slow_down_by_the_same_factor(
    demand_ratio: int,
) -> None:
    polls = made(**{f"a{n}": 10.0 for n in range(10)}, **{f"b{n}": 40.0 for n in range(40)})
    gap = 1 / (10 / 10 + 40 / 40) * demand_ratio
    counts: Counter[str] = Counter()
    for step in range(4000):
        name = poll(polls, step * gap)
        if step >= 400 and name:
            counts[name] += 1
    time = 3600 * gap
    for name, count in counts.items():
        interval = 10.0 if name.startswith("a") else 40.0
        assert count * interval * demand_ratio / time == pytest.approx(1.0, rel=0.1)


def test_under_too_much_demand_equal_targets_are_polled_equally_often() -> None:
    polls = made(**{f"v{n}": 60.0 for n in range(400)})
    counts = Counter(poll(polls, step * 0.3) for step in range(4321))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(counts) == 400
