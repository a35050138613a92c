"""Which target is polled next: due times and their order, as arithmetic over a given `now`.

The most overdue target goes first, in terms of its own interval. While all goes well that is whoever is due; when
more is wanted than the budget allows, every interval is stretched by the same factor and nobody starves.
"""

import math
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.polling.difference import Difference
from exporter.polling.pause import BETWEEN_TRIES_SECONDS
from exporter.polling.retry import Poll, back_off
from exporter.resources.target import Target

MADE_UP_FOR: Final = 0.1
"""How much lateness a poll makes up for, in intervals."""


@dataclass(slots=True, eq=False)
class Entry:
    """A target's place in the schedule. Times are monotonic seconds.

    due: when its poll is, or was, due. ready_at: when its next request may go; later than `due` while a retry waits.
    started_at, previous_start: when its last two polls began. poll: the one under way. is_sending: whether a
    request of it is under way. is_polled: whether any poll has ended. is_failing: whether the last one failed.
    is_silent: whether the last one had no answer. is_slow: whether its last request took long to fail, so that it
    gives way to others of its key. is_dropped: whether the configuration has let go of it, so that what is under way
    means nothing any more.
    refusals: polls in a row that make it back off. hurried_at: when somebody last asked for a poll of it.
    """

    target: Target
    due: float
    ready_at: float
    started_at: float | None = None
    previous_start: float | None = None
    poll: Poll | None = None
    is_sending: bool = False
    is_polled: bool = False
    is_failing: bool = False
    is_silent: bool = False
    is_slow: bool = False
    is_dropped: bool = False
    refusals: int = 0
    hurried_at: float = -math.inf

    def overdue(self, now: float) -> float:
        """Return how long it has been due, in intervals; a target never polled is overdue beyond measure."""
        return (now - self.due) / self.target.interval if self.is_polled else math.inf

    def begin(self, poll: Callable[[], Poll], now: float) -> None:
        """Note that a request goes out: the first of a new poll, or another try of the one under way."""
        self.is_sending = True
        if self.poll is None:
            self.poll = poll()
            self.previous_start, self.started_at = self.started_at, now

    def hurry(self, now: float) -> bool:
        """Let its next request go before all others; return whether that was done, as it is not twice in a minute.

        A back-off goes on where that fails too.
        """
        if now - self.hurried_at < BETWEEN_TRIES_SECONDS:
            return False
        self.hurried_at = now
        self.go_first(now)
        return True

    def go_first(self, now: float) -> None:
        """Let its next request go before all others; where one is under way, that is it."""
        self.due, self.ready_at = -math.inf, now
        self.is_slow = False

    def retry(self, at: float) -> None:
        """Note that the poll goes on with another try; its place is free until then."""
        self.is_sending = False
        self.ready_at = at

    def finish(
        self,
        *,
        failed: bool = False,
        refusals: int = 0,
        no_earlier_than: float = -math.inf,
        no_later_than: float = math.inf,
    ) -> None:
        """Note that the poll has ended, and set the next one, between these moments where they are given.

        It is an interval after this one began. A little lateness is made up for, so that a target which has to wait
        now and then is not read less often for it; to make up for more would favour some where all are late.
        """
        assert self.started_at is not None  # noqa: S101 - only a poll that began can end
        slack = self.target.interval * MADE_UP_FOR if self.is_polled else 0.0
        was_late = min(self.started_at - self.due, slack)
        self.is_sending = False
        self.is_polled = True
        self.is_failing = failed
        self.poll = None
        self.refusals = refusals
        next_due = self._next_due(self.started_at - was_late)
        self.due = self.ready_at = max(min(next_due, no_later_than), no_earlier_than)

    def keep(self, target: Target, now: float, *, is_renewed: bool) -> None:
        """Go on as `target`, the same resource after a reload, in the same place unless what changed is about that."""
        old, self.target = self.target, target
        if self.started_at is None or self.poll is not None:
            return
        if self.is_failing and (is_renewed or target.credential != old.credential):
            self.refusals = 0
            self.due = self.ready_at = now
        elif target.interval != old.interval:
            self.due = self.ready_at = self._next_due(self.started_at)

    def _next_due(self, started_at: float) -> float:
        interval = self.target.interval
        return started_at + (back_off(interval, self.refusals) if self.refusals else interval)

    @property
    def refresh_interval(self) -> float | None:
        """Seconds between the beginnings of the last two polls, None before the second."""
        if self.started_at is None or self.previous_start is None:
            return None
        return self.started_at - self.previous_start


class Turn(NamedTuple):
    """When the targets of a credential may go. slow_turn_at: until then, its slow ones only where no other wants to."""

    ready_at: float
    slow_turn_at: float = 0.0


class Schedule:
    """All targets and when they are due; at the start all are, in the given order."""

    def __init__(self, targets: Iterable[Target], now: float) -> None:
        self.entries = [Entry(target, due=now, ready_at=now) for target in targets]

    def reload(self, difference: Difference, renewed: Container[str], now: float) -> None:
        """Go on with other targets: those that stay keep their places, new ones are due at once, others are dropped.

        renewed: the credentials that what failed with them is tried again at once with.
        """
        known = {entry.target: entry for entry in self.entries}
        self.entries = []
        for target, old in difference.targets:
            entry = known[old] if old else Entry(target, due=now, ready_at=now)
            entry.keep(target, now, is_renewed=target.credential in renewed)
            self.entries.append(entry)
        for target in difference.gone:
            known[target].is_dropped = True

    def hurry(self, now: float) -> None:
        """Make every target due at once, but for those whose poll is under way."""
        for entry in self.entries:
            if entry.poll is None:
                entry.due = min(entry.due, now)
                entry.ready_at = min(entry.ready_at, now)

    def next(self, now: float, turns: Mapping[str, Turn]) -> tuple[Entry | None, float]:
        """Return the entry whose request goes next, or None and when to look again (infinity: after an answer).

        turns: by the name of the credential, when its targets may go.
        """
        chosen, look_again_at = None, math.inf
        first_rank = (False, False, -math.inf)
        for entry in self.entries:
            if entry.is_sending:
                continue
            turn = turns[entry.target.credential]
            moment = max(entry.ready_at, turn.ready_at)
            if moment > now:
                look_again_at = min(look_again_at, moment)
                continue
            gives_way = entry.is_slow and now < turn.slow_turn_at
            is_quick_retry = entry.poll is not None and not entry.is_slow
            rank = (not gives_way, is_quick_retry, entry.overdue(now))
            if rank > first_rank:
                chosen, first_rank = entry, rank
        return chosen, look_again_at
