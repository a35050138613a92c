"""Runs the exporter as its users do: as a process, on loopback."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Daemon:
    """A running exporter."""

    process: subprocess.Popen[bytes]
    url: str

    def processor_seconds(self) -> float:
        """Return the processor time that its threads have taken so far (Linux, "Scheduler Statistics")."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


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
