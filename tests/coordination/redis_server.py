"""A real Redis or Valkey on loopback, which a test can restart and stop."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.custody.servers import closed_port
from tests.programs import program
from tests.waiting import until


class RedisServer:
    """A server that stores its data in `directory`. flags: besides those that every test needs."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self._directory = directory
        self._has_tls = "--tls-cert-file" in flags
        self._flags = flags
        self.port = closed_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis{'s' if self._has_tls else ''}://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start it with its stored data, and return when it listens."""
        found = shutil.which("valkey-server") or program("redis-server", package="redis-server")
        command = [found, "--bind", "127.0.0.1", "--port", "0" if self._has_tls else str(self.port)]
        command += ["--tls-port", str(self.port)] if self._has_tls else []
        command += ["--dir", str(self._directory), "--save", "", "--appendonly", "yes"]
        command += ["--appendfsync", "always", "--loglevel", "warning", *self._flags]
        with (self._directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._listens)
        return self

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._directory / "log").read_text()
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 1) as asking,
        ):
            if self._has_tls:
                return True
            asking.sendall(b"PING\r\n")
            # It also answers while it is still loading its data.
            return asking.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def forget(self) -> None:
        """Delete its data; it must not be running."""
        shutil.rmtree(self._directory / "appendonlydir", ignore_errors=True)


@contextmanager
def redis_server(directory: Path, *flags: str) -> Iterator[RedisServer]:
    """Yield a running server."""
    directory.mkdir(exist_ok=True)
    server = RedisServer(directory, *flags)
    try:
        yield server.start()
    finally:
        server.kill()
