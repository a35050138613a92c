"""A target's place in the schedule: an immutable value, and how requests and reloads change it, as arithmetic."""

import math
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exporter.polling.pause import BETWEEN_TRIES_SECONDS
from exporter.polling.retry import Poll, next_interval
from exporter.resources.target import Target

MADE_UP_FOR: Final = 0.1
"""Maximum lateness that a poll makes up for, in intervals."""


class Place(Struct, frozen=True):
    """When a target's next request may be sent, and how its polls went. Times are monotonic seconds.

    due: when its poll is, or was, due.
    ready_at: when its next request may be sent; later than `due` while a retry waits.
    started_at, previous_start: when its last two polls began.
    poll: the poll in progress.
    is_sending: whether a request is in flight.
    is_retrying: whether its next request is a retry.
    is_between_parts: whether its next request is for a further part of the same answer.
    is_polled: whether any poll has ended.
    is_failing: whether the last poll failed.
    is_silent: whether the last poll got no response.
    is_slow: whether its last request took long to fail, so that it yields to others of its key.
    refusals: polls in a row whose errors make it back off.
    hurried_at: when a poll on demand was last asked for.
    """

    target: Target
    due: float
    ready_at: float
    started_at: float | None = None
    previous_start: float | None = None
    poll: Poll | None = None
    is_sending: bool = False
    is_retrying: bool = False
    is_between_parts: bool = False
    is_polled: bool = False
    is_failing: bool = False
    is_silent: bool = False
    is_slow: bool = False
    refusals: int = 0
    hurried_at: float = -math.inf

    def overdue(self, now: float) -> float:
        """Return how long it has been due, in intervals of its own."""
        return (now - self.due_since) / self.target.interval

    @property
    def due_since(self) -> float:
        """When it was due; -infinity for a target that was never polled, so that it goes first.

        Further parts of a first answer count from `due`, so that the first polls of other targets need not wait for
        them.
        """
        return self.due if self.is_polled or self.is_between_parts else -math.inf

    @property
    def refresh_interval(self) -> float | None:
        """Seconds between the starts of the last two polls, None before the second."""
        if self.started_at is None or self.previous_start is None:
            return None
        return self.started_at - self.previous_start

    def was_found_after(self, other: "Place") -> bool:
        """Whether it was never polled and became due after `other` did."""
        return not self.is_polled and self.due > other.due

    def begun(self, poll: Callable[[], Poll], now: float) -> "Place":
        """Return the place after a request is sent: the first of a new poll, or the next of the poll in progress."""
        is_new = self.poll is None
        return replace(
            self,
            is_sending=True,
            is_retrying=False,
            is_between_parts=False,
            poll=self.poll or poll(),
            previous_start=self.started_at if is_new else self.previous_start,
            started_at=now if is_new else self.started_at,
        )

    def retried(self, at: float) -> "Place":
        """Return the place while the poll waits for a retry at `at`."""
        return replace(self, is_sending=False, is_retrying=True, ready_at=at)

    def partly(self, now: float) -> "Place":
        """Return the place when the next part of the answer is to be requested."""
        return replace(self, is_sending=False, is_slow=False, is_between_parts=True, ready_at=now)

    def finished(
        self,
        *,
        failed: bool = False,
        silent: bool = False,
        refusals: int = 0,
        no_earlier_than: float = -math.inf,
        no_later_than: float = math.inf,
    ) -> "Place":
        """Return the place after the poll ended; the next one is due between these moments, if they are given.

        Otherwise it is due one interval after this one began, or what failures make of it. A little lateness is made up
        for, so that a target that sometimes has to wait is not polled less often; more would favour some targets when
        all are late.
        """
        assert self.started_at is not None  # noqa: S101 - only a poll that began can end
        slack = self.target.interval * MADE_UP_FOR if self.is_polled else 0.0
        was_late = min(self.started_at - self.due, slack)
        interval = next_interval(self.target.interval, refusals, is_failing=failed)
        next_due = self.started_at - was_late + interval
        moment = max(min(next_due, no_later_than), no_earlier_than)
        return replace(
            self,
            due=moment,
            ready_at=moment,
            is_sending=False,
            is_retrying=False,
            is_polled=True,
            is_failing=failed,
            is_silent=silent,
            is_slow=failed and self.is_slow,
            poll=None,
            refusals=refusals,
        )

    def first(self, now: float) -> "Place":
        """Return the place from which its next request is sent before all others; unchanged while one is in flight."""
        return replace(self, due=-math.inf, ready_at=now, is_slow=False)

    def hurried(self, now: float) -> "Place | None":
        """Return the first place for a poll on demand, None if the last one was less than a minute ago.

        A back-off continues if this poll fails too.
        """
        if now - self.hurried_at < BETWEEN_TRIES_SECONDS:
            return None
        return replace(self.first(now), hurried_at=now)

    def due_by(self, now: float) -> "Place":
        """Return the place in which it is due at `now` at the latest, unless its poll is in progress."""
        if self.poll is not None or max(self.due, self.ready_at) <= now:
            return self
        return replace(self, due=min(self.due, now), ready_at=min(self.ready_at, now))

    def kept(self, target: Target, now: float, *, is_renewed: bool) -> "Place":
        """Return the place for `target`, which is the same target after a reload, with what changed applied.

        is_renewed: whether failed polls of its credential are retried at once.
        """
        if target == self.target and not (is_renewed and self.is_failing):
            return self
        kept = replace(self, target=target)
        if self.started_at is None or self.poll is not None:
            return kept
        if self.is_failing and (is_renewed or target.credential != self.target.credential):
            return replace(kept, refusals=0, due=now, ready_at=now)
        if target.interval != self.target.interval:
            interval = next_interval(target.interval, self.refusals, is_failing=self.is_failing)
            moment = self.started_at + interval
            return replace(kept, due=moment, ready_at=moment)
        return kept
