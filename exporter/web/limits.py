"""What clients may take of the server, so that a few that are careless or hostile leave enough for the others."""

import re
import resource
from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SPARE_FILES: Final = 384
"""Open files that are kept for everything but served connections: polling, and those accepted but not yet counted."""
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Limits:
    """Names and meanings are those of Prometheus and its exporter-toolkit, where they have them.

    connections: at once; a further one replaces the one that has waited longest for a request. requests: answered at
    once, 0 for any number. read_timeout: seconds from connecting, or from the first byte of a further request, to the
    end of its head. write_timeout: seconds from there until the client has taken the answer. idle_timeout: seconds
    between an answer and a further request; longer than Prometheus's usual scrape interval, so that a scrape finds
    its connection still open. body_bytes: that may follow a head; nothing served here wants any.
    """

    connections: int = 512
    requests: int = 40
    read_timeout: float = 10.0
    write_timeout: float = 60.0
    idle_timeout: float = 90.0
    body_bytes: int = 1024 * 1024

    def within_open_files(self) -> "Limits":
        """Return limits with no more connections than the process may open files for.

        Its own limit is raised as far as is needed and allowed: without files to open, polling would fail too.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.connections + SPARE_FILES
        if resource.RLIM_INFINITY != soft < wanted:
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            return replace(self, connections=max(1, soft - SPARE_FILES))
        return self


DEFAULT: Final = Limits()


def seconds(text: str) -> float:
    """Read a duration such as 500ms, 10s or 5m. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,6})(ms|s|m)", text)
    if not match or not int(match[1]):
        raise ValueError(f"{text!r} is not a duration, such as 500ms, 10s or 5m")
    return int(match[1]) * _UNITS[match[2]]


def count(text: str) -> int:
    """Read a number from 0 to 999999. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise ValueError(f"{text!r} is not a whole number from 0 to 999999")
    return int(text)


class AtMost:
    """An ASGI app that answers at most `requests` at once, and further ones with 503.

    Health and readiness are always answered: an exporter that is busy is not to be restarted for it.
    """

    def __init__(self, requests: int, app: ASGIApp) -> None:
        self._requests = requests
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._under_way >= self._requests and not scope["path"].startswith("/-/"):
            refusal = f"Limit of concurrent requests reached ({self._requests}), try again later.\n"
            await PlainTextResponse(refusal, 503)(scope, receive, send)
            return

        async def send_patiently(message: Message) -> None:
            # The server waits with what comes next until the client has taken what came before, so that a request
            # counts as long as its answer takes up memory.
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({**message, "more_body": True})
                message = {"type": "http.response.body"}
            await send(message)

        self._under_way += 1
        try:
            await self._app(scope, receive, send_patiently)
        finally:
            self._under_way -= 1
