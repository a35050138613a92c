"""Pauses that the API asks for: of everything (rate limit), or of one credential (refused)."""

import math
from typing import Final, NamedTuple

BETWEEN_TRIES_SECONDS: Final = 60.0
"""Minimum time between two requests on demand despite a pause or a back-off."""
SHORTEST_PAUSE_SECONDS: Final = 1.0
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
"""An absurd `Retry-After` must not silence the exporter for good; one request an hour does no harm."""


class Cause(NamedTuple):
    """Why nothing may be sent: the error's type, its message from the API or a library, and the HTTP status, if any.

    is_lockout: whether each further try would restart it, so that its pause must not end early.
    """

    type: str
    message: str
    status: int | None = None
    is_lockout: bool = False


class Pause:
    """A pause, after which one trial request is sent before all others.

    Each pause is twice as long as the previous one, from `first` to `longest` seconds, until a request gets through;
    only the first of a series may be shorter, if the API says so.
    All times are monotonic seconds.

    cause: why the last request was refused or not answered, None while inactive.
    since: when the first pause of the series began, None while inactive.
    """

    def __init__(self, first: float, longest: float) -> None:
        self.first = first
        self.longest = longest
        self.cause: Cause | None = None
        self.since: float | None = None
        self._seconds = 0.0
        self._began_at: float | None = None
        self._ends_at = 0.0
        self._is_on_trial = False
        self._ended_early_at = -math.inf

    @property
    def is_active(self) -> bool:
        """Whether requests wait for its end or for the response to its trial request."""
        return self._began_at is not None

    @property
    def is_lockout(self) -> bool:
        """Whether it is active because of a lockout, which each further try would restart."""
        return self.cause is not None and self.cause.is_lockout

    def ends_at(self) -> float:
        """Return when the next request may be sent: 0 while inactive, infinity during a trial request."""
        if self._began_at is None:
            return 0.0
        return math.inf if self._is_on_trial else self._ends_at

    def request_sent(self) -> None:
        """Record that a request is sent now; if the pause is active, it is the trial request."""
        self._is_on_trial = self._began_at is not None

    def end_early(self, now: float) -> bool:
        """Allow the trial request now; return whether that was done.

        Refused during a lockout, and for a minute after the last time: repeated refusals lock the key out.
        """
        is_over = self._began_at is None or self._is_on_trial
        is_too_soon = now - self._ended_early_at < BETWEEN_TRIES_SECONDS
        if is_over or is_too_soon or self.is_lockout:
            return False
        self._ended_early_at = now
        self._ends_at = min(self._ends_at, now)
        return True

    def begin(
        self,
        cause: Cause,
        sent_at: float,
        now: float,
        retry_after: float | None = None,
    ) -> bool:
        """Begin because a request sent at `sent_at` was refused; return whether that is a new pause.

        Requests that were already in flight when the pause began tell nothing new. A lockout lasts for the longest
        pause at once. retry_after: the seconds that the API asked for, if it did.
        """
        if self._began_at is not None and sent_at < self._began_at:
            return False
        is_first = not self._seconds
        self._seconds = min(self.longest, 2 * self._seconds if self._seconds else self.first)
        if cause.is_lockout:
            self._seconds = self.longest
        if retry_after is None:
            wanted = self._seconds
        elif is_first and not cause.is_lockout:
            wanted = retry_after
        else:
            # An API that always says "at once" would be asked every second for ever.
            wanted = max(retry_after, self._seconds)
        self.cause = cause
        self.since = now if self.since is None else self.since
        self._began_at = now
        self._ends_at = now + min(max(wanted, SHORTEST_PAUSE_SECONDS), LONGEST_RETRY_AFTER_SECONDS)
        self._is_on_trial = False
        return True

    def forget(self) -> None:
        """Reset to the initial state."""
        self._began_at = self.since = self.cause = None
        self._seconds = 0.0
        self._is_on_trial = False

    def settle(self, sent_at: float, *, answered: bool, cause: Cause | None = None) -> bool:
        """Record that a request ended without being refused; return whether that ended the pause.

        Only a response ends it, and only to a request sent since the pause began. cause: why there was no response, if
        so; it becomes the cause of the pause.
        """
        if self._began_at is None or sent_at < self._began_at:
            return False
        self._is_on_trial = False
        if answered:
            self.forget()
        elif cause is not None:
            self.cause = cause
        return answered
