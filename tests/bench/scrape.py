"""How long a scrape takes and how much memory the server needs: this exporter beside others, with the same series.

Each server is a separate process, and each scrape goes over real HTTP from this process, timed from the request to the
last byte. Servers that are not installed are left out: Debian has prometheus-pushgateway and prometheus-node-exporter.
"""

import contextlib
import http.client
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.daemon import Server, free_port

SIZES = (10_000, 100_000, 1_000_000)
READY_DEADLINE_SECONDS = 240.0
LONGEST_SECONDS_FOR_A_CASE = 60.0


@contextlib.contextmanager
def _process(*command: str, port: int) -> Iterator[Server]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(process, port)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + READY_DEADLINE_SECONDS
    while True:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
            ) as connection,
        ):
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.process.args!r} did not come up")
        time.sleep(0.05)


@contextlib.contextmanager
def ours(kind: str, series: int) -> Iterator[Server]:
    """Run one of `filled.SERVERS`."""
    port = free_port()
    with _process(
        sys.executable, "-m", "tests.bench.filled", kind, str(series), str(port), port=port
    ) as server:
        yield server


@contextlib.contextmanager
def _pushgateway(page: bytes) -> Iterator[Server]:
    port = free_port()
    with _process(
        "prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}", port=port
    ) as server:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        with contextlib.closing(connection):
            connection.request("PUT", "/metrics/job/bench", body=page)
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"the pushgateway refused the page: {answer.read(500)!r}")
        yield server


@contextlib.contextmanager
def _textfile(page: bytes) -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench.prom").write_bytes(page)
        with _process(
            "prometheus-node-exporter",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
            port=port,
        ) as server:
            yield server


def _balances_page(server: Server) -> bytes:
    """Return the balances that our server exposes, as text for the Go programs."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().splitlines(keepends=True)
    return b"".join(
        line
        for line in lines
        if line.removeprefix(b"# HELP ")
        .removeprefix(b"# TYPE ")
        .startswith(b"kraken_custody_vault_")
    )


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print a table for each size."""
    for series in SIZES[:2] if quick else SIZES:
        runs = 7 if quick else 25
        print(f"\n**{series:,} series**\n")
        print(
            "| server | plain, median | worst | gzip, median | worst | MB plain | MB gzip | memory, MiB | peak |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        with ours("exporter", series) as server:
            page = _balances_page(server)
            _row("this exporter", server, runs)
        for name, peer in _peers(series, page).items():
            with peer as server:
                _row(name, server, runs)


def _peers(series: int, page: bytes) -> Mapping[str, contextlib.AbstractContextManager[Server]]:
    """Return the peers that are installed, not running yet, by name."""
    peers = {
        "prometheus-client, Gauge children": ours("gauges", series),
        "prometheus-client, custom collector": ours("collector", series),
    }
    if shutil.which("prometheus-pushgateway"):
        peers["prometheus-pushgateway (Debian)"] = _pushgateway(page)
    if shutil.which("prometheus-node-exporter"):
        peers["node-exporter, textfile (Debian)"] = _textfile(page)
    return peers


def _row(name: str, server: Server, runs: int) -> None:
    cells = []
    sizes = []
    for gzip in (False, True):
        times, size = _times(server, runs, gzip=gzip)
        cells += [_ms(statistics.median(times)), _ms(max(times))]
        sizes.append(f"{size / 1e6:.1f}")
    memory = [f"{server.memory():.0f}", f"{server.memory('VmHWM'):.0f}"]
    print("|", " | ".join([name, *cells, *sizes, *memory]), "|", flush=True)


def _times(server: Server, runs: int, *, gzip: bool) -> tuple[list[float], int]:
    """Return the seconds of `runs` scrapes, or of three if they take too long."""
    server.scrape(gzip=gzip)
    times: list[float] = []
    size = 0
    while len(times) < runs and (len(times) < 3 or sum(times) < LONGEST_SECONDS_FOR_A_CASE):
        seconds, size = server.scrape(gzip=gzip)
        times.append(seconds)
    return times, size


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 0.1 else f"{seconds * 1000:,.0f} ms"
