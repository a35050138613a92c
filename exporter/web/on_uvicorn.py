"""Everything that builds on what uvicorn has and does not promise to keep: its connections, and its server's insides.

A connection here has a deadline at every moment, whatever the client does or does not. tests/web/test_on_uvicorn.py
names what this needs of uvicorn, and pyproject.toml has the last version that was seen to have it.
"""

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Generator, Iterator
from enum import Enum, auto
from typing import Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.web.acceptor import Acceptor
from exporter.web.access.headers import bad_request
from exporter.web.access.passwords import CONNECTION
from exporter.web.clients import Clients, network_of
from exporter.web.handshake import Handshake

GRACEFUL_SECONDS: Final = 2
"""More than LAST_ANSWERS_SECONDS: uvicorn would log a traceback for each connection that is still there."""
HEAD_BYTES: Final = 16 * 1024
DATE_SECONDS: Final = 1.0
LAST_ANSWERS_SECONDS: Final = 1
"""For clients to take their answers when the server stops."""
PIECE_BYTES: Final = 4 * 1024
"""h11 measures a head only while it is incomplete; among the 256 KiB that are read at once it could be complete."""

_log = logging.getLogger("uvicorn.error.connection")
# Mistakes of clients are not logged: they could fill the disk.
_log.setLevel(logging.ERROR)


class Stage(Enum):
    """What a connection is at: it waits for (the rest of) a request, has one under way, or is between two."""

    READING = auto()
    ANSWERING = auto()
    IDLE = auto()


class Connection(H11Protocol):
    """Over TCP, or over TLS once the handshake is done.

    app: answers in the place of the server's own, where there is one.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        clients: Clients,
        app: ASGIApp | None = None,
    ) -> None:
        super().__init__(config, server_state, {CONNECTION: self}, asyncio.get_running_loop())
        if app:
            self.app = app
        self.logger = _log
        self.network = ""
        self.is_queueing = False
        self.unread_since: float | None = None
        self._clients = clients
        limits = clients.limits
        self._seconds = {
            Stage.READING: limits.read_timeout,
            Stage.ANSWERING: limits.write_timeout,
            Stage.IDLE: limits.idle_timeout,
        }
        self._at: tuple[Stage, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.network = network_of(transport)
        self._follow()
        self._clients.comes(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self.unread_since = None
        self._clients.goes(self)
        if self._deadline:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent, and no more of a body than may be."""
        for start in range(0, len(data), PIECE_BYTES):
            if self.transport.is_closing():
                break
            piece = data[start : start + PIECE_BYTES]
            super().data_received(piece)
            unfinished = self.conn.their_state is h11.SEND_BODY
            self._body_bytes = self._body_bytes + len(piece) if unfinished else 0
            if self._body_bytes > self._clients.limits.body_bytes:
                self.transport.abort()
        self._follow()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks whether to go on
        """Go on until a client that has ended its side, but not the other, has its answer (RFC 9112, 9.6)."""
        if self.scheme == "https" or not self.cycle or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return not self.cycle.response_complete

    def on_response_complete(self) -> None:
        """Go on to a further request."""
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self.unread_since = self.loop.time()
        self._clients.waits(self)

    def resume_writing(self) -> None:
        """Go on with the answer, or from it where all of it was written."""
        super().resume_writing()
        self.unread_since = None
        self._clients.waits_no_more(self)
        self._follow()

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there to be answered any more."""
        return self.transport.is_closing()

    @contextlib.contextmanager
    def queueing(self) -> Iterator[None]:
        """Let the connection wait for its turn while the block runs."""
        self.is_queueing = True
        if self in self._clients.open:
            self._clients.waits(self)
        try:
            yield
        finally:
            self.is_queueing = False
            self._clients.waits_no_more(self)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers of every answer, which uvicorn's own refusal lacks."""
        if self.conn.our_state is not h11.IDLE:
            # It was the body that is malformed: the head's answer is under way, and uvicorn would fail at a second one.
            self.transport.abort()
            return
        self.transport.write(bad_request(msg, self._clients.access.headers))
        self.transport.close()

    def shutdown(self) -> None:
        """End, once the client has its answer or had time to take it."""
        # A transport for TLS that is closed twice can no longer be cut.
        if not self.transport.is_closing():
            super().shutdown()
        self._set_deadline(LAST_ANSWERS_SECONDS)

    def _follow(self) -> None:
        """Set the deadline for what the connection is at now, unless it was at that before."""
        at = self._stage(), self.cycle
        if at == self._at or self not in self._clients.open:
            return
        self._at = at
        if at[0] is Stage.ANSWERING:
            self._clients.waits_no_more(self)
        else:
            self._clients.waits(self)
        self._set_deadline(self._seconds[at[0]])

    def _stage(self) -> Stage:
        if self.flow.write_paused or (self.cycle and not self.cycle.response_complete):
            return Stage.ANSWERING
        received, _ = self.conn.trailing_data
        if self.cycle and self.conn.their_state is h11.IDLE and not received:
            return Stage.IDLE
        return Stage.READING

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        # To close it would be to wait for the client to take the rest of its answer.
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


class Server(uvicorn.Server):
    """uvicorn, but signals are the process's business, and so is who may connect.

    app: with the guard of `clients.access` before it already.
    """

    def __init__(self, app: ASGIApp, clients: Clients) -> None:
        super().__init__(_configuration(app, math.ceil(clients.limits.idle_timeout)))
        # uvicorn ends what is in it, and waits for that.
        self.server_state.connections = clients.open  # type: ignore[assignment]  # it is enough that they can shut down
        self._clients = clients
        self._acceptors = list[Acceptor]()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Have `serve` end, once those who wait for an answer have it."""
        self.should_exit = True
        self._stopping.set()

    def connection(self, app: ASGIApp | None = None) -> Connection:
        """Return a connection that has not been made yet. app: answers in the place of the server's own."""
        return Connection(self.config, self.server_state, self._clients, app)

    async def main_loop(self) -> None:
        """Renew the `Date` header each second until stopped.

        uvicorn wakes ten times as often to look for that: idle, it would take 0.14 % of a core instead of 0.02 %.
        """
        # Of the numbers that uvicorn counts through, 0 is one with which it renews the header.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_SECONDS):
                    await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave them alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; uvicorn would have asyncio do that."""
        self.servers = []
        self._acceptors = [
            Acceptor(one, self._take, self._clients.make_room) for one in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and end."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    async def _take(self, client: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(self._protocol, client)

    def _protocol(self) -> asyncio.Protocol:
        # Whether there is TLS stays as it was at the start.
        is_encrypted = self._clients.access.tls is not None
        return Handshake(self._clients, self.connection) if is_encrypted else self.connection()


def _configuration(app: ASGIApp, idle_seconds: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        # Guessed otherwise, and wrongly.
        interface="asgi3",
        # A client that names another address in a header is still itself.
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=idle_seconds,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
