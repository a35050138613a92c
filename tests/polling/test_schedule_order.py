"""Whatever happens to targets, the schedule chooses the one that a plain look at all of them would choose."""

import math
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from exporter.polling.retry import Poll
from exporter.polling.schedule import Entry, Schedule, Turn
from exporter.resources.target import Target, changes_between
from exporter.turns import at_once

KEYS = ("first", "second")
# Sums of these are exact, so that equal due times compare as equal.
SECONDS = st.integers(0, 400).map(lambda quarters: quarters / 4)
INTERVALS = st.sampled_from((1.0, 10.0, 64.0, 3600.0))
TARGETS = st.lists(
    st.builds(
        Target,
        kind=st.just("vault"),
        id=st.sampled_from("ABCDEFGHIJ"),
        organization=st.just("acme"),
        vault=st.sampled_from(("hot", "cold")),
        interval=INTERVALS,
        credential=st.sampled_from(KEYS),
    ),
    min_size=1,
    unique_by=lambda target: target.id,
)
TURNS = st.builds(Turn, st.one_of(SECONDS, st.just(math.inf)), SECONDS)


def plain_next(
    entries: Iterable[Entry], now: float, turns: Mapping[str, Turn]
) -> tuple[Entry | None, float]:
    """Return the result of `Schedule.next`, from the definition of the order."""
    chosen, unfinished, look_again_at = None, None, math.inf
    first_rank = (False, False, -math.inf)
    for entry in entries:
        place = entry.place
        if place.is_sending:
            continue
        turn = turns[entry.target.credential]
        moment = max(place.ready_at, turn.ready_at)
        if moment > now:
            look_again_at = min(look_again_at, moment)
            continue
        gives_way = place.is_slow and now < turn.slow_turn_at
        is_quick_retry = place.is_retrying and not place.is_slow
        has_due = place.is_polled or place.is_between_parts
        overdue = (now - place.due) / place.target.interval if has_due else math.inf
        rank = (not gives_way, is_quick_retry, overdue)
        if rank > first_rank:
            chosen, first_rank = entry, rank
        is_unfinished = place.is_between_parts and not gives_way
        if is_unfinished and (unfinished is None or place.due < unfinished.place.due):
            unfinished = entry
    if chosen and unfinished and not chosen.place.is_polled:
        # The rest of a list goes before targets that another list has found since.
        chosen = unfinished if chosen.place.due > unfinished.place.due else chosen
    return chosen, look_again_at


def is_as_good(one: Entry | None, other: Entry | None) -> bool:
    """Whether these are the same, or both the rest of an answer that was due at the same time."""
    if one is None or other is None or one is other:
        return one is other
    both = one.place, other.place
    return all(place.is_between_parts for place in both) and both[0].due == both[1].due


class AnySequence(RuleBasedStateMachine):
    """Targets to which everything possible happens, in any order."""

    now = 0.0

    @initialize(polled=TARGETS)
    def start(self, polled: list[Target]) -> None:
        self.targets = polled
        self.schedule = Schedule(polled, self.now)
        self.dropped: list[Entry] = []
        self.turns = dict.fromkeys(KEYS, Turn(0.0))

    def any_of(self, data: st.DataObject, *, is_sending: bool) -> Entry | None:
        """Draw one of the entries, including those that were dropped while a request was in flight."""
        entries = [*self.schedule.entries, *self.dropped]
        found = [entry for entry in entries if entry.place.is_sending is is_sending]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(first=TURNS, second=TURNS)
    def change_turns(self, first: Turn, second: Turn) -> None:
        later = (turn._replace(ready_at=self.now + turn.ready_at - 10) for turn in (first, second))
        self.turns = {
            name: turn._replace(slow_turn_at=self.now + turn.slow_turn_at - 10)
            for name, turn in zip(KEYS, later, strict=True)
        }

    @rule()
    def begin_whoever_is_next(self) -> None:
        entry, _ = self.schedule.next(self.now, self.turns)
        if entry:
            entry.move(entry.place.begun(lambda: Poll(lambda: 0.5), self.now))

    @rule(polls=st.integers(1, 20), gap=st.sampled_from((0.25, 2.0, 30.0)))
    def poll_whoever_is_next(self, polls: int, gap: float) -> None:
        for _ in range(polls):
            self.now += gap
            self.the_most_overdue_goes_next()
            entry, _ = self.schedule.next(self.now, self.turns)
            if entry:
                entry.move(entry.place.begun(lambda: Poll(lambda: 0.5), self.now))
                entry.move(entry.place.finished())

    @rule(data=st.data(), is_slow=st.booleans(), after=SECONDS)
    def retry(self, data: st.DataObject, is_slow: bool, after: float) -> None:  # noqa: FBT001 - a drawn value
        if entry := self.any_of(data, is_sending=True):
            entry.move(replace(entry.place, is_slow=is_slow).retried(self.now + after))

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        if entry := self.any_of(data, is_sending=True):
            entry.move(entry.place.partly(self.now))

    @rule(
        data=st.data(),
        failed=st.booleans(),
        is_slow=st.booleans(),
        refusals=st.integers(0, 3),
        later=st.one_of(SECONDS, st.just(-math.inf)),
    )
    def finish(self, data: st.DataObject, is_slow: bool, later: float, **how: int) -> None:  # noqa: FBT001 - a drawn value
        if entry := self.any_of(data, is_sending=True):
            ended = replace(entry.place, is_slow=is_slow).finished(
                failed=bool(how["failed"]),
                refusals=how["refusals"],
                no_earlier_than=self.now + later,
            )
            entry.move(ended)

    @rule(data=st.data(), is_sending=st.booleans())
    def go_first(self, data: st.DataObject, is_sending: bool) -> None:  # noqa: FBT001 - a drawn value
        if entry := self.any_of(data, is_sending=is_sending):
            entry.move(entry.place.first(self.now))

    @rule(data=st.data())
    def make_one_due(self, data: st.DataObject) -> None:
        entry = self.any_of(data, is_sending=False)
        if entry and (hurried := entry.place.hurried(self.now)):
            entry.move(hurried)

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        if entry := self.any_of(data, is_sending=False):
            entry.move(replace(entry.place, ready_at=math.inf))

    @rule(data=st.data())
    def read_secrets_again(self, data: st.DataObject) -> None:
        if entry := self.any_of(data, is_sending=data.draw(st.booleans())):
            entry.move(entry.place.kept(entry.target, self.now, is_renewed=True))

    @rule()
    def make_all_due(self) -> None:
        at_once(self.schedule.make_all_due(self.now))

    @rule(polled=TARGETS, renewed=st.sets(st.sampled_from(KEYS)))
    def reload(self, polled: list[Target], renewed: set[str]) -> None:
        changes, gone = changes_between(self.targets, polled)
        before = self.schedule.entries
        self.schedule.change(changes, gone, self.now)
        at_once(self.schedule.renew(renewed, self.now))
        self.schedule.arrange([target.key for target in polled])
        self.targets = polled
        assert [entry.target for entry in self.schedule.entries] == polled
        self.dropped += [entry for entry in before if entry.is_dropped]
        assert {entry.target.key for entry in before if entry.is_dropped} == {
            target.key for target in gone
        }

    @rule(found=TARGETS, is_whole=st.booleans())
    def change(self, found: list[Target], is_whole: bool) -> None:  # noqa: FBT001 - a drawn value
        """Find these targets, in addition to the existing ones or in their place."""
        changes, gone = changes_between(self.targets, found)
        before = self.schedule.entries
        self.schedule.change(changes, gone if is_whole else (), self.now)
        self.targets = [entry.target for entry in self.schedule.entries]
        expected = {target.key: target for target in found if is_whole} or {
            target.key: target for target in (*gone, *found)
        }
        assert {target.key: target for target in self.targets} == expected
        assert len(self.schedule) == len(expected)
        self.dropped += [entry for entry in before if entry.is_dropped]
        for key in expected:
            assert self.schedule.get(key) in self.schedule.entries

    @rule()
    def restart(self) -> None:
        self.dropped += self.schedule.entries
        at_once(self.schedule.restart(self.now))
        assert [entry.target for entry in self.schedule.entries] == self.targets
        assert not any(entry.place.is_sending for entry in self.schedule.entries)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        """A target without a request in flight has a next one, unless it was retired."""
        waiting = [it for it in self.schedule.entries if not it.place.is_sending]
        retired = [it for it in waiting if it.place.ready_at == math.inf]
        assert [it for it in self.schedule.entries if it.filed] == waiting
        assert self.schedule.retired == len(retired)
        assert set(self.schedule.unfinished()) == {
            it.target.credential for it in waiting if it not in retired
        }

    @invariant()
    def the_most_overdue_goes_next(self) -> None:
        expected, look_again_at = plain_next(self.schedule.entries, self.now, self.turns)
        chosen, at = self.schedule.next(self.now, self.turns)
        assert is_as_good(chosen, expected)
        if chosen is None:
            assert at == look_again_at


@pytest.mark.no_cover
def test_the_most_overdue_target_goes_next_whatever_happened_before() -> None:
    run_state_machine_as_test(AnySequence, settings=settings())
