"""Runs the exporter as its users do, as a process on loopback, and measures the resources of processes."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

MIB = 1024 * 1024


@dataclass(frozen=True)
class Server:
    """A process that serves /metrics on loopback."""

    process: subprocess.Popen[bytes]
    port: int

    def share_of_a_core(self, seconds: float) -> float:
        """Return the share of a core that it takes during the next `seconds`."""
        began, spent = time.monotonic(), self.processor_seconds()
        # A share is measured over time.
        time.sleep(seconds)
        return (self.processor_seconds() - spent) / (time.monotonic() - began)

    def processor_seconds(self) -> float:
        """Return the processor time that its threads have taken so far (Linux, "Scheduler Statistics").

        The ticks of /proc/PID/stat are as long as two polls.
        """
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9

    def memory(self, kind: str = "VmRSS") -> float:
        """Return the resident memory in MiB; `VmHWM` for the maximum so far."""
        return process_status(self.process.pid, kind) / 1024

    def page(self) -> list[str]:
        """Return the lines of its exposition."""
        return httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text.splitlines()

    def scrape(self, *, gzip: bool) -> tuple[float, int]:
        """Return the seconds of one scrape, and its bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        headers = {"accept": "text/plain;version=0.0.4"}
        if gzip:
            headers["accept-encoding"] = "gzip"
        with contextlib.closing(connection):
            connection.connect()
            began = time.perf_counter()
            connection.request("GET", "/metrics", headers=headers)
            answer = connection.getresponse()
            size = 0
            while chunk := answer.read(4 * MIB):
                size += len(chunk)
            seconds = time.perf_counter() - began
        if answer.status != 200 or (answer.headers["content-encoding"] == "gzip") is not gzip:
            raise RuntimeError(f"a scrape was answered with {answer.status}, {answer.headers}")
        return seconds, size


def process_status(pid: int | str, field: str) -> int:
    """Return a number from /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith(f"{field}:")).split()[1])


def held_series(page: Iterable[str]) -> int:
    """Return how many series of answers an exposition says are held."""
    line = next(line for line in page if line.startswith("kraken_custody_exporter_series "))
    return int(float(line.rpartition(" ")[2]))


def command(*arguments: str) -> list[str]:
    """Return the command that runs the exporter with `arguments`."""
    return [sys.executable, "-m", "exporter", *arguments]


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run the exporter with `arguments` and more environment, and stop it at the end of the block."""
    with serving(command(*arguments), environ or {}) as server:
        yield server


@contextlib.contextmanager
def serving(program: Sequence[str], environ: Mapping[str, str]) -> Iterator[Server]:
    """Run a program that takes `--web.listen-address`, with more environment, and stop it at the end of the block."""
    port = free_port()
    process = subprocess.Popen(
        [*program, f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environ},
    )
    try:
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait(10)
