"""What grows with the number of targets: a request, a scrape, a page, the JSON, a reload, a refused key, memory.

`python -m tests.bench.targets TARGETS` measures one number of targets in a separate process.
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml
from starlette.types import ASGIApp, Message

from exporter.app import favour_event_loop
from exporter.assembly import Exporter, World
from exporter.config import Settings, parse
from exporter.custody.transport import ON_SEND
from exporter.logs import configure
from exporter.polling.pause import Cause
from exporter.polling.schedule import Turn
from exporter.reload import Reloader
from exporter.simulator.portfolio import Portfolio, large_portfolio
from exporter.turns import in_turns
from exporter.web.access.file import WebConfigFile
from exporter.web.site import Site
from tests.bench.filled import API_KEY, API_SECRET, NOON, NOWHERE, settings_document
from tests.bench.loop_watch import LoopWatch
from tests.bench.page import poll_all, row_of
from tests.resources.answers import vault_balances

SIZES = (500, 5_000, 20_000)
REQUESTS = 400
TOTAL = {"quote_asset": "USD", "balance": {"total": "1"}}


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    sizes = SIZES[: 2 if quick else None]
    found = [_measured(size) for size in sizes]
    print(f"| targets | {' | '.join(f'{size:,}' for size in sizes)} |")
    print(f"| --- {'| --- ' * len(sizes)}|")
    for name in found[0]:
        print(f"| {name} | {' | '.join(measured[name] for measured in found)} |")


def _measured(size: int) -> Mapping[str, str]:
    command = (sys.executable, "-m", "tests.bench.targets", str(size))
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    measured: Mapping[str, str] = json.loads(result.stdout)
    return measured


def _text(portfolio: Portfolio, interval: str, organization: str) -> str:
    document, _ = settings_document(portfolio, NOWHERE, interval, organization)
    limit = {"api": {"base_url": NOWHERE, "rate_limit": {"requests": 1_000_000, "window": "1s"}}}
    return yaml.safe_dump({**document, **limit})


def _settings(text: str) -> Settings:
    return parse(text, directory=Path(), environ={"KEY": API_KEY, "SECRET": API_SECRET})


async def _reload(exporter: Exporter, text: str) -> None:
    """Reload as `POST /-/reload` does."""
    reloader = Reloader(
        lambda: _settings(text), exporter.reload, exporter.loading, WebConfigFile(None)
    )
    running = asyncio.create_task(reloader.run())
    if problem := await reloader.reload():
        raise RuntimeError(problem)
    running.cancel()
    await asyncio.wait({running})
    # As the next round of the poller does.
    exporter.poller.bring_up_to_date()


async def _get(site: ASGIApp, path: str, query: str) -> None:
    """Request a page as a browser or Prometheus does, and read its pieces as they come."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"exporter"), (b"accept-encoding", b"gzip")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    statuses: list[int] = []

    requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not requests:
            await asyncio.Event().wait()
        return requests.pop()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        # Like a socket whose client reads.
        await asyncio.sleep(0)

    await site(scope, receive, send)
    if statuses != [200]:
        raise RuntimeError(f"{path} was answered with {statuses}")


class _Answering(httpx.AsyncBaseTransport):
    """An API that answers each request with one asset, at once. requests: how many there were."""

    def __init__(self, portfolio: Portfolio) -> None:
        (organization,) = portfolio.organizations
        rows = portfolio.vault_rows(organization.vaults[0].id, NOON, full_precision=True)
        self._rows, self._total = json.dumps(rows).encode(), json.dumps(TOTAL).encode()
        self.requests = 0
        self._awaited, self._came = 0, asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions[ON_SEND]()
        self.requests += 1
        if self.requests == self._awaited:
            self._came.set()
        content = self._rows if "/vaults/" in request.url.path else self._total
        headers = {"content-type": "application/json"}
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(content))

    async def until(self, requests: int) -> None:
        """Wait until there were this many requests."""
        self._awaited = requests
        self._came.clear()
        await self._came.wait()


async def _of(size: int) -> Mapping[str, str]:
    portfolio = large_portfolio(size - 1, 1)
    api = _Answering(portfolio)
    settings = _settings(_text(portfolio, "1d", "acme-treasury"))
    exporter = Exporter(settings, World(transport=api))
    favour_event_loop()
    measured = {
        "a request, from being chosen to its exposition": await _request(exporter, api),
        "of which the schedule": _schedule(exporter),
    }
    poll_all(exporter, vault_balances([row_of(0)]))
    measured["a full garbage collection"] = _collection()
    measured["a check of what depends on time alone"] = _look(exporter)
    site = Site(exporter, "/metrics").app()
    for name, (path, query) in {
        "`/metrics`": ("/metrics", ""),
        "the status page": ("/", ""),
        "the status page, filtered to 1 target": ("/", "q=vault-123"),
        "`/api/v1/targets`": ("/api/v1/targets", ""),
    }.items():
        measured[name] = await _held(lambda path=path, query=query: _get(site, path, query))  # type: ignore[misc]
    for name, of, interval in (
        ("a reload that changes nothing", "acme-treasury", "1d"),
        ("a reload with other intervals", "acme-treasury", "2d"),
        ("a reload that renames the organization", "renamed", "2d"),
    ):
        text = _text(portfolio, interval, of)
        measured[name] = await _held(lambda text=text: _reload(exporter, text))  # type: ignore[misc]
    measured["a wall clock that was corrected"] = await _held(lambda: _hurry(exporter))
    measured["a refused key, all targets due"] = await _held(lambda: _pause(exporter))
    measured["a check while it is refused"] = _look(exporter)
    measured["`POST /-/poll` of all that fails"] = await _held(lambda: exporter.poll_now(()))
    measured["another process takes over"] = await _held(lambda: _forget(exporter))
    measured["memory"] = f"{_resident():.0f} MiB"
    return measured


async def _request(exporter: Exporter, api: _Answering) -> str:
    polling = asyncio.create_task(exporter.poller.run())
    await api.until(REQUESTS // 4)
    began, first = time.process_time(), api.requests
    await api.until(REQUESTS)
    seconds = (time.process_time() - began) / (api.requests - first)
    polling.cancel()
    await asyncio.wait({polling})
    failing = [state for state in exporter.store.states() if state.failure]
    assert not failing, failing[0]
    return f"{seconds * 1000:.2f} ms"


def _schedule(exporter: Exporter) -> str:
    schedule, turns = exporter.parts.schedule, {"bench": Turn(0.0)}
    now = exporter.parts.monotonic()
    began = time.process_time()
    for _ in range(REQUESTS // 4):
        entry, _ = schedule.next(now, turns)
        if entry is None:
            break
        entry.move(entry.place.begun(lambda: None, now))  # type: ignore[arg-type,return-value]
        entry.move(entry.place.finished())
    return f"{(time.process_time() - began) / (REQUESTS // 4) * 1000:.3f} ms"


def _collection() -> str:
    """Return the seconds of a collection right after another: of all that is held but for what the start has frozen."""
    gc.collect()
    began = time.thread_time()
    gc.collect()
    return f"{(time.thread_time() - began) * 1000:.1f} ms"


def _look(exporter: Exporter) -> str:
    times = []
    for _ in range(20):
        began = time.thread_time()
        exporter.poller.bring_up_to_date()
        times.append(time.thread_time() - began)
    return f"{max(times) * 1000:.2f} ms"


async def _hurry(exporter: Exporter) -> None:
    """Make every target due, as after a jump of the wall clock."""
    await in_turns(exporter.parts.schedule.make_all_due(exporter.parts.monotonic()))


async def _forget(exporter: Exporter) -> None:
    """Forget everything, like a process that loses its lease."""
    await in_turns(exporter.parts.schedule.restart(exporter.parts.monotonic()))
    await in_turns(exporter.store.forget())


async def _pause(exporter: Exporter) -> None:
    """Let the only key be refused while every target is due, until all targets show it."""
    now = exporter.parts.monotonic()
    refused = Cause("EAPI:Invalid key", "Invalid key", 401)
    exporter.parts.credentials["bench"].pause.begin(refused, now, now)
    polling = asyncio.create_task(exporter.poller.run())
    while not all(state.failure for state in exporter.store.states()):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    polling.cancel()
    await asyncio.wait({polling})


async def _held(work: Callable[[], Coroutine[Any, Any, object]]) -> str:
    """Return how long `work` takes, and the longest time for which it blocks the event loop."""
    # Collections have a row of their own.
    gc.collect()
    watch, over = LoopWatch(), asyncio.Event()
    watching = asyncio.create_task(watch.watch(over))
    await asyncio.sleep(0.01)
    began = time.perf_counter()
    await work()
    seconds = time.perf_counter() - began
    # Work that it scheduled for at once belongs to it.
    await asyncio.sleep(0.01)
    over.set()
    await watching
    return f"{seconds * 1000:.0f} ms, loop held {watch.longest_of_its_own * 1000:.1f} ms"


def _resident() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


if __name__ == "__main__":
    configure("warn", "logfmt")
    print(json.dumps(asyncio.run(_of(int(sys.argv[1])))))
