"""Tells when a request has left this machine for the API, which is when it counts against a rate limit."""

from collections.abc import Callable, Mapping
from typing import Any

from exporter.custody.errors import Delivery


class Departure:
    """When a request left, or was about to. at: monotonic seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.at = monotonic()
        self._has_left = False

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of the moment in which httpcore begins to send (its "trace" extension)."""
        if event.endswith("send_request_headers.started") and not _is_for_proxy(info):
            self.at = self._monotonic()
            self._has_left = True

    def delivery(self) -> Delivery:
        """Return what became of a request that was not answered."""
        return Delivery.UNANSWERED if self._has_left else Delivery.NEVER_SENT


def _is_for_proxy(info: Mapping[str, Any]) -> bool:
    """Whether it is not yet the request that begins, but the one that asks a proxy for the way to the API."""
    return "request" in info and info["request"].method == b"CONNECT"
