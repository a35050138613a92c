"""One connection of a client: uvicorn's, with a deadline at every moment, whatever the client does or does not."""

import asyncio
import logging
from enum import Enum, auto
from typing import Any, Final, Protocol

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.web.access.control import Access
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


class Waiting(Protocol):
    """A connection with no request under way."""

    transport: asyncio.Transport


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
        self._waiting: dict[Waiting, None] = {}

    def waits(self, connection: Waiting) -> None:
        """Note that a connection waits for its client from now on."""
        self.waits_no_more(connection)
        self._waiting[connection] = None

    def waits_no_more(self, connection: Waiting) -> None:
        """Note that a connection has a request under way, or is gone."""
        self._waiting.pop(connection, None)

    def make_room(self) -> None:
        """Give up the connection that has waited longest where there is now one too many."""
        if len(self.connections) > self.limits.connections:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.transport.abort()


class Connection(H11Protocol):
    """Over TCP, or over TLS once the handshake is done."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = _log
        self._state = server_state
        self._at: tuple[Stage, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._follow()
        self._state.make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._state.waits_no_more(self)
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

    def on_response_complete(self) -> None:
        """Go on to a further request."""
        super().on_response_complete()
        self._follow()

    def resume_writing(self) -> None:
        """Go on with the answer, or from it where all of it was written."""
        super().resume_writing()
        self._follow()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers of every answer, which uvicorn's own refusal lacks."""
        if self.conn.our_state is not h11.IDLE:
            # It was the body that is malformed: the head's answer is under way, and uvicorn would fail at a second one.
            self.transport.abort()
            return
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"connection", b"close"),
            *self._state.access.headers,
        ]
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (answer, h11.Data(data=f"{msg}\n".encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
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
