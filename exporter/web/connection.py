"""One connection of a client: uvicorn's, with a deadline at every moment, whatever the client does or does not."""

import asyncio
import contextlib
import ipaddress
import logging
from collections import Counter
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, Final, Protocol

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.web.access.control import Access
from exporter.web.access.headers import bad_request
from exporter.web.access.passwords import CONNECTION
from exporter.web.limits import Limits

LAST_ANSWERS_SECONDS: Final = 1
"""For clients to take their answers when the server stops."""
PIECE_BYTES: Final = 4 * 1024
"""h11 measures a head only while it is incomplete; among the 256 KiB that are read at once it could be complete."""

_log = logging.getLogger("uvicorn.error.connection")
# What clients do wrong is not told: it could fill the disk.
_log.setLevel(logging.ERROR)


class Stage(Enum):
    """What a connection is at: it waits for (the rest of) a request, has one under way, or is between two."""

    READING = auto()
    ANSWERING = auto()
    IDLE = auto()


def network_of(transport: asyncio.BaseTransport) -> str:
    """Return the network of a client, which has its share of what is scarce: an address, and of IPv6 a /64."""
    host, *_ = transport.get_extra_info("peername") or ("",)
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        # It has left before anybody could see who it was.
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        # Where the listener takes both, this is how it shows clients that came with IPv4.
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


class Client(Protocol):
    """A connection as others see it. is_queueing: for a password to be checked. network: of the client."""

    transport: asyncio.Transport
    network: str
    is_queueing: bool


class State(ServerState):
    """What the connections of a server share."""

    def __init__(self, limits: Limits, access: Access) -> None:
        super().__init__()
        self.limits = limits
        self.access = access
        self.seconds = {
            Stage.READING: limits.read_timeout,
            Stage.ANSWERING: limits.write_timeout,
            Stage.IDLE: limits.idle_timeout,
        }
        # The longest first.
        self._waiting: dict[Client, None] = {}
        self._connections_of = Counter[str]()

    def comes(self, connection: Client) -> None:
        """Count a connection, which waits for its client, and close another one if it is one too many."""
        self._connections_of[connection.network] += 1
        self.waits(connection)
        if len(self.connections) > self.limits.connections:
            self.make_room()

    def goes(self, connection: Client) -> None:
        """Forget a connection."""
        self.waits_no_more(connection)
        self._connections_of[connection.network] -= 1
        if not self._connections_of[connection.network]:
            del self._connections_of[connection.network]

    def waits(self, connection: Client) -> None:
        """Note that a connection waits from now on: for its client to ask or to read, or for its turn."""
        self.waits_no_more(connection)
        self._waiting[connection] = None

    def waits_no_more(self, connection: Client) -> None:
        """Note that an answer for a connection is being made, or that its client goes on to read."""
        self._waiting.pop(connection, None)

    def make_room(self) -> bool:
        """Close the connection that has waited longest, of those of the client with most; return whether there was one.

        So a client without end of connections closes its own only. One that waits for a password to be checked is not
        closed for another one of the same client.
        """
        if not self._waiting:
            return False
        longest = max(
            self._waiting,
            key=lambda one: (self._connections_of[one.network], not one.is_queueing),
        )
        del self._waiting[longest]
        longest.transport.abort()
        return True


class Connection(H11Protocol):
    """Over TCP, or over TLS once the handshake is done."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state | {CONNECTION: self}, _loop)
        self.logger = _log
        self.network = ""
        self.is_queueing = False
        self.unread_since: float | None = None
        self._state = server_state
        self._at: tuple[Stage, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.network = network_of(transport)
        self._follow()
        self._state.comes(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self.unread_since = None
        self._state.goes(self)
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
            if self._body_bytes > self._state.limits.body_bytes:
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
        self._state.waits(self)

    def resume_writing(self) -> None:
        """Go on with the answer, or from it where all of it was written."""
        super().resume_writing()
        self.unread_since = None
        self._state.waits_no_more(self)
        self._follow()

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there to be answered any more."""
        return self.transport.is_closing()

    @contextlib.contextmanager
    def queueing(self) -> Iterator[None]:
        """Let the connection wait for its turn while the block runs."""
        self.is_queueing = True
        if self in self.connections:
            self._state.waits(self)
        try:
            yield
        finally:
            self.is_queueing = False
            self._state.waits_no_more(self)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers of every answer, which uvicorn's own refusal lacks."""
        if self.conn.our_state is not h11.IDLE:
            # It was the body that is malformed: the head's answer is under way, and uvicorn would fail at a second one.
            self.transport.abort()
            return
        self.transport.write(bad_request(msg, self._state.access.headers))
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
        if at == self._at or self not in self.connections:
            return
        self._at = at
        if at[0] is Stage.ANSWERING:
            self._state.waits_no_more(self)
        else:
            self._state.waits(self)
        self._set_deadline(self._state.seconds[at[0]])

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
