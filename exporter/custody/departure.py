"""Tells when a request has left this machine for the API, which is when it counts against a rate limit."""

from collections.abc import Callable

from exporter.custody.errors import Delivery


class Departure:
    """When a request left, or was about to. at: monotonic seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.at = monotonic()
        self._has_left = False

    def leave(self) -> None:
        """Take note that the request is about to be sent to the API, the way to which is open."""
        self.at = self._monotonic()
        self._has_left = True

    def delivery(self) -> Delivery:
        """Return what became of a request that was not answered."""
        return Delivery.UNANSWERED if self._has_left else Delivery.NEVER_SENT
