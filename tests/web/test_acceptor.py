"""Accepting connections, also when the process is out of file descriptors."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from exporter.web import acceptor
from exporter.web.acceptor import Acceptor

DEADLINE_SECONDS = 10.0


class Listener(socket.socket):
    """Listens on loopback, and fails for as long as it has errors to fail with. tries: to accept."""

    def __init__(self, *errors: int) -> None:
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.listen()
        self.errors = list(errors)
        self.tries = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.tries += 1
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return super().accept()


class Served:
    """The accepted connections, and how often room was made for them."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.made_room = 0
        self.clients: list[socket.socket] = []
        self.came = asyncio.Event()

    async def serve(self, client: socket.socket) -> None:
        self.clients.append(client)
        self.came.set()

    def make_room(self) -> bool:
        self.made_room += 1
        self.room -= 1
        return self.room >= 0


@asynccontextmanager
async def accepted(listener: Listener, room: int = 0) -> AsyncIterator[Served]:
    """Yield the accepted connections once a client has connected."""
    served = Served(room)
    accepting = Acceptor(listener, served.serve, served.make_room)
    with listener, socket.create_connection(listener.getsockname(), DEADLINE_SECONDS):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await served.came.wait()
        yield served
        accepting.close()
        for client in served.clients:
            client.close()


OUT_OF_FILES = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]


@pytest.mark.parametrize("number", OUT_OF_FILES)
def test_out_of_files_connections_are_closed_until_there_is_room(number: int) -> None:
    async def check() -> None:
        listener = Listener(*[number] * 3)
        with capture_logs() as events:
            async with accepted(listener, room=5) as served:
                assert (served.made_room, len(served.clients), listener.errors) == (3, 1, [])
        assert [(event["event"], event["log_level"]) for event in events] == [
            ("web_accept_failed", "warning")
        ]
        assert os.strerror(number) in events[0]["problem"]

    asyncio.run(check())


def test_out_of_files_with_nothing_to_close_accepting_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def check() -> None:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def at_once(seconds: float, *called: object) -> asyncio.TimerHandle:
            if seconds != acceptor.PAUSE_SECONDS:
                return call_later(seconds, *called)  # type: ignore[arg-type]  # as it came
            pauses.append(seconds)
            return call_later(0, *called)  # type: ignore[arg-type]  # as it came

        monkeypatch.setattr(loop, "call_later", at_once)
        listener = Listener(errno.EMFILE, errno.EMFILE)
        with capture_logs() as events:
            async with accepted(listener) as served:
                assert len(served.clients) == 1
        assert len(events) == 1

    asyncio.run(check())
    assert pauses == [acceptor.PAUSE_SECONDS] * 2


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EAGAIN, errno.EINTR])
def test_a_client_that_left_before_it_was_accepted_is_ignored(number: int) -> None:
    async def check() -> None:
        with capture_logs() as events:
            async with accepted(Listener(number)) as served:
                assert (served.made_room, len(served.clients)) == (0, 1)
        assert events == []

    asyncio.run(check())
