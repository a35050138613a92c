"""Whether and when a failed request is retried in the same poll, and when a failing target is polled next."""

import math
from collections.abc import Callable, Hashable
from typing import Final

from exporter.custody.client import Request
from exporter.custody.errors import CustodyError, Reaction
from exporter.polling.pause import LONGEST_RETRY_AFTER_SECONDS, SHORTEST_PAUSE_SECONDS
from exporter.resources.resource import Answer

MAX_RETRIES: Final = 2
FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_BACK_OFF_SECONDS: Final = 15 * 60.0


class Poll:
    """One poll of a target, and its remaining tries.

    chance: returns a random number in [0, 1), so that targets that failed together are not retried together.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._retries = 0
        self._asked_again: set[str] = set()
        self._origin: Hashable = None
        self._next: Request[Answer] | None = None
        self._may_go_on = True

    def request(self, ask: Callable[[], Request[Answer]], origin: Hashable) -> Request[Answer]:
        """Return the next request: for the next part of the answer, or, as returned by `ask`, for the first.

        origin: the credential's. If it changed, the answer is read from its beginning: parts of answers to two keys
            need not fit together.
        """
        self._may_go_on = True
        if self._next is None or origin != self._origin:
            return ask()
        return self._next

    def go_on(self, following: Request[Answer], origin: Hashable) -> None:
        """Record that a part of the answer was read; each part has its own tries."""
        self._next = following if self._may_go_on else None
        self._origin = origin
        self._retries = 0
        self._asked_again.clear()

    def begin_anew(self) -> None:
        """Discard what was read and what is in flight: it may belong to another."""
        self._next, self._may_go_on = None, False

    def retry_in(self, error: CustodyError) -> float | None:
        """Return the seconds until the next try after `error`, None if the poll has failed."""
        # If the API says when to retry, the retry waits until then.
        is_patient = error.retry_after is not None
        if error.reaction is Reaction.RETRY and self._retries < MAX_RETRIES and not is_patient:
            self._retries += 1
            return FIRST_RETRY_SECONDS * 2.0 ** (self._retries - 1) * (0.5 + self._chance())
        if error.reaction is Reaction.AGAIN and error.type not in self._asked_again:
            self._asked_again.add(error.type)
            return 0.0
        return None


def refusals_after(error: CustodyError, before: int) -> int:
    """Return the number of refusals in a row, which make a target back off, after a poll that ended in `error`.

    before: the number before this poll. A nonce refused twice counts: Kraken counts them, and bans clients that
        continue.
    """
    if error.reaction is Reaction.SLOW_DOWN:
        return 1
    return before + 1 if error.reaction in (Reaction.BACK_OFF, Reaction.AGAIN) else 0


def next_interval(interval: float, refusals: int, *, is_failing: bool) -> float:
    """Return the seconds from one poll of a target to the next.

    After `refusals` in a row they double, up to a quarter of an hour. A target that is failing for another reason does
    not wait for longer than that either, as a single hiccup would show for a whole interval.
    """
    if refusals:
        # Bounded, so that no number of refusals raises OverflowError.
        doubled = interval * 2.0 ** min(refusals, 30)
        return max(interval, min(doubled, LONGEST_BACK_OFF_SECONDS))
    return min(interval, LONGEST_BACK_OFF_SECONDS) if is_failing else interval


def retry_bounds(error: CustodyError, now: float, *, was_failing: bool) -> tuple[float, float]:
    """Return the earliest and the latest moment for the next poll that the API asked for in `error`, as of `now`.

    If the API says when to retry, that may bring the next poll forward once; from the second failed poll in a row it
    can only delay it. was_failing: whether the poll before this one failed.
    """
    pauses = (Reaction.PAUSE_ALL, Reaction.PAUSE_CREDENTIAL, Reaction.LOCK_OUT)
    if error.retry_after is None or error.reaction in pauses:
        return -math.inf, math.inf
    moment = now + min(max(error.retry_after, SHORTEST_PAUSE_SECONDS), LONGEST_RETRY_AFTER_SECONDS)
    is_believed = error.reaction is Reaction.RETRY and not was_failing
    return moment, moment if is_believed else math.inf
