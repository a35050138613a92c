"""Between the exporter and the simulated API: connections that break, and invalid certificates."""

import asyncio
import contextlib
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from anyio.from_thread import start_blocking_portal

from tests.custody.servers import Script, make_certificate, serving

KEEP_ALIVE = re.compile(rb"(?i)connection: keep-alive")


class Gateway:
    """Forwards each request to the API at `base_url`, except those for the ids in `scripts`, which answer them.

    A connection carries one request.
    """

    def __init__(self, base_url: str) -> None:
        self._port = urlsplit(base_url).port
        self.scripts: dict[str, Script] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request = asyncio.StreamReader()
        request.feed_data(head)
        for id_, script in list(self.scripts.items()):
            if id_.encode() in head:
                return await script(request, writer)
        return await self._forward(head, writer)

    async def _forward(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        from_api, to_api = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.closing(to_api):
            to_api.write(KEEP_ALIVE.sub(b"connection: close", head))
            writer.write(await from_api.read())
            await writer.drain()


@contextmanager
def listening(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Let `script` answer connections in a separate thread; yields the base URL."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(script, tls)) as base_url,
    ):
        yield base_url


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as fast as it goes, without end."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n[")
    while True:
        writer.write(bytes(65536))
        await writer.drain()


@contextmanager
def never_accepting(port: int) -> Iterator[None]:
    """Listen on `port` with a full backlog, so that no connection succeeds."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=0))
        while True:
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.2)
            try:
                waiting.connect(("127.0.0.1", port))
            except TimeoutError:
                break
        yield


class Certificate:
    """A self-signed certificate, and what a server needs to present it."""

    def __init__(
        self, directory: Path, name: str = "IP:127.0.0.1", *, expired: bool = False
    ) -> None:
        directory.mkdir()
        self.file, self.context = make_certificate(directory, name)
        if expired:
            key = directory / "key.pem"
            old = directory / "expired.pem"
            command = f"openssl x509 -in {self.file} -signkey {key} -days -1 -out {old}"
            subprocess.run(command.split(), check=True, capture_output=True)
            self.file, self.context = old, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(old, key)


class Showcase:
    """The TLS settings of a server that presents `shown`, which may change between two connections."""

    def __init__(self, shown: Certificate) -> None:
        self.shown = shown
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # It is called for clients that name no server, too.
        self.context.sni_callback = self._choose

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = self.shown.context
