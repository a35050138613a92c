"""Serves an ASGI application on a socket, within the event loop that is running.

uvicorn closes connections that are idle between requests. What it knows no limit for has one here: requests that are
never complete, answers that are not taken, bodies without end, and how many there are of connections and of requests.
"""

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import AsyncIterator, Generator
from enum import Enum, auto
from typing import Any, Final

import h11
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.web.address import BACKLOG
from exporter.web.limits import DEFAULT_LIMITS, Limits

GRACEFUL_SECONDS: Final = 2
LAST_ANSWERS_SECONDS: Final = 1
"""For clients to take their answers when the server stops; at GRACEFUL_SECONDS uvicorn would log a traceback each."""
HEAD_BYTES: Final = 16 * 1024
PIECE_BYTES: Final = 4 * 1024
"""h11 measures a head only while it is incomplete; among the 256 KiB that are read at once it could be complete."""
ACCEPTED_AT_ONCE: Final = 64
"""How many asyncio accepts before any of them is counted, so that a flood finds files left to open."""

_log = logging.getLogger("uvicorn.error.connection")
# What clients do wrong is not told: it could fill the disk.
_log.setLevel(logging.ERROR)


class _AtMost:
    """Has an ASGI app answer at most `requests` at once, and answers further ones with 503; 0 for any number.

    Health and readiness are always answered: an exporter is not to be restarted because it is busy.
    """

    def __init__(self, requests: int, app: ASGIApp) -> None:
        self._requests = requests
        self._app = app
        self._under_way = set[object]()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        is_full = 0 < self._requests <= len(self._under_way)
        if is_full and not scope["path"].startswith("/-/"):
            refusal = f"Limit of concurrent requests reached ({self._requests}), try again later.\n"
            await PlainTextResponse(refusal, 503)(scope, receive, send)
            return
        request = object()

        async def send_whole(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last:
                # Only with what comes next does uvicorn wait for the client to take what came before.
                await send({**message, "more_body": True})
                message = {"type": "http.response.body"}
            await send(message)
            if is_last:
                # Not only when the app returns: by then the client may have sent its next one.
                self._under_way.discard(request)

        self._under_way.add(request)
        try:
            await self._app(scope, receive, send_whole)
        finally:
            self._under_way.discard(request)


class _Stage(Enum):
    """What a connection is at: it waits for (the rest of) a request, has one under way, or is between two."""

    READING = auto()
    ANSWERING = auto()
    IDLE = auto()


class _State(ServerState):
    """What the connections of a server share. waiting: those with no request under way, the longest first."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.seconds = {
            _Stage.READING: limits.read_timeout,
            _Stage.ANSWERING: limits.write_timeout,
            _Stage.IDLE: limits.idle_timeout,
        }
        self.waiting: dict[_Connection, None] = {}


class _Connection(H11Protocol):
    """uvicorn's, with a deadline at every moment, whatever the client does or does not."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: _State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = _log
        self._limits = server_state.limits
        self._seconds = server_state.seconds
        self._waiting = server_state.waiting
        self._at: tuple[_Stage, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._follow()
        if len(self.connections) > self._limits.connections:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._waiting.pop(self, None)
        if self._deadline:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            if self.transport.is_closing():
                break
            piece = data[start : start + PIECE_BYTES]
            super().data_received(piece)
            unfinished = self.conn.their_state is h11.SEND_BODY
            self._body_bytes = self._body_bytes + len(piece) if unfinished else 0
            if self._body_bytes > self._limits.body_bytes:
                self.transport.abort()
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._follow()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state is h11.IDLE:
            super().send_400_response(msg)
        else:
            # It was the body that is malformed: the head's answer is under way, and uvicorn would fail at a second one.
            self.transport.abort()

    def shutdown(self) -> None:
        super().shutdown()
        self._set_deadline(LAST_ANSWERS_SECONDS)

    def _follow(self) -> None:
        """Set the deadline for what the connection is at now, unless it was at that before."""
        at = self._stage(), self.cycle
        if at == self._at or self not in self.connections:
            return
        self._at = at
        self._waiting.pop(self, None)
        if at[0] is not _Stage.ANSWERING:
            self._waiting[self] = None
        self._set_deadline(self._seconds[at[0]])

    def _stage(self) -> _Stage:
        if self.flow.write_paused or (self.cycle and not self.cycle.response_complete):
            return _Stage.ANSWERING
        received, _ = self.conn.trailing_data
        if self.cycle and self.conn.their_state is h11.IDLE and not received:
            return _Stage.IDLE
        return _Stage.READING

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        # To close it would be to wait for the client to take the rest of its answer.
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


class _Server(uvicorn.Server):
    """uvicorn, but signals are the process's business."""

    def __init__(self, config: uvicorn.Config, limits: Limits) -> None:
        super().__init__(config)
        self.server_state = _State(limits)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            # asyncio has made it as short as what it accepts at once.
            listener.listen(BACKLOG)


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve `app` on `listener` while the block runs; lends the task, which ends early only if the server fails."""
    server = _Server(
        uvicorn.Config(
            _AtMost(limits.requests, app).app,
            http=_Connection,
            ws="none",
            # Guessed otherwise, and wrong for a bound method.
            interface="asgi3",
            # A client that names another address in a header is still itself.
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=ACCEPTED_AT_ONCE,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=math.ceil(limits.idle_timeout),
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        ),
        limits,
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield task
    finally:
        server.should_exit = True
        await task
