"""Whether anything grows: 100,000 polls in compressed time, and a daemon that is polled and scraped at full speed.

Both meet every fault, mixed with good answers: every documented problem, error names and assets that never repeat, rate
limits, refused keys, pages of a proxy, truncated bodies, requests past their deadline, invalid rows, vaults whose
assets come and go. In the daemon's real time no key is refused, because each refusal would mean a minute of silence,
and rate limits are rare, because each means a second.
"""

import argparse
import asyncio
import gc
import itertools
import json
import logging
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import httpx
import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.custody.errors import DOCUMENTED_PROBLEMS
from exporter.logs import configure
from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import Format
from exporter.simulator import answers
from exporter.simulator.moods import Mood, slow
from exporter.simulator.portfolio import large_portfolio
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from tests.bench.daemon import Server, held_series, process_status, running
from tests.bench.filled import API_KEY, API_SECRET
from tests.polling.world import Stage, run, stage

Sample = Mapping[str, float]

VAULTS: Final = 60
SAMPLES: Final = 40
WARM_UP_POLLS: Final = 3000
"""Polls after which each fault and all 64 distinct names of unknown errors have occurred."""
MEANT_TO_GROW: Final = ("polls", "requests", "virtual seconds", "failed requests")
LONGEST_WARM_UP_SECONDS: Final = 15.0
FLAT_WITHIN: Final = 0.03
REQUESTS, WINDOW_SECONDS = 200, 30.0
CHUNK_SECONDS: Final = 60.0
"""Virtual seconds for which the network of one vault is broken, or works."""
UNLIMITED: Final = 100_000


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print a table for each part."""
    polls = 10_000 if quick else 100_000
    began = time.monotonic()
    samples = _compressed(polls)
    last = samples[-1]
    print(
        f"**Compressed time**: {last['polls']:,.0f} polls of {VAULTS} vaults, {last['failed requests']:,.0f} failed "
        f"requests, {last['virtual seconds'] / 3600:.1f} hours that passed in {time.monotonic() - began:.0f} s; "
        "exporter and simulator are one process\n"
    )
    _print_table(samples)
    seconds = 10.0 if quick else 60.0
    samples, scrapes = _daemon(seconds)
    print(
        f"\n**Real time**: a daemon over HTTP for {seconds:.0f} s, {samples[-1]['requests']:,.0f} requests, "
        f"{scrapes} scrapes, plain and gzip in turn\n"
    )
    _print_table(samples)


def _print_table(samples: Sequence[Sample]) -> None:
    """Print the medians of the first and the last quarter, of everything except what is meant to grow."""
    quarter = max(1, len(samples) // 4)
    print("| resource | first quarter, median | last quarter | change | |")
    print("| --- | --- | --- | --- | --- |")
    for name in samples[0]:
        if name in MEANT_TO_GROW:
            continue
        values = [sample[name] for sample in samples]
        first, last = (statistics.median(part) for part in (values[:quarter], values[-quarter:]))
        change = last / first - 1
        # One connection more or less is a scrape that has just arrived.
        is_flat = abs(last - first) <= max(FLAT_WITHIN * first, 1)
        verdict = "flat" if is_flat else "grows" if change > 0 else "shrinks"
        print(f"| {name} | {first:,.6g} | {last:,.6g} | {change:+.1%} | {verdict} |", flush=True)


class Faults:
    """A mood that answers about a third of the requests wrongly, in every way, and most others with ever new rows.

    is_patient: whether pauses of minutes cost nothing.
    """

    def __init__(self, *, is_patient: bool) -> None:
        self._chance = random.Random(1)
        self._number = itertools.count()
        self._wrong: list[tuple[float, Callable[[], ASGIApp]]] = [
            *((1.0, self._problem(status, name)) for status, name in DOCUMENTED_PROBLEMS),
            (2.0, lambda: answers.problem(500, f"Fresh{next(self._number)}")),
            (2.0, lambda: answers.problem(400, f"gateway/Fresh{next(self._number)}")),
            (2.0, lambda: answers.problem(500, "Unknown", {"core_error": self._fresh("Core")})),
            (1.0, lambda: answers.legacy("EAPI:Invalid nonce")),
            (1.0, lambda: answers.legacy("EService:Unavailable")),
            (2.0, lambda: answers.legacy(f"EGeneral:{self._fresh('Legacy')}")),
            (2.0, lambda: answers.html(502)),
            (1.0, lambda: answers.html(200)),
            (2.0, lambda: Response(b'[{"asset": "BTC", "asset_cl', media_type="application/json")),
            (2.0, lambda: Response(b"\x1f\x8b\x08", headers={"content-encoding": "gzip"})),
            (1.0 if is_patient else 0.01, lambda: answers.rate_limited(1)),
        ]
        if is_patient:
            self._wrong.append((0.2, lambda: answers.problem(401, "InvalidKey")))
        else:
            self._wrong.append((2.0, lambda: _cut_off))
        self._hanging = slow(3600)
        self._share_hanging = 0.01 if is_patient else 0.0003

    async def mood(self, request: Request) -> ASGIApp | None:
        """Answer one request."""
        lot = self._chance.random()
        if lot < self._share_hanging:
            return await self._hanging(request)
        if lot < 0.3:
            weights, wrong = zip(*self._wrong, strict=True)
            (make,) = self._chance.choices(wrong, weights)
            answer: ASGIApp = make()
            return answer
        if "vaults" in request.url.path and lot < 0.9:
            return JSONResponse(self._rows())
        return None

    def _problem(self, status: int, name: str) -> Callable[[], ASGIApp]:
        return lambda: answers.problem(status, name)

    def _fresh(self, what: str) -> str:
        return f"{what} {next(self._number)}"

    def _rows(self) -> list[object]:
        """Return a few rows of common assets, one of a new asset, and an invalid one."""
        codes = [f"A{number}" for number in self._chance.sample(range(100), 4)]
        rows: list[object] = [self._row(code) for code in codes]
        rows.append(self._row(self._fresh("N")))
        rows.append(self._row(codes[0]) | {"hold": None, "name": self._fresh("invalid")})
        return rows

    def _row(self, code: str) -> dict[str, object]:
        amounts = ("balance", "spot", "hold", "available", "quote_balance", "quote_price")
        return {
            "asset": code,
            "asset_class": "currency",
            "name": f"{code}, {self._chance.choice(('old', 'new'))}",
            **{name: f"{self._chance.uniform(0, 1000):.8f}" for name in amounts},
        }


async def _cut_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Announce a body, send a part of it, and close the connection."""
    del scope, receive
    length = [(b"content-length", b"1000"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"[{", "more_body": True})
    # uvicorn closes the connection if the app ends here.


def _compressed(polls: int) -> list[Sample]:
    """Run the exporter in a separate process, in which nothing else takes memory; return its samples."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.bench.soak", str(polls)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    samples: list[Sample] = json.loads(finished.stdout)
    return samples


async def _play(polls: int) -> list[Sample]:
    played = stage(
        vaults=VAULTS,
        limit=(REQUESTS, WINDOW_SECONDS),
        api={"rate_limit": {"share": 1}, "timeout": "5s"},
        polling={"interval": "10s"},
    )
    faults: Mood = Faults(is_patient=True).mood
    played.simulator.default_mood = faults
    page = Exposition(played.exporter.store, played.exporter.registry)
    breakages = itertools.cycle((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError))
    vaults = itertools.cycle(f"v{number}" for number in range(VAULTS))
    samples: list[Sample] = []
    while (done := _polls(played)) < WARM_UP_POLLS + polls:
        # A new one each time: an exception keeps the traceback of every time it was raised.
        played.wire.broken = {played.path(next(vaults)): next(breakages)("broken")}
        await played.play(CHUNK_SECONDS)
        # What the test double remembers does not belong to the exporter.
        played.wire.sent.clear()
        b"".join(page.plain(Format.OPENMETRICS_1_0_0))
        if done >= WARM_UP_POLLS + len(samples) * polls / SAMPLES:
            samples.append(_sample(played, page))
    await played.stop()
    return samples


def _polls(played: Stage) -> int:
    return sum(state.polls for state in played.exporter.store.states())


def _sample(played: Stage, page: Exposition) -> Sample:
    gc.collect()
    lines = b"".join(page.plain(Format.TEXT_0_0_4)).splitlines()
    return {
        "polls": _polls(played),
        "virtual seconds": asyncio.get_running_loop().time(),
        "failed requests": sum(
            float(line.rpartition(b" ")[2])
            for line in lines
            if line.startswith(b"kraken_custody_api_errors_total{")
        ),
        "memory, MiB (VmRSS)": process_status("self", "VmRSS") / 1024,
        "objects (gc)": len(gc.get_objects()),
        "asyncio tasks": len(asyncio.all_tasks()),
        "series of answers": played.exporter.store.series,
        "own series": sum(line.startswith(b"kraken_custody_api_") for line in lines),
    }


def _daemon(seconds: float) -> tuple[list[Sample], int]:
    """Poll and scrape a daemon for `seconds`; return its samples, and the number of scrapes."""
    # Truncated bodies are what the simulator is told to send.
    logging.getLogger("uvicorn.error.connection").disabled = True
    simulator = Simulator(
        portfolio=large_portfolio(VAULTS, 3),
        api_key=API_KEY,
        api_secret=API_SECRET,
        wall=time.time,
        monotonic=time.monotonic,
        limit=UNLIMITED,
        window=1.0,
        default_mood=Faults(is_patient=False).mood,
    )
    with tempfile.TemporaryDirectory() as folder, SimulatorThread(simulator.app) as base_url:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(_document(simulator, base_url)))
        environ = {"KEY": API_KEY, "SECRET": API_SECRET}
        with running("--config.file", str(file), environ=environ) as server:
            deadline = time.monotonic() + LONGEST_WARM_UP_SECONDS
            while simulator.guard.arrivals < WARM_UP_POLLS and time.monotonic() < deadline:
                # Until it has warmed up, with a deadline.
                time.sleep(0.1)
            with _Scraping(server) as scraping:
                samples = []
                for _ in range(SAMPLES):
                    # A soak is measured over time.
                    time.sleep(seconds / SAMPLES)
                    samples.append(_daemon_sample(server, simulator))
            return samples, scraping.count


def _document(simulator: Simulator, base_url: str) -> Mapping[str, object]:
    (organization,) = simulator.portfolio.organizations
    limit = {"requests": UNLIMITED, "window": "1s", "share": 1}
    return {
        "api": {"base_url": base_url, "rate_limit": limit, "timeout": "500ms"},
        "polling": {"interval": "100ms"},
        "credentials": {"bench": {"api_key_env": "KEY", "api_secret_env": "SECRET"}},
        "organizations": [
            {
                "id": organization.id,
                "vaults": [{"id": vault.id} for vault in organization.vaults],
            }
        ],
    }


class _Scraping:
    """Scrapes a server again and again, in a thread, for as long as the context lasts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self._server.scrape(gzip=self.count % 2 == 0)
            self.count += 1


def _daemon_sample(server: Server, simulator: Simulator) -> Sample:
    pid = server.process.pid
    page = server.page()
    return {
        "requests": simulator.guard.arrivals,
        "memory, MiB (VmRSS)": server.memory(),
        "open files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": process_status(pid, "Threads"),
        "series of answers": held_series(page),
        "own series": sum(line.startswith("kraken_custody_api_") for line in page),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("polls", type=int)
    flags = parser.parse_args()
    # Events go to stderr, so that stdout has only the samples.
    configure("info", "logfmt")
    print(json.dumps(run(_play(flags.polls))))
