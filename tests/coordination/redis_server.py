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
    """A server that keeps what it has in `directory`. flags: besides those that every test wants."""

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
        """Start it, with what it has kept, and return when it listens."""
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
            # While it loads what it has kept it answers, too.
            return asking.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def forget(self) -> None:
        """Lose what it has kept; it must not run."""
        shutil.rmtree(self._directory / "appendonlydir", ignore_errors=True)


@contextmanager
def redis_server(directory: Path, *flags: str) -> Iterator[RedisServer]:
    """Lend a server that runs."""
    directory.mkdir(exist_ok=True)
    server = RedisServer(directory, *flags)
    try:
        yield server.start()
    finally:
        server.kill()
