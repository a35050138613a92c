"""Whether and when a failed request is tried again in the same poll, and how long a failing target is left alone."""

from collections.abc import Callable
from typing import Final

from exporter.custody.errors import CustodyError, Reaction

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

    def retry_in(self, error: CustodyError) -> float | None:
        """Return the seconds until the next try after `error`, None where the poll has failed."""
        if error.reaction is Reaction.RETRY and self._retries < MAX_RETRIES:
            self._retries += 1
            return FIRST_RETRY_SECONDS * 2.0 ** (self._retries - 1) * (0.5 + self._chance())
        if error.reaction is Reaction.AGAIN and error.type not in self._asked_again:
            self._asked_again.add(error.type)
            return 0.0
        return None


def backs_off(error: CustodyError) -> bool:
    """Whether a target whose poll ended in `error` is polled less often from now on.

    A nonce refused twice is among them: Kraken counts them, and bans whoever goes on.
    """
    return error.reaction in (Reaction.BACK_OFF, Reaction.AGAIN)


def back_off(interval: float, failures: int) -> float:
    """Return the seconds from one poll to the next after `failures` refusals in a row (at least 1)."""
    # Far below a float's limit, so that no number of failures raises OverflowError.
    doublings = min(failures, 30)
    return max(interval, min(interval * 2.0**doublings, LONGEST_BACK_OFF_SECONDS))
