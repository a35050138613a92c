"""The order of polls: which targets are due, and which go first if not all can."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from exporter.polling.place import Place
from exporter.polling.retry import Poll
from exporter.polling.schedule import Entry, Schedule, Turn
from exporter.resources.target import AT_ONCE, Target, TargetChange
from exporter.turns import at_once


def target(vault: str, interval: float = 60.0) -> Target:
    return Target("vault", f"V{vault}", "acme", vault, interval, "key")


def made(**intervals: float) -> Schedule:
    return Schedule([target(name, interval) for name, interval in intervals.items()], now=0.0)


FREE = {"key": Turn(0.0)}


def poll_of() -> Poll:
    return Poll(lambda: 0.5)


def poll(made_schedule: Schedule, now: float) -> str | None:
    """Poll the next target at `now`, and return its name."""
    entry, _ = made_schedule.next(now, FREE)
    if entry is None:
        return None
    entry.move(entry.place.begun(poll_of, now))
    entry.move(entry.place.finished())
    return entry.target.vault


def request_poll(entry: Entry, now: float) -> None:
    hurried = entry.place.hurried(now)
    assert hurried
    entry.move(hurried)


def test_at_the_start_all_targets_are_due_in_the_order_of_the_file() -> None:
    polls = made(slow=3600.0, quick=1.0, medium=60.0)
    assert [poll(polls, now=0.1 * step) for step in range(3)] == ["slow", "quick", "medium"]


def test_no_target_goes_before_it_is_due_and_the_wait_is_known() -> None:
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


def test_a_target_that_was_never_polled_goes_before_the_most_overdue() -> None:
    polls = made(often=1.0, hourly=3600.0)
    assert poll(polls, 0.0) == "often"
    assert poll(polls, 1000.0) == "hourly"


def test_a_poll_succeeds_unless_said_otherwise() -> None:
    polls = made(a=60.0)
    poll(polls, 0.0)
    assert not polls.entries[0].place.is_failing


def test_a_target_is_not_polled_twice_at_the_same_time() -> None:
    polls = made(a=1.0)
    entry, _ = polls.next(0.0, FREE)
    assert entry is not None
    entry.move(entry.place.begun(poll_of, 0.0))
    assert polls.next(1000.0, FREE) == (None, math.inf)


def test_a_target_that_may_not_be_polled_yet_leaves_its_place_to_others() -> None:
    polls = made(paused=60.0, free=60.0)
    paused = polls.entries[0]
    paused.move(replace(paused.place, target=replace(paused.target, credential="paused")))
    entry, _ = polls.next(0.0, {**FREE, "paused": Turn(99.0)})
    assert entry is not None
    assert entry.target.vault == "free"


def test_a_target_that_gives_way_is_polled_only_if_no_other_is_due() -> None:
    polls = made(slow=60.0, other=60.0)
    slow, other = polls.entries
    slow.move(replace(slow.place, is_slow=True))
    turns = {"key": Turn(0.0, slow_turn_at=90.0)}
    assert polls.next(0.0, turns)[0] is other
    assert polls.next(90.0, turns)[0] is slow
    other.move(replace(other.place, is_sending=True))
    assert polls.next(0.0, turns)[0] is slow


def test_a_target_that_had_to_wait_is_not_read_less_often_for_it() -> None:
    polls = made(a=60.0)
    entry = polls.entries[0]
    starts = (0.0, 65.0, 130.0, 305.0)
    dues = []
    for start in starts:
        entry.move(entry.place.begun(poll_of, start))
        entry.move(entry.place.finished())
        dues.append(entry.place.due)
    # Up to a tenth of an interval; the last one missed more.
    assert dues == [60.0, 120.0, 184.0, 359.0]


def test_a_retry_gives_its_place_back_while_it_waits_and_goes_first_after() -> None:
    polls = made(failing=60.0, other=60.0)
    entry, _ = polls.next(0.0, FREE)
    assert entry is not None
    entry.move(entry.place.begun(poll_of, 0.0))
    entry.move(entry.place.retried(2.0))
    assert poll(polls, 1.0) == "other"
    assert polls.next(1.0, FREE) == (None, 2.0)
    assert polls.next(2.0, FREE)[0] is entry


def test_a_retry_belongs_to_the_poll_that_began_earlier() -> None:
    polls = made(a=60.0)
    entry, _ = polls.next(0.0, FREE)
    assert entry is not None
    entry.move(entry.place.begun(poll_of, 0.0))
    first = entry.place.poll
    entry.move(entry.place.retried(2.0))
    entry.move(entry.place.begun(poll_of, 2.0))
    assert entry.place.poll is first
    entry.move(entry.place.finished())
    assert entry.place.due == 60.0


def test_refusals_in_a_row_make_the_next_poll_come_later_until_one_succeeds() -> None:
    polls = made(a=60.0)
    entry = polls.entries[0]
    waits = []
    for refusals in (1, 2, 0, 1):
        now = entry.place.due
        entry.move(entry.place.begun(poll_of, now))
        entry.move(entry.place.finished(failed=refusals > 0, refusals=refusals))
        waits.append(entry.place.due - now)
    assert waits == [120.0, 240.0, 60.0, 120.0]


def test_a_failed_poll_of_an_hourly_target_is_made_up_for_within_a_quarter_of_an_hour() -> None:
    polls = made(a=3600.0)
    entry = polls.entries[0]
    waits = []
    for failed in (True, True, False):
        now = entry.place.due
        entry.move(entry.place.begun(poll_of, now))
        entry.move(entry.place.finished(failed=failed))
        waits.append(entry.place.due - now)
    assert waits == [900.0, 900.0, 3600.0]


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
    entry.move(entry.place.begun(poll_of, 0.0))
    entry.move(entry.place.finished(failed=True, no_earlier_than=earliest, no_later_than=latest))
    assert entry.place.due == entry.place.ready_at == wait


def test_the_refresh_interval_is_what_lies_between_the_last_two_polls() -> None:
    polls = made(a=10.0)
    entry = polls.entries[0]
    assert entry.place.refresh_interval is None
    poll(polls, 0.0)
    assert entry.place.refresh_interval is None
    poll(polls, 25.0)
    assert entry.place.refresh_interval == 25.0


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


def test_a_requested_poll_goes_before_all_others_once_a_minute() -> None:
    polls = made(overdue=1.0, asked=60.0)
    for now in (0.0, 0.0):
        poll(polls, now)
    overdue, asked = polls.entries
    asked.move(replace(asked.place, is_slow=True))
    request_poll(asked, 10.0)
    assert polls.next(10.0, {"key": Turn(0.0, slow_turn_at=99.0)})[0] is asked
    asked.move(asked.place.begun(poll_of, 10.0))
    asked.move(asked.place.finished())
    assert asked.place.hurried(69.9) is None
    assert polls.next(69.9, FREE)[0] is overdue
    request_poll(asked, 70.0)
    assert polls.next(70.0, FREE)[0] is asked


def test_make_all_due_makes_due_all_targets_without_a_poll_in_progress() -> None:
    polls = made(waiting=60.0, retrying=60.0, overdue=1.0)
    for _ in range(3):
        poll(polls, 0.0)
    waiting, retrying, overdue = polls.entries
    retrying.move(retrying.place.begun(poll_of, 60.0))
    retrying.move(retrying.place.retried(90.0))
    at_once(polls.make_all_due(50.0))
    assert (waiting.place.due, waiting.place.ready_at) == (50.0, 50.0)
    assert (retrying.place.due, retrying.place.ready_at) == (60.0, 90.0)
    # It does not have to wait either.
    assert (overdue.place.due, overdue.place.ready_at) == (1.0, 1.0)


def test_a_retry_after_a_slow_failure_waits_its_turn_and_a_quick_one_goes_first() -> None:
    polls = made(retrying=60.0, overdue=60.0)
    for _ in range(2):
        poll(polls, 0.0)
    retrying, overdue = polls.entries
    retrying.move(replace(retrying.place, due=100.0))
    retrying.move(retrying.place.begun(poll_of, 100.0))
    retrying.move(retrying.place.retried(101.0))
    assert polls.next(200.0, FREE)[0] is retrying
    retrying.move(replace(retrying.place, is_slow=True))
    assert polls.next(200.0, FREE)[0] is overdue


def test_a_poll_that_fails_and_one_that_succeeds_leave_their_marks() -> None:
    polls = made(a=60.0)
    entry = polls.entries[0]
    marks = []
    for failed, refusals in ((True, 2), (False, 0)):
        entry.move(entry.place.begun(poll_of, entry.place.due))
        assert (entry.place.is_sending, entry.place.poll is None) == (True, False)
        entry.move(entry.place.finished(failed=failed, refusals=refusals))
        assert (entry.place.is_sending, entry.place.poll is None) == (False, True)
        marks.append((entry.place.is_polled, entry.place.is_failing, entry.place.refusals))
    assert marks == [(True, True, 2), (True, False, 0)]


def after_reload(
    *,
    failed: bool = False,
    renewed: bool = False,
    interval: float = 60.0,
    credential: str = "key",
    refusals: int = 0,
) -> Entry:
    """Return the place of a target that was polled at 100 and found changed at 130."""
    before = target("a")
    polls = Schedule([before], now=100.0)
    entry = polls.entries[0]
    entry.move(entry.place.begun(poll_of, 100.0))
    entry.move(entry.place.finished(failed=failed, refusals=refusals))
    new = replace(before, interval=interval, credential=credential)
    polls.change([TargetChange(new, before)], (), now=130.0)
    at_once(polls.renew({credential} if renewed else (), now=130.0))
    assert polls.entries == (entry,)
    assert entry.target == new
    return entry


@pytest.mark.parametrize(
    ("options", "due"),
    [
        ({}, 160.0),
        ({"failed": True}, 160.0),
        ({"renewed": True}, 160.0),
        ({"credential": "other"}, 160.0),
        ({"failed": True, "renewed": True}, 130.0),
        ({"failed": True, "credential": "other"}, 130.0),
        ({"failed": True, "refusals": 3, "renewed": True}, 130.0),
        ({"failed": True, "refusals": 1}, 220.0),
        ({"interval": 20.0}, 120.0),
        ({"interval": 90.0}, 190.0),
        ({"interval": 90.0, "failed": True, "refusals": 1}, 280.0),
    ],
)
def test_what_failed_is_tried_at_once_after_a_reload_with_other_secrets(
    options: dict[str, Any], due: float
) -> None:
    entry = after_reload(**options)
    assert (entry.place.due, entry.place.ready_at) == (due, due)
    forgives = due == 130.0
    assert entry.place.refusals == (0 if forgives else options.get("refusals", 0))


@pytest.mark.parametrize("is_under_way", [True, False], ids=["under way", "never polled"])
def test_a_reload_does_not_change_targets_in_progress_or_never_polled(
    is_under_way: bool,  # noqa: FBT001 - a column of the table
) -> None:
    polls = Schedule([target("a")], now=100.0)
    entry = polls.entries[0]
    if is_under_way:
        entry.move(entry.place.begun(poll_of, 100.0))
    entry.move(replace(entry.place, is_failing=True))
    change = TargetChange(target("a", interval=5.0), target("a"))
    polls.change([change], (), now=130.0)
    at_once(polls.renew({"key"}, now=130.0))
    assert (entry.place.due, entry.place.ready_at) == (100.0, 100.0)
    assert entry.target.interval == 5.0


def test_after_a_reload_new_targets_are_due_at_once_and_those_that_left_are_dropped() -> None:
    polls = made(stays=60.0, leaves=60.0)
    stays, leaves = polls.entries
    new = target("new")
    polls.change([TargetChange(new)], (leaves.target,), now=30.0)
    polls.arrange([new.key, stays.target.key])
    fresh, kept = polls.entries
    assert kept is stays
    assert (fresh.target, fresh.place.due, fresh.place.ready_at) == (new, 30.0, 30.0)
    assert [entry.is_dropped for entry in (fresh, stays, leaves)] == [False, False, True]


@pytest.mark.parametrize("move", ["hurry", "renew", "restart"])
def test_thousands_are_moved_some_at_a_time_but_for_those_that_have_left_meanwhile(
    move: str,
) -> None:
    polls = Schedule([target(f"v{number}") for number in range(3 * AT_ONCE)], now=0.0)
    for entry in polls.entries:
        entry.move(replace(entry.place, due=100.0, ready_at=100.0, is_failing=True, started_at=0.0))
    *others, last = polls.entries
    steps: Iterator[None] = {
        "hurry": lambda: polls.make_all_due(50.0),
        "renew": lambda: polls.renew({"key"}, 50.0),
        "restart": lambda: polls.restart(50.0),
    }[move]()
    next(steps)
    assert Counter(it.place.due for it in polls.entries) == {50.0: AT_ONCE, 100.0: 2 * AT_ONCE}
    polls.change((), [last.target], 50.0)
    assert len(list(steps)) == 2
    assert {it.place.due for it in polls.entries} == {50.0}
    assert [it.target for it in polls.entries] == [it.target for it in others]
    assert last.place.due == 100.0


def test_a_restart_makes_every_target_due_as_if_it_was_never_polled() -> None:
    schedule = made(a=60.0, b=30.0)
    poll(schedule, 0.0)
    before = schedule.entries
    before[1].move(before[1].place.begun(poll_of, 1.0))
    at_once(schedule.restart(50.0))
    assert all(entry.is_dropped for entry in before)
    assert [entry.target for entry in schedule.entries] == [entry.target for entry in before]
    assert [entry.place for entry in schedule.entries] == [
        Place(entry.target, due=50.0, ready_at=50.0) for entry in before
    ]


def after_part(made_schedule: Schedule, now: float) -> str:
    """Read a part of the answer of the next target."""
    entry, _ = made_schedule.next(now, FREE)
    assert entry
    entry.move(entry.place.begun(poll_of, now))
    entry.move(entry.place.partly(now + 0.1))
    return entry.target.vault


def test_the_parts_of_a_first_answer_come_after_the_first_polls_of_the_others() -> None:
    polls = made(long=600.0, a=60.0, b=60.0)
    assert after_part(polls, 0.0) == "long"
    assert [poll(polls, 1.0), poll(polls, 2.0), poll(polls, 3.0)] == ["a", "b", "long"]


def test_between_the_parts_of_an_answer_a_more_overdue_target_goes_first() -> None:
    polls = made(long=600.0, a=60.0)
    after_part(polls, 0.0)
    poll(polls, 1.0)
    # A tenth of its interval has passed since it was due; the other is due since a moment, and soon a tenth as well.
    assert polls.next(61.5, FREE)[0] is not polls.entries[1]
    assert poll(polls, 69.0) == "a"


def test_what_is_found_waits_for_the_rest_of_the_lists_that_are_older() -> None:
    polls = made(long=600.0, a=60.0)
    after_part(polls, 0.0)
    assert poll(polls, 1.0) == "a"
    polls.change([TargetChange(target("found")), TargetChange(target("later", 600.0))], (), 2.0)
    assert after_part(polls, 3.0) == "long"
    # Apart from that, targets polled before go before its parts as usual.
    assert [poll(polls, 4.0) for _ in range(3)] == ["long", "found", "later"]


def test_a_requested_poll_waits_for_no_list() -> None:
    polls = made(long=600.0, a=60.0)
    after_part(polls, 0.0)
    poll(polls, 1.0)
    polls.change([TargetChange(target("found"))], (), 2.0)
    request_poll(polls.entries[2], 3.0)
    assert [poll(polls, 3.0), poll(polls, 3.0)] == ["found", "long"]


def test_a_poll_in_parts_is_one_poll_that_began_with_the_first() -> None:
    polls = made(long=600.0)
    after_part(polls, 10.0)
    assert poll(polls, 20.0) == "long"
    assert polls.entries[0].place.started_at == 10.0
    assert polls.next(609.0, FREE) == (None, 610.0)


def changed(*changes: TargetChange, gone: tuple[Target, ...] = ()) -> Schedule:
    """Return a schedule of a and b, both polled at 0, after these changes at 10."""
    polls = made(a=60.0, b=60.0)
    poll(polls, 0.0)
    poll(polls, 0.0)
    polls.change(changes, gone, 10.0)
    return polls


def test_a_found_target_is_due_at_once_and_one_that_is_gone_is_no_longer_polled() -> None:
    polls = changed(TargetChange(target("c")), gone=(target("a"),))
    assert [entry.target.vault for entry in polls.entries] == ["b", "c"]
    assert poll(polls, 10.0) == "c"
    assert poll(polls, 60.0) == "b"
    assert poll(polls, 60.0) is None
    assert polls.get(("vault", "Va")) is None


def test_a_renamed_target_keeps_its_place() -> None:
    renamed = replace(target("b"), vault="renamed")
    polls = changed(TargetChange(renamed, target("b")))
    assert polls.next(10.0, FREE) == (None, 60.0)
    assert [poll(polls, 60.0), poll(polls, 60.0)] == ["a", "renamed"]


def test_a_target_that_is_gone_while_it_is_polled_is_dropped() -> None:
    polls = made(a=60.0, b=60.0)
    entry, _ = polls.next(0.0, FREE)
    assert entry
    entry.move(entry.place.begun(poll_of, 0.0))
    polls.change((), (target("a"),), 1.0)
    assert entry.is_dropped
    entry.move(entry.place.finished())
    assert [poll(polls, 100.0), poll(polls, 100.0)] == ["b", None]
