"""Serves an ASGI application on a socket, within the event loop that is running.

uvicorn ends connections that are idle between requests. What it has no limits for is here: connections that never
send a whole request, clients that do not take their answer, bodies without end, and how many of all these there are.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Generator
from enum import Enum, auto
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.web.address import BACKLOG
from exporter.web.limits import DEFAULT, AtMost, Limits

GRACEFUL_SECONDS: Final = 2
LAST_ANSWERS_SECONDS: Final = 1
"""For answers under way when the server stops; less than GRACEFUL_SECONDS, at which uvicorn complains of them."""
HEAD_BYTES: Final = 16 * 1024
PIECE_BYTES: Final = 4 * 1024
"""h11 looks at the size of a head only where it is incomplete; read at once, one of 256 KiB could be complete."""
ACCEPTED_AT_ONCE: Final = 64
"""asyncio accepts so many connections before it lets one be counted: by default as many as wait."""

# What clients do wrong is not told: they could fill the disk with it.
_log = logging.getLogger("uvicorn.error.connection")
_log.setLevel(logging.ERROR)


class _Stage(Enum):
    READING = auto()
    ANSWERING = auto()
    IDLE = auto()


class _State(ServerState):
    """What the connections of a server share. waiting: those without a request, the one that waits longest first."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.waiting: dict[_Connection, None] = {}
        self.seconds = {
            _Stage.READING: limits.read_timeout,
            _Stage.ANSWERING: limits.write_timeout,
            _Stage.IDLE: limits.idle_timeout,
        }


class _Connection(H11Protocol):
    """uvicorn's, with a deadline at any time, whatever the client does or leaves undone."""

    _deadline: asyncio.TimerHandle
    _at: tuple[_Stage, object] | None = None
    _unfinished_bytes = 0

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: _State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = _log
        self._state = server_state

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if len(self.connections) > self._state.limits.connections:
            longest_waiting = next(iter(self._state.waiting), self)
            self._state.waiting.pop(longest_waiting, None)
            longest_waiting.transport.abort()
        self._set_deadline(self._state.limits.read_timeout)
        self._proceed()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._state.waiting.pop(self, None)
        self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            if self.transport.is_closing():
                break
            super().data_received(data[start : start + PIECE_BYTES])
        has_more = self.conn.their_state is h11.SEND_BODY
        self._unfinished_bytes = self._unfinished_bytes + len(data) if has_more else 0
        if self._unfinished_bytes > self._state.limits.body_bytes:
            self.transport.abort()
        self._proceed()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._proceed()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._proceed()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state is h11.IDLE:
            super().send_400_response(msg)
        else:
            # The request has an answer already, or will have: uvicorn would fail to send a second one.
            self.transport.abort()

    def shutdown(self) -> None:
        super().shutdown()
        self._set_deadline(LAST_ANSWERS_SECONDS)

    def _proceed(self) -> None:
        """Set the deadline of what the connection is at now, unless it is at that already."""
        stage = self._stage()
        if self._at == (stage, self.cycle) or self not in self.connections:
            return
        self._at = stage, self.cycle
        self._set_deadline(self._state.seconds[stage])
        self._state.waiting.pop(self, None)
        if stage is not _Stage.ANSWERING:
            self._state.waiting[self] = None

    def _stage(self) -> _Stage:
        if self.cycle and not self.cycle.response_complete:
            return _Stage.ANSWERING
        if self.flow.write_paused:
            return _Stage.ANSWERING
        received, _ = self.conn.trailing_data
        if self.cycle and self.conn.their_state is h11.IDLE and not received:
            return _Stage.IDLE
        return _Stage.READING

    def _set_deadline(self, seconds: float) -> None:
        if hasattr(self, "_deadline"):
            self._deadline.cancel()
        # Not closed: that would wait for the client to take what it was sent.
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


class _Server(uvicorn.Server):
    """uvicorn, but signals are the process's business."""

    def __init__(self, config: uvicorn.Config, limits: Limits) -> None:
        super().__init__(config)
        self.server_state = _State(limits)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            # asyncio has set it to what it accepts at once.
            listener.listen(BACKLOG)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, limits: Limits = DEFAULT
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve `app` on `listener` while the block runs; lends the task, which ends early only if the server fails."""
    server = _Server(
        uvicorn.Config(
            AtMost(limits.requests, app) if limits.requests else app,
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
            # uvicorn has this one too, in whole seconds; what it would close, the deadline has ended before.
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
