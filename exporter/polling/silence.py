"""Tells an API that answers nobody from some targets that hang: arithmetic over the requests of one credential."""

from typing import Final

from exporter.polling.pause import Cause

TELLING_REQUESTS: Final = 2


class Silence:
    """The requests in a row of one credential that had no answer.

    requests: how many, until now. since: when the first of them was sent, in monotonic seconds. cause: what became of
    the last. Both are None after an answer.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.since: float | None = None
        self.cause: Cause | None = None
        self._telling = 0

    @property
    def is_total(self) -> bool:
        """Whether it is the API that does not answer, as far as this credential's requests can tell.

        A target that had no answer before says nothing new: where a third of them hang, they are often asked one after
        the other, in the time that nobody else wants.
        """
        return self._telling >= TELLING_REQUESTS

    def answered(self) -> None:
        """Note that the API has answered, whatever it was."""
        self.requests = self._telling = 0
        self.since = self.cause = None

    def unanswered(self, cause: Cause, sent_at: float, *, is_news: bool) -> None:
        """Note that a request had no answer. is_news: whether its target's last poll was answered."""
        self.requests += 1
        self._telling += is_news
        self.since = sent_at if self.since is None else self.since
        self.cause = cause
