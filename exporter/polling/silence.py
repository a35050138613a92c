"""Distinguishes an API that does not respond from single targets that hang, by the requests of one credential."""

from typing import Final

from exporter.polling.pause import Cause

TELLING_REQUESTS: Final = 2


class Silence:
    """Consecutive requests of one credential without a response.

    requests: their number.
    since: when the first of them was sent, in monotonic seconds, None after a response.
    cause: the error of the last one, None after a response.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.since: float | None = None
        self.cause: Cause | None = None
        self._telling = 0

    @property
    def is_total(self) -> bool:
        """Whether the API does not respond, as far as this credential's requests can tell.

        A target that got no response before says nothing new: when a third of them hang, they are often polled one
        after the other, in the time that no other target needs.
        """
        return self._telling >= TELLING_REQUESTS

    def answered(self) -> None:
        """Record a response, whatever it says."""
        self.requests = self._telling = 0
        self.since = self.cause = None

    def unanswered(self, cause: Cause, sent_at: float, *, is_news: bool) -> None:
        """Record a request without a response. is_news: whether its target's last poll got one."""
        self.requests += 1
        self._telling += is_news
        self.since = sent_at if self.since is None else self.since
        self.cause = cause
