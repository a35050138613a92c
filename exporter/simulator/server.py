"""Running an ASGI app on loopback: in the current event loop, or in a thread with its own."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from email.utils import formatdate
from threading import Thread
from types import TracebackType

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.address import ListenAddress
from exporter.web.server import serving

_START_DEADLINE = 10.0
_STOP_DEADLINE = 10.0


@asynccontextmanager
async def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve `app` while the context lasts, and yield its base URL; port 0 takes a free one.

    Raises `ListenError` if the address is not available.
    """
    with ListenAddress(host, port).listen() as listener:
        async with serving(_dated(app), listener, dates=False):
            yield f"http://{ListenAddress(host, listener.getsockname()[1])}"


def _dated(app: ASGIApp) -> ASGIApp:
    """Return `app` with a `Date` in each answer without one; the app may use another clock."""

    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("date", formatdate(usegmt=True))
            await send(message)

        await app(scope, receive, send_dated)

    return dated


class SimulatorThread:
    """A context manager that serves an app from its own thread, and returns the base URL.

    For tests and benchmarks whose own event loop must not be slowed by the server's work.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> None:
        self._app = app
        self._address = host, port
        self._stop = asyncio.Event()
        self._ready: Future[tuple[str, asyncio.AbstractEventLoop]] = Future()
        self._thread = Thread(target=self._run, name="custody-simulator", daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        base_url, self._loop = self._ready.result(_START_DEADLINE)
        return base_url

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_DEADLINE)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        async with serve(self._app, *self._address) as base_url:
            self._ready.set_result((base_url, asyncio.get_running_loop()))
            await self._stop.wait()
