"""Serves an ASGI application on a socket, within the event loop that is running.

uvicorn closes connections that are idle between requests. What it knows no limit for has one here and in connection.py:
handshakes and requests that are never complete, answers that are not taken, bodies without end, and how many there are
of connections and of requests.
"""

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator, Generator
from typing import Final

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.acceptor import Acceptor
from exporter.web.access.control import Access
from exporter.web.access.passwords import CONNECTION
from exporter.web.connection import Connection, State
from exporter.web.handshake import Handshake
from exporter.web.limits import DEFAULT_LIMITS, Limits

GRACEFUL_SECONDS: Final = 2
"""More than LAST_ANSWERS_SECONDS: uvicorn would log a traceback for each connection that is still there."""
HEAD_BYTES: Final = 16 * 1024
DATE_SECONDS: Final = 1.0
PIECE_BYTES: Final = 64 * 1024
"""Of an answer: uvicorn would copy all of a large one for a client that may never take it."""


class _AtMost:
    """Has an ASGI app answer at most `requests` at once; 0 for any number.

    A further one takes the place of the one whose client has not read for longest; where all are read, or not yet made,
    it gets 503. So clients that do not read keep nobody out, and what is held for them is bounded. Health, readiness
    and actions are always answered: an exporter is not to be restarted because it is busy.
    """

    def __init__(self, requests: int, app: ASGIApp) -> None:
        self._requests = requests
        self._app = app
        self._under_way = dict[object, Connection]()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        request = object()

        async def send_in_pieces(message: Message) -> None:
            body = message.get("body", b"")
            for end in range(PIECE_BYTES, len(body), PIECE_BYTES):
                piece = body[end - PIECE_BYTES : end]
                await send({**message, "body": piece, "more_body": True})
                # Others have their turn, and a connection that is lost is seen before more is written to it.
                await asyncio.sleep(0)
            if len(body) > PIECE_BYTES:
                message = {**message, "body": body[(len(body) - 1) // PIECE_BYTES * PIECE_BYTES :]}
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last:
                # Only with what comes next does uvicorn wait for the client to take what came before.
                await send({**message, "more_body": True})
                message = {"type": "http.response.body"}
            await send(message)
            if is_last:
                # Not only when the app returns: by then the client may have sent its next one.
                self._under_way.pop(request, None)

        if not scope["path"].startswith("/-/"):
            if 0 < self._requests <= len(self._under_way) and not self._give_up_unread():
                refusal = (
                    f"Limit of concurrent requests reached ({self._requests}), try again later.\n"
                )
                await PlainTextResponse(refusal, 503)(scope, receive, send)
                return
            self._under_way[request] = scope["state"][CONNECTION]
        try:
            await self._app(scope, receive, send_in_pieces)
        finally:
            self._under_way.pop(request, None)

    def _give_up_unread(self) -> bool:
        """Cut the client that has not read its answer for longest, if there is one; return whether there was."""
        unread = {
            request: connection.unread_since
            for request, connection in self._under_way.items()
            if connection.unread_since is not None
        }
        if not unread:
            return False
        self._under_way.pop(min(unread, key=unread.__getitem__)).transport.abort()
        return True


class _Server(uvicorn.Server):
    """uvicorn, but signals are the process's business."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self.server_state = self._state = state
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Have `serve` end, once those who wait for an answer have it."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Renew the `Date` header each second until stopped; uvicorn wakes ten times as often to look for that."""
        # Of the numbers that uvicorn counts through, 0 is one with which it renews the header.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_SECONDS):
                    await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; uvicorn would have asyncio do that."""

        async def serve(client: socket.socket) -> None:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(
                lambda: self.config.http_protocol_class(self.config, self._state, {}, loop),  # type: ignore[call-arg]  # as uvicorn calls it
                client,
            )

        # uvicorn closes them at the end, and asks no more of them.
        self.servers = [Acceptor(one, serve, self._state.make_room) for one in sockets or ()]  # type: ignore[misc]
        self.started = True


def configuration(app: ASGIApp, limits: Limits, access: Access) -> uvicorn.Config:
    """Return how uvicorn serves `app`, once the guard of `access` lets a request through."""
    return uvicorn.Config(
        # Those who may not ask take no place from those who may.
        access.guarding(_AtMost(limits.requests, app).app),
        http=Handshake if access.tls else Connection,
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
        timeout_keep_alive=math.ceil(limits.idle_timeout),
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    listener: socket.socket,
    limits: Limits = DEFAULT_LIMITS,
    access: Access | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve `app` on `listener` while the block runs; lends the task, which ends early only if the server fails.

    access: who may ask, and whether it is over TLS; everybody, without, where there is none.
    """
    access = access or Access()
    server = _Server(configuration(app, limits, access), State(limits, access))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield task
    finally:
        server.stop()
        await task
