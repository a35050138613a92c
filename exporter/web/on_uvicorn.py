"""Everything that depends on uvicorn's internals: its connections and its server.

A connection always has a deadline, whatever the client does. tests/web/test_on_uvicorn.py names what this needs of
uvicorn, and pyproject.toml has the last version known to have it.
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
"""More than LAST_ANSWERS_SECONDS: uvicorn would log a traceback for each remaining connection."""
HEAD_BYTES: Final = 16 * 1024
DATE_SECONDS: Final = 1.0
LAST_ANSWERS_SECONDS: Final = 1
"""Time for clients to read their answers when the server stops."""
PIECE_BYTES: Final = 4 * 1024
"""h11 limits a head only while it is incomplete; one of up to 256 KiB, which are read at once, could be complete."""

_log = logging.getLogger("uvicorn.error.connection")
# Mistakes of clients are not logged: they could fill the disk.
_log.setLevel(logging.ERROR)


class Stage(Enum):
    """The state of a connection: reading a request, answering it, or idle between two."""

    READING = auto()
    ANSWERING = auto()
    IDLE = auto()


class Connection(H11Protocol):
    """A connection over TCP, or over TLS after the handshake.

    app: answers instead of the server's own, if given.
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
        """Start waiting for a request."""
        super().connection_made(transport)
        self.network = network_of(transport)
        self._follow()
        self._clients.comes(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all deadlines."""
        super().connection_lost(exc)
        self.unread_since = None
        self._clients.goes(self)
        if self._deadline:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        """Receive data, up to the maximum size of a body."""
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
        """Continue until a client that has closed only its sending side has its answer (RFC 9112, 9.6)."""
        if self.scheme == "https" or not self.cycle or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return not self.cycle.response_complete

    def on_response_complete(self) -> None:
        """Continue with the next request."""
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self.unread_since = self.loop.time()
        self._clients.waits(self)

    def resume_writing(self) -> None:
        """Continue with the answer, or with the next request if all of it was written."""
        super().resume_writing()
        self.unread_since = None
        self._clients.waits_no_more(self)
        self._follow()

    @property
    def is_gone(self) -> bool:
        """Whether the client is gone."""
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
        """Refuse malformed HTTP, with the security headers that uvicorn's own response lacks."""
        if self.conn.our_state is not h11.IDLE:
            # The body is malformed: the answer has begun, and uvicorn would fail at a second one.
            self.transport.abort()
            return
        self.transport.write(bad_request(msg, self._clients.access.headers))
        self.transport.close()

    def shutdown(self) -> None:
        """Close, once the client has its answer or had time to read it."""
        # A TLS transport that is closed twice can no longer be aborted.
        if not self.transport.is_closing():
            super().shutdown()
        self._set_deadline(LAST_ANSWERS_SECONDS)

    def _follow(self) -> None:
        """Set the deadline for the connection's current state, unless it is unchanged."""
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
        # Closing it would wait for the client to read the rest of its answer.
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


class Server(uvicorn.Server):
    """uvicorn's server without its handling of signals and connections.

    app: already guarded by `clients.access`.
    """

    def __init__(self, app: ASGIApp, clients: Clients) -> None:
        super().__init__(_configuration(app, math.ceil(clients.limits.idle_timeout)))
        # uvicorn shuts these down and waits for them.
        self.server_state.connections = clients.open  # type: ignore[assignment]  # it is enough that they can shut down
        self._clients = clients
        self._acceptors = list[Acceptor]()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Make `serve` end once pending answers are sent."""
        self.should_exit = True
        self._stopping.set()

    def connection(self, app: ASGIApp | None = None) -> Connection:
        """Return a new connection. app: answers instead of the server's own."""
        return Connection(self.config, self.server_state, self._clients, app)

    async def main_loop(self) -> None:
        """Renew the `Date` header each second until stopped.

        uvicorn wakes ten times as often to look for that: idle, it would take 0.14 % of a core instead of 0.02 %.
        """
        # uvicorn renews the header at certain counts, 0 among them.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_SECONDS):
                    await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do nothing: the process handles signals itself."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; uvicorn would have asyncio do that."""
        self.servers = []
        self._acceptors = [
            Acceptor(one, self._take, self._clients.make_room) for one in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, and shut down."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    async def _take(self, client: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(self._protocol, client)

    def _protocol(self) -> asyncio.Protocol:
        # Whether there is TLS does not change after the start.
        is_encrypted = self._clients.access.tls is not None
        return Handshake(self._clients, self.connection) if is_encrypted else self.connection()


def _configuration(app: ASGIApp, idle_seconds: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        # uvicorn's detection is wrong here.
        interface="asgi3",
        # A header must not change the client's address.
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=idle_seconds,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
