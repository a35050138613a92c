"""Whether and when a failed request is tried again in the same poll, and how long a failing target is left alone."""

import math
from collections.abc import Callable
from typing import Final

from exporter.custody.client import Request
from exporter.custody.errors import CustodyError, Reaction
from exporter.polling.pause import LONGEST_RETRY_AFTER_SECONDS, SHORTEST_PAUSE_SECONDS
from exporter.resources.resource import Answer

MAX_RETRIES: Final = 2
FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_BACK_OFF_SECONDS: Final = 15 * 60.0


class Poll:
    """One poll of a target: the tries it has left.

    chance: a number from 0 up to 1, anew at each call, so that targets that failed together do not return together.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._retries = 0
        self._asked_again: set[str] = set()
        self._generation = 0
        self._next: Request[Answer] | None = None
        self._may_go_on = True

    def request(self, ask: Callable[[], Request[Answer]], generation: int) -> Request[Answer]:
        """Return the request that goes next: the one for the next part of the answer, or for the first, as `ask` says.

        generation: of the credential's secrets. The answer begins anew where they are others than before: two keys may
        see two answers, of which no part fits the other.
        """
        self._may_go_on = True
        if self._next is None or generation != self._generation:
            return ask()
        return self._next

    def go_on(self, following: Request[Answer], generation: int) -> None:
        """Note that a part of the answer was read; the request for each part has tries of its own."""
        self._next = following if self._may_go_on else None
        self._generation = generation
        self._retries = 0
        self._asked_again.clear()

    def begin_anew(self) -> None:
        """Forget what was read, and what is under way: it may be another's."""
        self._next, self._may_go_on = None, False

    def retry_in(self, error: CustodyError) -> float | None:
        """Return the seconds until the next try after `error`, None where the poll has failed."""
        # An API that says when to come again is asked then, not before.
        is_patient = error.retry_after is not None
        if error.reaction is Reaction.RETRY and self._retries < MAX_RETRIES and not is_patient:
            self._retries += 1
            return FIRST_RETRY_SECONDS * 2.0 ** (self._retries - 1) * (0.5 + self._chance())
        if error.reaction is Reaction.AGAIN and error.type not in self._asked_again:
            self._asked_again.add(error.type)
            return 0.0
        return None


def refusals_after(error: CustodyError, before: int) -> int:
    """Return for how many refusals in a row a target is polled less often once its poll has ended in `error`.

    before: for how many it was until then. A nonce refused twice is a refusal: Kraken counts them, and bans whoever
    goes on.
    """
    if error.reaction is Reaction.SLOW_DOWN:
        return 1
    return before + 1 if error.reaction in (Reaction.BACK_OFF, Reaction.AGAIN) else 0


def back_off(interval: float, refusals: int) -> float:
    """Return the seconds from one poll to the next after `refusals` in a row, at least one."""
    # Far below a float's limit, so that no number of refusals raises OverflowError.
    doublings = min(refusals, 30)
    return max(interval, min(interval * 2.0**doublings, LONGEST_BACK_OFF_SECONDS))


def asked_for(error: CustodyError, now: float, *, was_failing: bool) -> tuple[float, float]:
    """Return the earliest and the latest moment for the next poll by what the API asked for in `error`, as of `now`.

    An API in trouble that says when to come again is taken at its word once, even before the target is due; from the
    second failed poll in a row on (was_failing: the one before this had failed) that can only make the next one later.
    """
    pauses = (Reaction.PAUSE_ALL, Reaction.PAUSE_CREDENTIAL, Reaction.LOCK_OUT)
    if error.retry_after is None or error.reaction in pauses:
        return -math.inf, math.inf
    moment = now + min(max(error.retry_after, SHORTEST_PAUSE_SECONDS), LONGEST_RETRY_AFTER_SECONDS)
    is_believed = error.reaction is Reaction.RETRY and not was_failing
    return moment, moment if is_believed else math.inf
