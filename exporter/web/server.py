"""Serves an ASGI application on a socket, within the event loop that is running.

uvicorn closes connections that are idle between requests. This module and on_uvicorn.py add the limits that it lacks:
for incomplete handshakes and requests, for answers that are not read, for endless bodies, and for the number of
connections and requests.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.access.control import Access
from exporter.web.access.passwords import CONNECTION
from exporter.web.clients import Clients
from exporter.web.limits import DEFAULT_LIMITS, Limits
from exporter.web.on_uvicorn import Connection, Server

PIECE_BYTES: Final = 64 * 1024
"""Maximum bytes of an answer passed on at once: uvicorn would copy all of it for a client that may never read it."""


class _AtMost:
    """Lets an ASGI app answer at most `requests` at once; 0 for any number.

    A further request replaces the one whose client has not read for longest; if all clients read, or none of the
    answers is ready, it gets 503. So clients that do not read block no others, and the memory held for them is bounded.
    Health, readiness and actions are always answered: a busy exporter must not be restarted.
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
                # Other tasks run, and a lost connection is noticed before more is written to it.
                await asyncio.sleep(0)
            if len(body) > PIECE_BYTES:
                message = {**message, "body": body[(len(body) - 1) // PIECE_BYTES * PIECE_BYTES :]}
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last:
                # uvicorn waits for the client to read earlier bytes only when more are sent.
                await send({**message, "more_body": True})
                message = {"type": "http.response.body"}
            await send(message)
            if is_last:
                # Not only when the app returns: by then the client may have sent its next request.
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
        """Cut off the client that has not read its answer for longest; return whether there was one."""
        unread = {
            request: connection.unread_since
            for request, connection in self._under_way.items()
            if connection.unread_since is not None
        }
        if not unread:
            return False
        self._under_way.pop(min(unread, key=unread.__getitem__)).transport.abort()
        return True


def server_of(app: ASGIApp, clients: Clients) -> Server:
    """Return the server of `app` behind the guard of `clients.access`."""
    # Inside the guard, so that refused requests do not count against the limit.
    return Server(clients.access.guarding(_AtMost(clients.limits.requests, app).app), clients)


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp,
    listener: socket.socket,
    limits: Limits = DEFAULT_LIMITS,
    access: Access | None = None,
    *,
    dates: bool = True,
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve `app` on `listener` while the block runs; yields the task, which ends early only if the server fails.

    access: access control and TLS; None for neither. dates: whether answers get a `Date`; false if the app adds one.
    """
    access = access or Access()
    server = server_of(app, Clients(limits, access))
    server.config.date_header = dates
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield task
    finally:
        server.stop()
        await task
