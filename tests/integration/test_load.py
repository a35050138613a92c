"""The exporter under load and with hostile clients: it keeps polling and serving, with little memory."""

import gzip
import re
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from threading import Barrier

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from exporter.simulator.portfolio import large_portfolio
from exporter.simulator.server import SimulatorThread
from tests.exporting import configuration, simulator, write
from tests.processes import Running, running
from tests.waiting import DEADLINE_SECONDS, until

VAULTS, ASSETS = 4, 60
SERIES = VAULTS * ASSETS
SCRAPERS = 50
IDLE = 1000
SLOW = 20
GET = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"
OPENMETRICS = {"accept": "application/openmetrics-text;version=1.0.0", "accept-encoding": "gzip"}
FLAGS = ("--web.read-timeout=2s", f"--web.max-requests={SCRAPERS}")
"""Shorter than by default, because tests wait for it; as many requests as there are scrapers."""


@dataclass
class Loaded:
    """An exporter that polls large vaults again and again."""

    process: Running
    address: tuple[str, int]

    def connection(self) -> HTTPConnection:
        return HTTPConnection(*self.address, timeout=DEADLINE_SECONDS)

    def polls(self) -> float:
        with closing(self.connection()) as connection:
            return polls_of(scrape(connection))

    def goes_on(self) -> None:
        """Check that every target is polled again, and that a scrape is complete."""
        enough = self.polls() + VAULTS + 1
        until(lambda: self.polls() >= enough)
        with closing(self.connection()) as connection:
            families = list(read_openmetrics(scrape(connection)))  # type: ignore[no-untyped-call]  # the library's
        (balances,) = (found for found in families if found.name == "kraken_custody_vault_balance")
        assert len(balances.samples) == SERIES
        assert self.process.get("/-/healthy").status_code == 200

    def memory(self) -> int:
        """Return the resident memory of the process, in bytes."""
        status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    def files(self) -> int:
        return len(list(Path(f"/proc/{self.process.process.pid}/fd").iterdir()))

    @contextmanager
    def clients(self, number: int, sent: bytes, buffer: int = 0) -> Iterator[list[socket.socket]]:
        """Connect this many clients, and send something from each."""
        with ExitStack() as clients:
            connected = []
            for _ in range(number):
                client = clients.enter_context(socket.socket())
                client.settimeout(DEADLINE_SECONDS)
                if buffer:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
                client.connect(self.address)
                # The server may have closed it to make room for another.
                with suppress(ConnectionError):
                    client.sendall(sent)
                connected.append(client)
            yield connected


def scrape(connection: HTTPConnection) -> str:
    connection.request("GET", "/metrics", headers=OPENMETRICS)
    answer = connection.getresponse()
    assert answer.status == 200
    return gzip.decompress(answer.read()).decode()


def polls_of(page: str) -> float:
    """Return the number of requests to the API from a scrape, which must be complete."""
    assert page.count("\nkraken_custody_vault_balance{") == SERIES
    assert page.endswith("\n# EOF\n")
    return sum(map(float, re.findall(r"\nkraken_custody_api_requests_total.* (.*)", page)))


def ended(client: socket.socket) -> bool:
    """Read until the end; the test fails unless the server has closed the connection, in whatever way."""
    with suppress(ConnectionError):
        while client.recv(1 << 20):
            pass
    return True


@contextmanager
def loaded(directory: Path, *flags: str) -> Iterator[Loaded]:
    portfolio = large_portfolio(VAULTS, ASSETS)
    with SimulatorThread(simulator(portfolio=portfolio).app) as base_url:
        write(directory, configuration(base_url, portfolio=portfolio, interval="250ms"))
        with running(*FLAGS, *flags, directory=directory) as process:
            until(lambda: len(process.events("target_up")) == VAULTS + 1)
            page = httpx.URL(process.wait_for("started")["metrics"])
            yield Loaded(process, (page.host, page.port or 80))
            assert "Traceback" not in process.stderr


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    with loaded(tmp_path_factory.mktemp("load")) as exporter:
        yield exporter


@pytest.fixture
def impatient_exporter(tmp_path: Path) -> Iterator[Loaded]:
    """An exporter that does not wait long for clients to read; not long enough for fifty scrapers on a busy machine."""
    with loaded(tmp_path, "--web.write-timeout=2s") as exporter:
        yield exporter


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as a thousand clients need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * IDLE:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * IDLE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_scrapers_all_get_whole_pages_while_polls_go_on(exporter: Loaded) -> None:
    enough = exporter.polls() + VAULTS + 1
    together = Barrier(SCRAPERS)

    def scrape_on(_number: int) -> None:
        with closing(exporter.connection()) as connection:
            together.wait(DEADLINE_SECONDS)
            until(lambda: polls_of(scrape(connection)) >= enough)

    with ThreadPoolExecutor(SCRAPERS) as threads:
        assert len(list(threads.map(scrape_on, range(SCRAPERS)))) == SCRAPERS
    exporter.goes_on()


@pytest.mark.usefixtures("many_files")
def test_a_thousand_connections_without_a_request_keep_no_scraper_out(exporter: Loaded) -> None:
    with exporter.clients(IDLE // 2, b"") as silent, exporter.clients(IDLE // 2, GET[:-2]) as half:
        assert exporter.files() < 1024, "what a process usually may open"
        exporter.goes_on()
        assert all(map(ended, silent + half))
    exporter.goes_on()


def test_clients_that_stop_reading_delay_no_other_and_take_little_memory(
    impatient_exporter: Loaded,
) -> None:
    exporter = impatient_exporter
    with closing(exporter.connection()) as connection:
        connection.request("GET", "/metrics")
        page_bytes = len(connection.getresponse().read())
    memory, files = exporter.memory(), exporter.files()
    with exporter.clients(SLOW, GET * 50, buffer=4096) as clients:
        assert all(client.recv(1) for client in clients)
        exporter.goes_on()
        assert exporter.memory() - memory < SLOW * 4 * page_bytes
        # They have not read on, but the server has closed them.
        until(lambda: exporter.files() < files + SLOW // 2)
    exporter.goes_on()


HOSTILE = {
    "a large header": b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 10**6,
    "a large request line": b"GET /" + b"y" * 10**6,
    "many headers": b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 10**5 + b"\r\n",
    "a large body": b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999\r\n\r\n"
    + b"y" * 5 * 10**6,
    "chunks": b"POST /metrics HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"1\r\ny\r\n" * 10**5,
    "no chunks": b"GET /metrics HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nno\r\n",
    "a tunnel": b"CONNECT /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2 + b"C",
    "an upgrade": b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nPRI *",
    "noise": bytes(range(256)) * 1000,
}


def test_oversized_and_malformed_requests_do_no_harm(exporter: Loaded) -> None:
    logged = len(exporter.process.events())
    with ExitStack() as stack:
        clients = [
            client
            for sent in HOSTILE.values()
            for client in stack.enter_context(exporter.clients(2, sent))
        ]
        exporter.goes_on()
        assert all(map(ended, clients))
    exporter.goes_on()
    assert len(exporter.process.events()) == logged
