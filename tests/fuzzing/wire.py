"""A server's connections without sockets: bytes go in, bytes come out, and what came out is judged."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from starlette.types import ASGIApp

from exporter.web.access.control import Access
from exporter.web.access.headers import SECURITY
from exporter.web.clients import Clients
from exporter.web.limits import DEFAULT_LIMITS
from exporter.web.server import server_of
from tests.fuzzing.surface import DefectError

HANGS_AFTER_SECONDS: Final = 10.0
HEAD: Final = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[!-9;-~]+: [^\r\n\0]*\r\n)*)\r\n")
EXPECTED: Final = frozenset({200, 400, 401, 403, 404, 405, 421})
"""Any other status would be a failure of the server."""


class _Transport(asyncio.Transport):
    """Records what is written; closes at once, as with a client that reads everything."""

    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", 10_063)})
        self.written = bytearray()
        self._lost = lost
        self._is_closing = False

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        if not self._is_closing:
            self.written += data

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._lost)

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class _Errors(logging.Handler):
    """Records errors that libraries log: a traceback there is a defect that no client sees."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Wire:
    """Connections to one server, one after the other."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._server = server_of(app, Clients(DEFAULT_LIMITS, access))
        self._state = self._server.server_state
        self._errors = _Errors()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Wire"]:
        """Record logged errors while the block runs."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._errors.texts.append(str(context)))
        root = logging.getLogger()
        root.addHandler(self._errors)
        try:
            yield self
        finally:
            root.removeHandler(self._errors)
            loop.set_exception_handler(None)

    async def say(self, pieces: Sequence[bytes]) -> bytes:
        """Send the pieces over a connection of their own, close it, and return what was answered."""
        connection = self._server.connection()
        transport = _Transport(lambda: connection.connection_lost(None))
        connection.connection_made(transport)
        for piece in pieces:
            if transport.is_closing():
                break
            connection.data_received(piece)
            await self._settle()
        transport.close()
        await self._settle()
        self._judge_state()
        return bytes(transport.written)

    async def _settle(self) -> None:
        """Wait until no request is in progress."""
        # The last steps of a request run in the loop's next iteration.
        await asyncio.sleep(0)
        while self._state.tasks:
            _, late = await asyncio.wait(set(self._state.tasks), timeout=HANGS_AFTER_SECONDS)
            if late:
                raise DefectError("a request never ends")
            await asyncio.sleep(0)

    def _judge_state(self) -> None:
        if self._state.connections:
            self._state.connections.clear()
            raise DefectError("a connection that was closed is still counted")
        if self._errors.texts:
            texts = "; ".join(self._errors.texts)
            self._errors.texts.clear()
            raise DefectError(f"logged: {texts}")


def outcome(answers: bytes) -> str:
    """Judge the answer, and return the statuses, each once."""
    if not answers:
        return "closed"
    heads = list(HEAD.finditer(answers))
    if not heads or heads[0].start():
        raise DefectError(f"no HTTP: {answers[:80]!r}")
    # `100 Continue` precedes the answer.
    final = [head for head in heads if head[1] != b"100"]
    for head in final:
        _judge_headers(head[2])
    statuses = {int(head[1]) for head in final}
    if not statuses <= EXPECTED:
        raise DefectError(f"answered {statuses}")
    return ", ".join(map(str, sorted(statuses)))


def _judge_headers(head: bytes) -> None:
    pairs = [line.partition(b": ") for line in head.split(b"\r\n")[:-1]]
    names = [name.lower().decode() for name, _, _ in pairs]
    missing = [name for name in SECURITY if names.count(name.lower()) != 1]
    if missing or "server" in names:
        raise DefectError(f"headers: {names}")
