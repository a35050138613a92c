"""A network that can be cut: what is sent meanwhile arrives later, as with TCP."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.integration.gateway import listening

LOOK_SECONDS = 0.02


class Line:
    """Carries bytes to and from `port`, unless it is cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.is_cut = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, to_there = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return
        with contextlib.closing(to_there), contextlib.suppress(OSError):
            ways = (
                asyncio.create_task(self._carry(reader, to_there)),
                asyncio.create_task(self._carry(there, writer)),
            )
            _, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in pending:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            while self.is_cut:  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(LOOK_SECONDS)
            writer.write(data)
            await writer.drain()


@contextmanager
def line_to(url: str) -> Iterator[tuple[Line, str]]:
    """Yield a line to the server at `url`, and the URL through it."""
    port = urlsplit(url).port
    assert port
    line = Line(port)
    with listening(line) as way:
        yield line, url.replace(f":{port}", f":{urlsplit(way).port}")
