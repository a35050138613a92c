"""Which target is polled next: due times and their order, as arithmetic over a given `now`.

The most overdue target goes first, in terms of its own interval. While all goes well that is whoever is due; when
more is wanted than the budget allows, every interval is stretched by the same factor and nobody starves.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from exporter.polling.retry import Poll, back_off
from exporter.targets import Target


@dataclass(slots=True, eq=False)
class Entry:
    """A target's place in the schedule. Times are monotonic seconds.

    due: when its poll is, or was, due. ready_at: when its next request may go; later than `due` while a retry waits.
    started_at, previous_start: when its last two polls began. poll: the one under way. is_sending: whether a
    request of it is under way. refusals: polls in a row that made it back off.
    """

    target: Target
    due: float
    ready_at: float
    started_at: float | None = None
    previous_start: float | None = None
    poll: Poll | None = None
    is_sending: bool = False
    is_polled: bool = False
    refusals: int = 0

    def overdue(self, now: float) -> float:
        """Return how long it has been due, in intervals; a target never polled is overdue beyond measure."""
        return (now - self.due) / self.target.interval if self.is_polled else math.inf

    @property
    def refresh_interval(self) -> float | None:
        """Seconds between the beginnings of the last two polls, None before the second."""
        if self.started_at is None or self.previous_start is None:
            return None
        return self.started_at - self.previous_start


class Schedule:
    """All targets and when they are due; at the start all are, in the given order."""

    def __init__(self, targets: Iterable[Target], now: float) -> None:
        self.entries = [Entry(target, due=now, ready_at=now) for target in targets]

    def next(self, now: float, ready_at: Callable[[Entry], float]) -> tuple[Entry | None, float]:
        """Return the entry whose request goes next, or None and when to look again (infinity: after an answer).

        `ready_at` says from when on an entry's credential lets it go.
        """
        chosen, most_overdue, look_again_at = None, -math.inf, math.inf
        for entry in self.entries:
            if entry.is_sending:
                continue
            moment = max(entry.ready_at, ready_at(entry))
            if moment > now:
                look_again_at = min(look_again_at, moment)
            elif (overdue := entry.overdue(now)) > most_overdue:
                chosen, most_overdue = entry, overdue
        return chosen, look_again_at


def begin(entry: Entry, poll: Callable[[], Poll], now: float) -> None:
    """Take note that a request goes out: the first of a new poll, or another try of the one under way."""
    entry.is_sending = True
    if entry.poll is None:
        entry.poll = poll()
        entry.previous_start, entry.started_at = entry.started_at, now


def retry(entry: Entry, at: float) -> None:
    """Take note that the poll goes on with another try; its place is free until then."""
    entry.is_sending = False
    entry.ready_at = at


def finish(entry: Entry, *, backs_off: bool = False) -> None:
    """Take note that the poll has ended, and set the next one: an interval after its beginning, or more."""
    assert entry.started_at is not None  # noqa: S101 - only a poll that began can end
    entry.is_sending = False
    entry.is_polled = True
    entry.poll = None
    entry.refusals = entry.refusals + 1 if backs_off else 0
    interval = entry.target.interval
    pause = back_off(interval, entry.refusals) if backs_off else interval
    entry.due = entry.ready_at = entry.started_at + pause
