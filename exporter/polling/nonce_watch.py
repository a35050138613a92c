"""Tells from the nonces that the API accepts and refuses whether somebody else uses the key: arithmetic without I/O."""

from collections import deque
from typing import Final

TELLING_REFUSALS: Final = 3
EPISODE_SECONDS: Final = 3600.0


class NonceWatch:
    """What became of the nonces of one key, whose requests go one after the other.

    The API refuses a nonce that is not larger than the last one it accepted from the key. Ours always grow, so once
    it has accepted one of them, it can refuse a later one only because a larger one came from somebody else. Until
    then it may have been this exporter before a restart, with a clock that was ahead or a finer unit.
    has_accepted: which of the two it is.

    A gateway that sends a request on twice looks the same, but not often: three refusals within an hour are told, and
    not again until an hour has passed without any. All times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.has_accepted = False
        self._refusals: deque[float] = deque(maxlen=TELLING_REFUSALS)
        self._is_told = False

    def accepted(self) -> None:
        """Note that the API has answered a request with what was asked for."""
        if not self.has_accepted:
            self.has_accepted = True
            # Those before say that our nonces were behind, nothing about anybody else.
            self._refusals.clear()
            self._is_told = False

    def refused(self, now: float) -> bool:
        """Note that the API refused a nonce, and return whether it is time to tell what that says.

        It says that the key is shared where a nonce was accepted before, else that all of ours are behind.
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
        """Return whether it was told that the key is shared, and a refusal since then is less than an hour old."""
        return self.has_accepted and self._is_told and now - self._refusals[-1] < EPISODE_SECONDS
