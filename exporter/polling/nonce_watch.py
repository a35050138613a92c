"""Detects from accepted and refused nonces that another program uses the key: arithmetic without I/O."""

from collections import deque
from typing import Final

TELLING_REFUSALS: Final = 3
EPISODE_SECONDS: Final = 3600.0


class NonceWatch:
    """The nonces of one key, whose requests are sent one at a time.

    The API refuses a nonce that is not larger than the last one it accepted from the key. Ours always grow, so once it
    has accepted one of them, it can refuse a later one only because another program sent a larger one. Before that, the
    larger one may be from this exporter before a restart, with a clock that was ahead or a finer unit. `has_accepted`
    tells the two cases apart.

    A gateway that forwards a request twice looks the same, but is rare: three refusals within an hour are reported, and
    not again until an hour without any has passed. All times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.has_accepted = False
        self._refusals: deque[float] = deque(maxlen=TELLING_REFUSALS)
        self._is_told = False

    def accepted(self) -> None:
        """Record that a request succeeded."""
        if not self.has_accepted:
            self.has_accepted = True
            # Earlier refusals mean that our nonces were too small, not that the key is shared.
            self._refusals.clear()
            self._is_told = False

    def refused(self, now: float) -> bool:
        """Record that the API refused a nonce; return whether that is to be reported now.

        It means that the key is shared if a nonce was accepted before, else that all of ours are too small.
        """
        if self._refusals and now - self._refusals[-1] >= EPISODE_SECONDS:
            self._is_told = False
        self._refusals.append(now)
        is_telling = (
            len(self._refusals) == TELLING_REFUSALS and now - self._refusals[0] < EPISODE_SECONDS
        )
        is_news = is_telling and not self._is_told
        self._is_told = self._is_told or is_news
        return is_news

    def says_shared(self, now: float) -> bool:
        """Return whether the key was reported as shared and the last refusal is less than an hour old."""
        return self.has_accepted and self._is_told and now - self._refusals[-1] < EPISODE_SECONDS
