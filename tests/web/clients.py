"""Careless and hostile clients, and apps for them, served from a thread."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.access.control import Access
from exporter.web.address import ListenAddress
from exporter.web.limits import Limits
from exporter.web.server import serving
from tests.waiting import DEADLINE_SECONDS

SOON = 300.0
"""A limit that a test lets expire (`time_passes`); no machine is so busy that a client reaches it earlier."""
NEVER = 1e9
"""A limit that no test reaches."""
STEP = SOON / 10
"""The step of time: less than a limit, so that one that is wrongly renewed is not reached."""
STEP_PAUSE_SECONDS = 0.01
GET = b"GET / HTTP/1.1\r\nhost: exporter\r\n\r\n"
HEALTH = b"GET /-/healthy HTTP/1.1\r\nhost: exporter\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: exporter\r\n"

Address = tuple[str, int]


class Clock:
    """The clock of the servers in these tests: real time, plus what a test adds."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._loops: set[asyncio.AbstractEventLoop] = set()

    @contextmanager
    def of(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Let `loop` use this clock."""
        loop.time = lambda: time.monotonic() + self._passed  # type: ignore[method-assign]  # time is an argument
        self._loops.add(loop)
        try:
            yield
        finally:
            self._loops.remove(loop)

    def step(self) -> None:
        """Let a part of SOON pass at once."""
        self._passed += STEP
        for loop in self._loops:
            loop.call_soon_threadsafe(lambda: None)  # That it looks at the clock again.


CLOCK = Clock()


@contextmanager
def time_passes() -> Iterator[None]:
    """Let time pass for the servers while the block runs, as fast as they keep up with it."""
    over = threading.Event()

    def pass_on() -> None:
        while not over.wait(STEP_PAUSE_SECONDS):
            CLOCK.step()

    with ThreadPoolExecutor(1) as thread:
        passing = thread.submit(pass_on)
        try:
            yield
        finally:
            over.set()
            passing.result()


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


@contextmanager
def served(app: ASGIApp = hello, access: Access | None = None, **limits: Any) -> Iterator[Address]:
    """Serve `app` from a thread, with limits that a test does not reach except those that it names."""
    patient = {"read_timeout": NEVER, "write_timeout": NEVER, "idle_timeout": NEVER}
    stop = asyncio.Event()
    with (
        ListenAddress("127.0.0.1", 0).listen() as listener,
        asyncio.Runner() as runner,
        CLOCK.of(runner.get_loop()),
        ThreadPoolExecutor(1) as thread,
    ):
        loop = runner.get_loop()

        async def serve() -> None:
            async with serving(app, listener, Limits(**patient | limits), access):
                await stop.wait()

        ended = thread.submit(runner.run, serve())
        try:
            yield listener.getsockname()
        finally:
            loop.call_soon_threadsafe(stop.set)
            ended.result()


@contextmanager
def connected(
    address: Address,
    receive_buffer: int | None = None,
    trust: ssl.SSLContext | None = None,
    source: str = "127.0.0.1",
) -> Iterator[socket.socket]:
    """Connect to a server from a loopback address, over TLS if it says what to trust."""
    with socket.socket() as client:
        client.settimeout(DEADLINE_SECONDS)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.bind((source, 0))
        client.connect(address)
        if trust is None:
            yield client
            return
        with trust.wrap_socket(client, server_hostname="127.0.0.1") as secured:
            yield secured


def rest_of(client: socket.socket) -> bytes:
    """Return everything until the server ends the connection, in whatever way and however long that takes."""
    received = bytearray()
    with time_passes(), suppress(ConnectionResetError):
        while data := client.recv(1 << 20):
            received += data
    return bytes(received)


def send_until_cut(client: socket.socket, data: bytes) -> None:
    """Send again and again until the server ends the connection."""
    end = time.monotonic() + DEADLINE_SECONDS
    with suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() < end:
            client.sendall(data)
        pytest.fail("the server takes it for ever")


def send_slowly_until_cut(client: socket.socket, data: bytes) -> None:
    """Send now and then, while time passes, until the server ends the connection."""
    end = time.monotonic() + DEADLINE_SECONDS
    with suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() < end:
            client.sendall(data)
            CLOCK.step()
            time.sleep(STEP_PAUSE_SECONDS)  # For the server to look at both; nothing is waited for.
        pytest.fail("the server takes it for ever")


def ask(client: socket.socket, request: bytes = GET) -> tuple[int, bytes]:
    client.sendall(request)
    answer = HTTPResponse(client)
    answer.begin()
    return answer.status, answer.read()


def is_served(address: Address, trust: ssl.SSLContext | None = None) -> bool:
    with connected(address, trust=trust) as client:
        return ask(client) == (200, b"hello")


class Pages:
    """An app with a large page and an endless one. chunks: sent of the latter. under_way: how many are being sent."""

    CHUNK = b"x" * 65536

    def __init__(self) -> None:
        self.chunks = 0
        self.under_way = 0
        self._chunks_seen = -1

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        answers = {
            "/large": PlainTextResponse(LARGE),
            "/endless": StreamingResponse(self._chunks()),
        }
        await answers.get(scope["path"], PlainTextResponse("hello"))(scope, receive, send)

    def stands_still(self) -> bool:
        """Whether nothing was sent since the last call."""
        seen, self._chunks_seen = self._chunks_seen, self.chunks
        return seen == self.chunks

    async def _chunks(self) -> AsyncIterator[bytes]:
        self.under_way += 1
        try:
            while True:
                self.chunks += 1
                yield self.CHUNK
                await asyncio.sleep(0)
        finally:
            self.under_way -= 1


LARGE = b"x" * (16 << 20)
"""More than the kernel's buffers hold."""
GET_LARGE = b"GET /large HTTP/1.1\r\nhost: exporter\r\n\r\n"
GET_ENDLESS = b"GET /endless HTTP/1.1\r\nhost: exporter\r\n\r\n"


class Gate:
    """An app that answers once it is opened. arrived: how many requests it has seen."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.arrived = 0

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.arrived += 1
        if not scope["path"].startswith("/-/"):
            await asyncio.to_thread(self.opened.wait, DEADLINE_SECONDS)
        await hello(scope, receive, send)
