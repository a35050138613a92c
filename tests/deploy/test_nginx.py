"""The proxy for several programs behind one address, with Debian's nginx: what reaches the API, and how."""

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from threading import Event

import httpx
import pytest

from exporter.simulator.guard import Refusal
from exporter.simulator.server import SimulatorThread
from tests.custody.servers import Script, reset, saying
from tests.deploy.nginx_server import CONFIGURATION, HOST, Proxy, api_certificate, proxy
from tests.exporting import configuration, simulator, write
from tests.integration.gateway import Gateway, listening
from tests.integration.lease_scenes import portfolio
from tests.processes import Running, running
from tests.simulator.calling import API_SECRET, organization_path, vault_path
from tests.waiting import until

README = (CONFIGURATION.parent / "README.md").read_text("utf-8")
LIMIT, WINDOW = 60, 5.0
"""A smaller window than Kraken's, so that several pass in a test. The proxy sends at most 31 requests in it; a busy
machine may deliver as many that were late."""
DOCUMENTED, DOCUMENTED_WINDOW = 200, 30
FOREIGN_CLIENTS = 4
ENOUGH = 70
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]"


def rate() -> Fraction:
    """Return the requests that it lets through in a second."""
    (a_minute,) = re.findall(r"rate=(\d+)r/m", CONFIGURATION.read_text("utf-8"))
    return Fraction(int(a_minute), 60)


def sent(start: Fraction, end: Fraction) -> int:
    """Return how many requests it sends from `start` to `end`, both inclusive, if its queue is never empty."""
    return floor(end * rate()) - ceil(start * rate()) + 1


def test_the_rate_keeps_to_the_limit_however_it_is_counted() -> None:
    window, late = DOCUMENTED_WINDOW, 3
    assert f"At most {sent(Fraction(0), Fraction(window))} requests in any {window} s" in README
    assert f"delays differ by up to {late} s" in README
    for start in (number / rate() / 4 for number in range(4)):
        assert sent(start, start + window + late) <= DOCUMENTED
        for into in range(window + 1):
            # Two buckets: the one before counts by the part of it that is still in the window.
            before = sent(start - window, start) * Fraction(window - into, window)
            assert before + sent(start, start + into) <= DOCUMENTED


def test_the_queue_is_as_long_as_the_readme_says() -> None:
    (burst,) = re.findall(r"burst=(\d+);", CONFIGURATION.read_text("utf-8"))
    assert f"Up to {burst} requests wait" in README
    assert f"`Retry-After: {int(burst) / rate()}`" in README
    assert "nodelay;" not in CONFIGURATION.read_text("utf-8")


class Entrance(Gateway):
    """Stands in front of the simulator, which does not answer to the API's name."""

    async def _forward(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        await super()._forward(head.replace(HOST.encode(), b"127.0.0.1"), writer)


def shared(directory: Path, through: Proxy, number: int, stack: ExitStack) -> Running:
    """Start an exporter that is configured to use the whole limit; one in three runs on the proxy's machine."""
    directory.mkdir()
    url = through.tls_url if number else through.loopback_url
    document = configuration(url, portfolio=portfolio(), interval="200ms")
    document["api"] |= {
        "ca_file": str(through.ca_file),
        "timeout": "20s",
        "rate_limit": {"requests": LIMIT, "window": f"{WINDOW:g}s", "share": 1},
    }
    write(directory, document)
    environ = {"SIMULATOR_KEY": f"key-{number}"}
    return stack.enter_context(running(directory=directory, environ=environ))


def test_three_exporters_and_a_foreign_program_never_exceed_the_limit_together(
    tmp_path: Path,
) -> None:
    simulated = simulator(
        portfolio=portfolio(), limit=LIMIT, window=WINDOW, monotonic=time.monotonic
    )
    guard, over = simulated.guard, Event()
    guard.secrets |= {f"key-{number}": API_SECRET for number in range(3)}
    certificate = api_certificate(tmp_path / "api")

    def foreign(url: str) -> None:
        with httpx.Client(base_url=url, trust_env=False, verify=False, timeout=30) as client:
            while not over.is_set():
                client.get(vault_path())

    with ExitStack() as stack:
        plain_url = stack.enter_context(SimulatorThread(simulated.app))
        url = stack.enter_context(listening(Entrance(plain_url), certificate.context))
        through = stack.enter_context(proxy(tmp_path / "nginx", url, certificate.file))
        exporters = [shared(tmp_path / str(number), through, number, stack) for number in range(3)]
        clients = stack.enter_context(ThreadPoolExecutor(FOREIGN_CLIENTS))
        stack.callback(over.set)
        programs = [clients.submit(foreign, through.loopback_url) for _ in range(FOREIGN_CLIENTS)]
        for exporter in exporters:
            until(lambda: len(exporter.events("target_up")) == 2)  # noqa: B023 - called in this round
        until(lambda: guard.arrivals >= ENOUGH)
        over.set()
        for one in programs:
            one.result()
        failed = [exporter.events("target_failing") for exporter in exporters]
    # It was under load: the window was as full as the proxy allows, and most requests had to wait.
    assert rate() * WINDOW * Fraction(3, 4) < guard.largest_window <= LIMIT
    assert guard.refusals.keys() == {Refusal.INVALID_KEY}
    assert failed == [[], [], []]
    waited = [limit for *_, limit, _, _ in through.log()]
    assert set(waited) <= {"PASSED", "DELAYED"}
    assert waited.count("DELAYED") > ENOUGH / 2


class Told:
    """An API that records requests, and answers by `script`."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.script: Script = saying(OK)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        again = asyncio.StreamReader()
        again.feed_data(head)
        await self.script(again, writer)


@pytest.fixture(scope="module")
def api() -> Told:
    return Told()


@pytest.fixture(scope="module")
def through(api: Told, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Run a proxy with room for one request in its queue."""
    directory = tmp_path_factory.mktemp("told")
    certificate = api_certificate(directory / "api")
    no_queue = {"burst=60;": "burst=1;", "rate=360r/m": "rate=600r/m"}
    with (
        listening(api, certificate.context) as url,
        proxy(directory / "nginx", url, certificate.file, no_queue) as it,
    ):
        yield it


@pytest.fixture
def ask(through: Proxy, api: Told) -> Iterator[httpx.Client]:
    """Return a client of a proxy that has seen no requests yet."""
    api.heads.clear()
    api.script = saying(OK)
    until(lambda: httpx.get(through.loopback_url, trust_env=False, verify=False).status_code != 429)
    api.heads.clear()
    with httpx.Client(
        base_url=through.loopback_url, trust_env=False, verify=False, timeout=30
    ) as client:
        yield client


def once_it_passes(client: httpx.Client, path: str) -> httpx.Response:
    """Repeat a request until the proxy passes it; return the answer."""

    def passed() -> list[httpx.Response]:
        answer = client.get(path, headers={"api-key": "k", "api-nonce": "1", "api-sign": "s"})
        return [] if answer.headers.get("retry-after") == "10" else [answer]

    return until(passed)[0]


def test_a_request_arrives_byte_by_byte_as_it_was_signed(ask: httpx.Client, api: Told) -> None:
    path = organization_path("ABCD EFGH IJKL MNOP") + "?quote_asset=USD&a=%2Fb//c&&"
    assert "%20" in path
    assert once_it_passes(ask, path).content == b"[]"
    (head,) = api.heads
    line, *headers = head.decode().lower().splitlines()
    assert line == f"get {path} http/1.1".lower()
    assert {f"host: {HOST}", "api-key: k", "api-nonce: 1", "api-sign: s"} <= set(headers)
    assert [it for it in headers if it.startswith("x-forwarded")] == []


def test_what_the_api_says_of_waiting_is_passed_on(ask: httpx.Client, api: Told) -> None:
    api.script = saying(
        b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
    )
    answer = once_it_passes(ask, "/")
    assert (answer.status_code, answer.headers["retry-after"], answer.text) == (429, "7", "{}")


def test_a_client_refused_because_of_a_full_queue_gets_retry_after(
    ask: httpx.Client, api: Told
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask.get, ["/"] * 8))
    refused = [it for it in answers if it.status_code == 429]
    assert len(refused) + len(api.heads) == 8
    assert {it.headers["retry-after"] for it in refused} == {"10"}


def test_a_request_without_an_answer_is_not_sent_again(ask: httpx.Client, api: Told) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        reset(writer)

    api.script = script
    assert once_it_passes(ask, "/").status_code == 502
    assert len(api.heads) == 1


def test_a_server_with_another_name_learns_nothing(tmp_path: Path) -> None:
    api, certificate = Told(), api_certificate(tmp_path / "api", "api.kraken.example")
    with (
        listening(api, certificate.context) as url,
        proxy(tmp_path / "nginx", url, certificate.file) as through,
    ):
        answer = httpx.get(through.loopback_url, trust_env=False, verify=False, timeout=30)
        said = (tmp_path / "nginx" / "error.log").read_text()
    assert (answer.status_code, api.heads) == (502, [])
    assert f'does not match "{HOST}"' in said


def test_the_log_has_neither_ids_nor_keys(ask: httpx.Client, through: Proxy) -> None:
    once_it_passes(ask, vault_path() + "?secret-of-the-path")
    until(through.log)
    assert "secret-of-the-path" not in (through.directory / "access.log").read_text()
