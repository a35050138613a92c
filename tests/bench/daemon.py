"""Runs the exporter as its users do: as a process, on loopback."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Daemon:
    """A running exporter."""

    process: subprocess.Popen[bytes]
    url: str


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """Run the exporter with `arguments` and more environment, and stop it at the end of the block."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", "--web.listen-address", address, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environ or {})},
    )
    try:
        yield Daemon(process, f"http://{address}")
    finally:
        process.terminate()
        process.wait(10)
