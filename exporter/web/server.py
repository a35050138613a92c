"""Serves an ASGI application on a socket, within the event loop that is running."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_SECONDS: Final = 90
"""Longer than Prometheus's usual scrape interval, so that a scrape finds its connection still open."""
GRACEFUL_SECONDS: Final = 2


class _Server(uvicorn.Server):
    """uvicorn, but signals are the process's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    """Serve `app` on `listener` while the block runs; lends the task, which ends early only if the server fails."""
    server = _Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            # Guessed otherwise, and wrong for a bound method.
            interface="asgi3",
            # A client that names another address in a header is still itself.
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield task
    finally:
        server.should_exit = True
        await task
