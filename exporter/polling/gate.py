"""A gate that closes when the API says stop: for everything (rate limit), or for one credential (refused)."""

import math
from typing import Final, NamedTuple

BETWEEN_TRIES_SECONDS: Final = 60.0
"""Between two requests that somebody asks for in spite of a pause or a back-off."""
SHORTEST_PAUSE_SECONDS: Final = 1.0
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
"""An absurd `Retry-After` must not silence the exporter for good; one request in an hour does no harm."""


class Refusal(NamedTuple):
    """Why nothing may be sent: an error's type, the API's own words or the library's, and the HTTP status, if any.

    is_lockout: whether each further try would begin it anew, so that nobody may end its pause early.
    """

    type: str
    message: str
    status: int | None = None
    is_lockout: bool = False


class Gate:
    """Open, or closed for a pause, after which one request tries before the others go.

    Each pause is twice as long as the one before, from `first` to `longest` seconds, until a request gets through; only
    the first of a row is shorter where the API says so.
    refusal: why the last request was refused, or not answered, None while it is open. since: when the first of the
    pauses in a row began, None while it is open. All times are monotonic seconds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self.first = first
        self.longest = longest
        self.refusal: Refusal | None = None
        self.since: float | None = None
        self._pause = 0.0
        self._closed_at: float | None = None
        self._opens_at = 0.0
        self._trying = False
        self._ended_early_at = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether requests go through freely."""
        return self._closed_at is None

    @property
    def is_locked_out(self) -> bool:
        """Whether it is closed because of a lockout, which each further try would begin anew."""
        return self.refusal is not None and self.refusal.is_lockout

    def ready_at(self) -> float:
        """Return when the next request may go: infinity while one tries for all."""
        if self._closed_at is None:
            return 0.0
        return float("inf") if self._trying else self._opens_at

    def pass_through(self) -> None:
        """Take note that a request goes now; where the gate is closed, it is the one that tries."""
        self._trying = self._closed_at is not None

    def try_now(self, now: float) -> bool:
        """End the pause for the one request that tries; return whether that was done.

        Not a lockout's pause, and none twice within a minute: a key that is refused in a row gets locked out.
        """
        is_over = self._closed_at is None or self._trying
        is_too_soon = now - self._ended_early_at < BETWEEN_TRIES_SECONDS
        if is_over or is_too_soon or self.is_locked_out:
            return False
        self._ended_early_at = now
        self._opens_at = min(self._opens_at, now)
        return True

    def close(
        self,
        refusal: Refusal,
        sent_at: float,
        now: float,
        retry_after: float | None = None,
    ) -> bool:
        """Close because a request that was sent at `sent_at` was refused; return whether that is a new pause.

        `retry_after`: the seconds for which the API asked, if it did. Requests that were already on their way when
        the gate closed tell nothing new. A lockout lasts for the longest pause at once.
        """
        if self._closed_at is not None and sent_at < self._closed_at:
            return False
        is_first = not self._pause
        self._pause = min(self.longest, 2 * self._pause if self._pause else self.first)
        if refusal.is_lockout:
            self._pause = self.longest
        if retry_after is None:
            wanted = self._pause
        elif is_first and not refusal.is_lockout:
            wanted = retry_after
        else:
            # One that says "at once" each time would be asked each second for ever.
            wanted = max(retry_after, self._pause)
        pause = min(max(wanted, SHORTEST_PAUSE_SECONDS), LONGEST_RETRY_AFTER_SECONDS)
        self.refusal = refusal
        self.since = now if self.since is None else self.since
        self._closed_at = now
        self._opens_at = now + pause
        self._trying = False
        return True

    def settle(self, sent_at: float, *, answered: bool, why: Refusal | None = None) -> bool:
        """Take note that a request ended without being refused; return whether that opened the gate.

        Only an answer opens it, and only one to a request that was sent since the gate closed. why: nothing came, where
        nothing came; from then on that is what keeps the gate closed.
        """
        if self._closed_at is None or sent_at < self._closed_at:
            return False
        self._trying = False
        if answered:
            self._closed_at = self.since = self.refusal = None
            self._pause = 0.0
        elif why is not None:
            self.refusal = why
        return answered
