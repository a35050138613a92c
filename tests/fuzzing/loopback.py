"""A server on loopback that receives garbage over real connections, and keeps answering scrapes."""

import asyncio
import contextlib
import functools
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Final

import yaml

from exporter.web.access.control import Access
from exporter.web.access.file import WebConfigFile
from exporter.web.address import ListenAddress
from exporter.web.server import serving
from tests.custody.servers import make_certificate
from tests.fuzzing.mutation import mutated
from tests.fuzzing.requests import accept, headers, request_line
from tests.fuzzing.surface import DefectError, Feed, Surface
from tests.fuzzing.web import site
from tests.fuzzing.wire import HEAD, outcome

PATIENCE_SECONDS: Final = 0.1
"""Timeout for input that may be incomplete, and so get no answer; scrapes have a longer one."""
SCRAPE: Final = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SCRAPE_SECONDS: Final = 10.0
SCRAPE_EVERY: Final = 10
RECORDS: Final = (
    b"\x16\x03\x01",
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x17\x03\x03",
    b"GET / HTTP/1.1\r\n\r\n",
)
RANDOM_AT, RANDOM_BYTES = 11, 32
"""In the record of a ClientHello (RFC 5246, 7.4.1.2)."""


def make(chance: Random) -> bytes:
    """Make any bad request."""
    return chance.choice((request_line, headers, accept))(chance)


def make_hello(chance: Random) -> bytes:
    """Make an invalid TLS handshake, from its beginning or from a later message on."""
    hello = _hello()
    match chance.randrange(4):
        case 0:
            return chance.randbytes(chance.randrange(1, 2000))
        case 1:
            return hello + mutated(hello, chance, RECORDS)
        case _:
            return mutated(hello, chance, RECORDS)


@functools.cache
def _hello() -> bytes:
    """The first message of a TLS 1.2 client, with zeros as its random bytes, so that it is always the same."""
    context, outgoing = _trusting_all(), ssl.MemoryBIO()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="exporter.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    return hello[:RANDOM_AT] + bytes(RANDOM_BYTES) + hello[RANDOM_AT + RANDOM_BYTES :]


def _trusting_all() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.asynccontextmanager
async def _plain() -> AsyncIterator[Feed]:
    async with _listening(Access(), None, outcome) as feed:
        yield feed


@contextlib.asynccontextmanager
async def _with_tls() -> AsyncIterator[Feed]:
    with tempfile.TemporaryDirectory() as directory:
        make_certificate(Path(directory))
        files = {"cert_file": "certificate.pem", "key_file": "key.pem"}
        file = Path(directory) / "web.yml"
        file.write_text(yaml.safe_dump({"tls_server_config": files}))
        web = WebConfigFile(file)
        access = Access(lambda: web.configuration)
        async with _listening(access, _trusting_all(), _record) as feed:
            yield feed


def _record(answer: bytes) -> str:
    """Name the first TLS record, or the answer to plain HTTP."""
    return {b"": "closed", b"\x15": "alert", b"\x16": "handshake", b"H": "HTTP"}[answer[:1]]


@contextlib.asynccontextmanager
async def _listening(
    access: Access, tls: ssl.SSLContext | None, judge: Callable[[bytes], str]
) -> AsyncIterator[Feed]:
    """Yield a function that sends its input over a new connection, and sometimes scrapes afterwards."""
    fed = 0
    with ListenAddress("127.0.0.1", 0).listen() as listener:
        port = listener.getsockname()[1]

        async def feed(said: bytes) -> str:
            nonlocal fed
            fed += 1
            judged = judge(await _ask(port, said, PATIENCE_SECONDS))
            if fed % SCRAPE_EVERY == 0:
                answer = outcome(await _ask(port, SCRAPE, SCRAPE_SECONDS, tls))
                if answer != "200":
                    raise DefectError(f"a scrape after it: {answer}")
            return judged

        async with serving((await site()).app(), listener, access=access):
            yield feed


async def _ask(port: int, said: bytes, seconds: float, tls: ssl.SSLContext | None = None) -> bytes:
    """Return the answer until its head is complete, the connection ends, or the time is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    answer = bytearray()
    try:
        # A server that refuses input may reset the connection.
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                writer.write(said)
                while not HEAD.search(answer) and (piece := await reader.read(65_536)):
                    answer += piece
    finally:
        writer.transport.abort()
    return bytes(answer)


LOOPBACK: Final = Surface("requests over loopback", make, _plain, share=0.05)
TLS: Final = Surface("TLS handshake over loopback", make_hello, _with_tls, share=0.02)
