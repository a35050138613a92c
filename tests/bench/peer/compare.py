"""This exporter and the Go peer side by side: both poll the same server, and each window measures both at once.

So a busy machine slows both, and the ratio holds. Windows with scrapes alternate with windows without. `python -m
tests.bench.peer.compare` is the server.
"""

import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from exporter.logs import configure
from exporter.resources.vault_balances import BALANCES
from exporter.simulator.moods import body
from exporter.simulator.server import serve
from exporter.simulator.simulator import Simulator
from tests.bench.daemon import Server, running
from tests.bench.filled import (
    API_KEY,
    API_SECRET,
    ASSETS,
    NOON,
    NOWHERE,
    portfolio_of,
    settings_document,
)
from tests.bench.peer.go import NotBuiltError, built, polling
from tests.bench.polling import reporting, stop_event
from tests.bench.start import first_answer

SERIES: Final = 100_000
"""The server leaves out fields that its revision does not have: 91,000 are exposed."""
SCRAPE_EVERY_SECONDS: Final = 15.0
PEER_KEY: Final = "peer"
COUNTS: Final = "/counts"
WARM_UP_DEADLINE_SECONDS: Final = 120.0


class Pair(NamedTuple):
    """The same figure for both."""

    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        """Ours divided by the peer's."""
        return self.ours / self.peer


class _Size(NamedTuple):
    """How often and how long, in seconds, things are measured."""

    windows: int
    alone: float
    scraped: float
    scrapes: int
    starts: int


QUICK: Final = _Size(windows=2, alone=10, scraped=15, scrapes=5, starts=5)
FULL: Final = _Size(windows=5, alone=30, scraped=45, scrapes=15, starts=15)


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table, or why there is none."""
    size = QUICK if quick else FULL
    try:
        with built() as program, tempfile.TemporaryDirectory() as folder:
            rows = {
                **_polling(program, Path(folder), size),
                **_starting(program, Path(folder), size),
            }
    except NotBuiltError as error:
        print(error)
        return
    print("| median | this exporter | the Go peer | ratio | of single measurements |")
    print("| --- | --- | --- | --- | --- |")
    for name, (unit, pairs) in rows.items():
        ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratios = sorted(pair.ratio for pair in pairs)
        print(
            f"| {name} | {ours:,.{unit.digits}f} {unit.name} | {peer:,.{unit.digits}f} {unit.name} "
            f"| {statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |"
        )


class _Unit(NamedTuple):
    name: str
    digits: int


MILLISECONDS: Final = _Unit("ms", 1)
MEBIBYTES: Final = _Unit("MiB", 0)
Rows = Mapping[str, tuple[_Unit, Sequence[Pair]]]


def _polling(program: Path, folder: Path, size: _Size) -> Rows:
    """Return what both take while they poll, and while they are scraped too."""
    with _both(program, folder) as (daemons, counted):
        alone, scraped, sizes = [], [], []
        for _ in range(size.windows):
            alone.append(_window(daemons, counted, lambda: time.sleep(size.alone)))
            scraped.append(
                _window(daemons, counted, lambda: _scrape_now_and_then(daemons, size.scraped))
            )
            sizes.append(Pair(*(daemon.memory() for daemon in daemons)))
        peaks = [Pair(*(daemon.memory("VmHWM") for daemon in daemons))]
        scrapes = {
            name: [
                Pair(*(daemon.scrape(gzip=gzip)[0] * 1000 for daemon in daemons))
                for _ in range(size.scrapes)
            ]
            for name, gzip in {"plain": False, "gzip": True}.items()
        }
        series = [_balance_series(daemon) for daemon in daemons]
    if series[0] != series[1]:
        raise RuntimeError(f"they expose different numbers of series: {series}")
    return {
        f"polling, {ASSETS} assets each: processor time for a request": (MILLISECONDS, alone),
        f"the same with a gzip scrape of {series[0]:,} series every {SCRAPE_EVERY_SECONDS:g} s": (
            MILLISECONDS,
            scraped,
        ),
        "resident memory then": (MEBIBYTES, sizes),
        "most resident memory": (MEBIBYTES, peaks),
        **{f"a scrape, {name}": (MILLISECONDS, times) for name, times in scrapes.items()},
    }


@contextlib.contextmanager
def _both(
    program: Path, folder: Path
) -> Iterator[tuple[tuple[Server, Server], Callable[[], Pair]]]:
    """Run both until each has polled every vault; yields them, and a function that counts the requests of each."""
    portfolio = portfolio_of(SERIES)
    (organization,) = portfolio.organizations
    with reporting(module="tests.bench.peer.compare") as (base_url, _):
        # JSON is YAML too, so both read the same file. More is due than the budget allows.
        document, environ = settings_document(portfolio, base_url, interval="20s")
        file = folder / "config.json"
        file.write_text(json.dumps(document))

        def counted() -> Pair:
            counts = httpx.get(base_url + COUNTS, trust_env=False).json()
            if counts["refused"]:
                raise RuntimeError(f"the server refused {counts['refused']} requests")
            return Pair(counts.get(API_KEY, 0), counts.get(PEER_KEY, 0))

        with (
            running("--config.file", str(file), environ=environ) as ours,
            polling(program, file, {**environ, "KEY": PEER_KEY}) as peer,
        ):
            deadline = time.monotonic() + WARM_UP_DEADLINE_SECONDS
            while min(counted()) < len(organization.vaults) + 2:
                if time.monotonic() > deadline:
                    raise RuntimeError("not every vault was polled")
                # Leaves the cores to them.
                time.sleep(1)
            # A first scrape allocates memory that belongs to no window.
            for daemon in (ours, peer):
                daemon.scrape(gzip=True)
            yield (ours, peer), counted


def _window(
    daemons: tuple[Server, Server], counted: Callable[[], Pair], work: Callable[[], None]
) -> Pair:
    """Return the milliseconds of processor time that both take for each of their requests during `work`."""
    requests, spent = counted(), [daemon.processor_seconds() for daemon in daemons]
    work()
    spent = [
        daemon.processor_seconds() - before for daemon, before in zip(daemons, spent, strict=True)
    ]
    each = [after - before for after, before in zip(counted(), requests, strict=True)]
    return Pair(*(1000 * it / count for it, count in zip(spent, each, strict=True)))


def _scrape_now_and_then(daemons: tuple[Server, Server], seconds: float) -> None:
    """Scrape both every SCRAPE_EVERY_SECONDS, one after the other."""
    pause = SCRAPE_EVERY_SECONDS / (2 * len(daemons))
    until = time.monotonic() + seconds
    moments = iter(
        until - seconds + pause * (2 * turn + 1) for turn in range(round(seconds / (2 * pause)))
    )
    for turn, moment in enumerate(moments):
        time.sleep(max(0.0, moment - time.monotonic()))
        daemons[turn % len(daemons)].scrape(gzip=True)
    time.sleep(max(0.0, until - time.monotonic()))


def _balance_series(daemon: Server) -> int:
    names = {it.metric.name for it in BALANCES}
    return sum(line.partition("{")[0] in names for line in daemon.page())


def _starting(program: Path, folder: Path, size: _Size) -> Rows:
    """Return how long a start takes, and the memory of a daemon with one vault, whose API is not there."""
    document, environ = settings_document(portfolio_of(1), NOWHERE, interval="1m")
    file = folder / "empty.json"
    file.write_text(json.dumps(document))
    starts, sizes = [], []
    for _ in range(size.starts):
        seconds, memory = zip(
            _start(lambda: running("--config.file", str(file), environ=environ)),
            _start(lambda: polling(program, file, environ)),
            strict=True,
        )
        starts.append(Pair(*(1000 * it for it in seconds)))
        sizes.append(Pair(*memory))
    return {
        "from process start to the first answered scrape": (MILLISECONDS, starts),
        "resident memory of an empty daemon": (MEBIBYTES, sizes),
    }


def _start(run: Callable[[], contextlib.AbstractContextManager[Server]]) -> tuple[float, float]:
    """Return the seconds until the first answered scrape, and the MiB after some more."""
    began = time.perf_counter()
    with run() as daemon:
        seconds = first_answer(daemon, began)
        for _ in range(5):
            daemon.scrape(gzip=False)
        return seconds, daemon.memory()


async def _serve() -> None:
    """Serve the custody API without a rate limit, and at COUNTS the number of requests of each key."""
    portfolio = portfolio_of(SERIES)
    counts: Counter[str] = Counter()

    async def count(request: Request) -> Response | None:
        if request.url.path == COUNTS:
            return JSONResponse({**counts, "refused": simulator.guard.refusals.total()})
        counts[request.headers["api-key"]] += 1
        return None

    simulator = Simulator(
        portfolio=portfolio,
        api_key=API_KEY,
        api_secret=API_SECRET,
        wall=lambda: NOON,
        monotonic=time.monotonic,
        limit=10**9,
        front=count,
    )
    simulator.guard.secrets[PEER_KEY] = API_SECRET
    # Adding up that many invented balances would slow the server down.
    total = body(b'{"quote_asset": "USD", "balance": {"total": "1"}}', "application/json")
    simulator.moods[portfolio.organizations[0].id] = total
    async with serve(simulator.app) as base_url:
        print(base_url, flush=True)
        await stop_event().wait()
    print("{}", flush=True)


if __name__ == "__main__":
    # Events go to stderr, so that stdout has only the address.
    configure("error", "logfmt")
    asyncio.run(_serve())
