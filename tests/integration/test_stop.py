"""Stopping in every state, restarting after a crash, and running with a log that is not read."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.simulator import moods
from exporter.simulator.portfolio import large_portfolio
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from tests.custody.servers import closed_port
from tests.exporting import configuration, simulator, write
from tests.processes import COMMAND, Running, environment, running
from tests.simulator.calling import PORTFOLIO
from tests.waiting import DEADLINE_SECONDS, until

TARGETS = 12
HANGING = moods.slow(3600)


def settled(exporter: Running, simulated: Simulator) -> None:
    """Wait until every target was polled, and none is due."""
    del simulated
    until(lambda: len(exporter.events("target_up")) == TARGETS)


def hanging(exporter: Running, simulated: Simulator) -> None:
    exporter.wait_for("started")
    until(lambda: simulated.guard.arrivals)


def paused(exporter: Running, simulated: Simulator) -> None:
    del simulated
    exporter.wait_for("polling_paused")


def failed_once(exporter: Running, simulated: Simulator) -> None:
    del simulated
    exporter.wait_for("request_failed")


STATES: dict[str, tuple[moods.Mood, Callable[[Running, Simulator], None]]] = {
    "idle": (moods.calm, settled),
    "a request hangs, and nothing was answered yet": (HANGING, hanging),
    "everything pauses after 429": (moods.rate_limited(3600), paused),
    "the credential pauses after 401": (moods.problem(401, "InvalidKey"), paused),
    "retries wait": (moods.html(503), failed_once),
}


@pytest.mark.parametrize("state", STATES)
def test_it_stops_in_time_whatever_it_is_doing(state: str, tmp_path: Path) -> None:
    mood, reached = STATES[state]
    simulated = simulator(default_mood=mood)
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url, interval="1h"))
        with running("--log.level", "debug", directory=tmp_path) as exporter:
            reached(exporter, simulated)
            assert exporter.stop(signal.SIGTERM) == 0
    assert exporter.events()[-1]["event"] == "stopped"
    assert "Traceback" not in exporter.stderr


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGINT,),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM, signal.SIGTERM),
    ],
    ids=lambda numbers: " ".join(number.name for number in numbers),
)
def test_it_stops_once_however_many_signals_come(
    numbers: tuple[signal.Signals, ...], tmp_path: Path
) -> None:
    simulated = simulator(default_mood=HANGING)
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url))
        with running(directory=tmp_path) as exporter:
            hanging(exporter, simulated)
            for number in numbers:
                exporter.process.send_signal(number)
            assert exporter.process.wait(timeout=DEADLINE_SECONDS) == 0
    assert exporter.events()[-1]["event"] == "stopped"
    assert "Traceback" not in exporter.stderr


def test_a_scrape_that_is_read_slowly_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    portfolio = large_portfolio(vaults=3, assets=1500)
    simulated = simulator(portfolio=portfolio)
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url, portfolio=portfolio, interval="1h"))
        with running(directory=tmp_path) as exporter, socket.socket() as reader:
            page = httpx.URL(exporter.wait_for("started")["metrics"])
            until(lambda: len(exporter.events("target_up")) == 4)
            assert len(exporter.get("/metrics").content) > 4_000_000, "more than buffers take"
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect((page.host, page.port))
            reader.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert reader.recv(1024)
            assert exporter.stop(signal.SIGTERM) == 0
    assert exporter.events()[-1]["event"] == "stopped"
    assert "Traceback" not in exporter.stderr


def test_a_crash_is_made_good_by_the_next_polls_and_costs_no_request_too_many(
    tmp_path: Path,
) -> None:
    """The API is as strict as Kraken's, has no request to spare, and gets each some time after it was sent."""
    simulated = simulator(
        limit=10, window=1.0, monotonic=time.monotonic, arrival_delay=lambda: 0.05
    )
    address = ("--web.listen-address", f"127.0.0.1:{closed_port()}")
    with SimulatorThread(simulated.app) as base_url:
        document = configuration(base_url, interval="200ms")
        document["api"]["rate_limit"] = {"requests": 10, "window": "1s", "share": 1}
        write(tmp_path, document)
        with running(*address, directory=tmp_path) as exporter:
            until(lambda: len(exporter.events("target_up")) == TARGETS)
            exporter.process.kill()
            exporter.process.wait()
        with running(*address, directory=tmp_path) as exporter:
            until(lambda: len(exporter.events("target_up")) == TARGETS)
            page = exporter.get("/metrics").text
    assert exporter.events("request_failed") == exporter.events("target_failing") == []
    assert simulated.guard.refusals == {}
    assert simulated.guard.largest_window <= simulated.limit
    balances = [
        line for line in page.splitlines() if line.startswith("kraken_custody_vault_balance{")
    ]
    assert len(balances) == sum(
        len(vault.holdings) for owner in PORTFOLIO.organizations for vault in owner.vaults
    )


CRASHES = 4


def crash_over_and_over(directory: Path) -> Simulator:
    """Kill each of several exporters as soon as it has sent its first request; return their API.

    The window is long enough for all of them, even if they did not wait before the first request.
    """
    simulated = simulator(
        limit=CRASHES - 1, window=2.4, monotonic=time.monotonic, arrival_delay=lambda: 0.05
    )
    with SimulatorThread(simulated.app) as base_url:
        document = configuration(base_url)
        document["api"]["rate_limit"] = {"requests": CRASHES - 1, "window": "2400ms", "share": 1}
        write(directory, document)
        for before in range(CRASHES):
            with running(directory=directory):
                until(partial(has_more, simulated, before))
    return simulated


def has_more(simulated: Simulator, before: int) -> bool:
    return simulated.guard.arrivals > before


@pytest.fixture(scope="module", autouse=True)
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Simulator]]:
    """Start before the other tests, which take as long."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(crash_over_and_over, tmp_path_factory.mktemp("crashes"))


class Mute:
    """An exporter whose log goes elsewhere, on a known port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self._url = f"http://127.0.0.1:{port}"

    def scrape(self) -> str | None:
        """Return the metrics, None before it listens."""
        assert self.process.poll() is None
        try:
            return httpx.get(f"{self._url}/metrics", trust_env=False, verify=False).text
        except httpx.ConnectError:
            return None

    def is_healthy(self) -> bool:
        return httpx.get(f"{self._url}/-/healthy", trust_env=False, verify=False).status_code == 200


@contextmanager
def mute(directory: Path, stderr: int, *, closed: bool = False) -> Iterator[Mute]:
    """Run the exporter with as much log as possible, which goes to `stderr`, or is closed from the start."""
    port = closed_port()
    flags = ("--web.listen-address", f"127.0.0.1:{port}", "--log.format=json", "--log.level=debug")
    stdout = os.open(directory / "stdout", os.O_WRONLY | os.O_CREAT)
    closing = ("sh", "-c", 'exec "$@" 2>&-', "sh") if closed else ()
    process = subprocess.Popen(
        [*closing, *COMMAND, *flags],
        cwd=directory,
        env=environment(),
        stdout=stdout,
        stderr=stderr,
    )
    os.close(stdout)
    try:
        yield Mute(process, port)
    finally:
        process.kill()
        process.wait()


@contextmanager
def full_pipe() -> Iterator[int]:
    """A pipe of minimal size without a reader."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield writer
    os.close(writer)
    os.close(reader)


@contextmanager
def broken_pipe() -> Iterator[int]:
    """A pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def full_disk() -> Iterator[int]:
    writer = os.open("/dev/full", os.O_WRONLY)
    yield writer
    os.close(writer)


def chatty() -> Simulator:
    """An API that makes an exporter log a lot: every poll fails."""
    return simulator(default_mood=moods.body(b"<html>", "text/html"))


def goes_on(exporter: Mute, simulated: Simulator, requests: int) -> None:
    """Wait until a number of further requests came, while scrapes are served."""
    enough = simulated.guard.arrivals + requests
    until(lambda: exporter.scrape() and simulated.guard.arrivals >= enough)
    assert exporter.is_healthy()


@pytest.mark.parametrize("stderr", [full_pipe, broken_pipe, full_disk], ids=lambda to: to.__name__)
def test_a_log_without_a_reader_blocks_neither_polls_nor_scrapes_nor_the_stop(
    stderr: Callable[[], Any], tmp_path: Path
) -> None:
    simulated = chatty()
    with SimulatorThread(simulated.app) as base_url, stderr() as where:
        write(tmp_path, configuration(base_url, interval="20ms"))
        with mute(tmp_path, where) as exporter:
            goes_on(exporter, simulated, TARGETS * 4)
            exporter.process.send_signal(signal.SIGTERM)
            assert exporter.process.wait(timeout=DEADLINE_SECONDS) == 0


def test_a_log_that_is_closed_from_the_start_goes_nowhere(tmp_path: Path) -> None:
    simulated = chatty()
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url, interval="20ms"))
        with mute(tmp_path, subprocess.DEVNULL, closed=True) as exporter:
            goes_on(exporter, simulated, TARGETS * 3)
            exporter.process.send_signal(signal.SIGTERM)
            assert exporter.process.wait(timeout=DEADLINE_SECONDS) == 0
    assert (tmp_path / "stdout").read_text() == ""


def test_a_log_that_is_read_again_says_how_much_is_missing_and_has_whole_lines(
    tmp_path: Path,
) -> None:
    simulated = chatty()
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with SimulatorThread(simulated.app) as base_url, os.fdopen(reader, "rb") as log:
        write(tmp_path, configuration(base_url, interval="20ms"))
        with mute(tmp_path, writer) as exporter:
            os.close(writer)
            goes_on(exporter, simulated, TARGETS * 10)
            lines: list[dict[str, Any]] = []
            while not lines or lines[-1]["event"] != "log_lines_dropped":
                lines.append(json.loads(log.readline()))
    assert lines[0]["event"] == "started"
    assert lines[-1]["level"] == "warn"
    assert lines[-1]["lines"] > 0
    times = [line["ts"] for line in lines]
    assert times == sorted(times)


def test_not_even_an_exporter_that_crashes_at_each_start_goes_over_the_limit(
    crashes: Future[Simulator],
) -> None:
    guard = crashes.result().guard
    assert guard.arrivals == CRASHES
    assert guard.largest_window <= guard.limit
    assert guard.refusals == {}
