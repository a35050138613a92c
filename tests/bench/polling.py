"""The cost of polling: of one poll, of the daemon at the full budget, and while a million series are scraped."""

import asyncio
import contextlib
import dataclasses
import gc
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from exporter.app import favour_event_loop
from exporter.assembly import Exporter, World
from exporter.logs import configure
from exporter.resources.vault_balances import read_usual
from exporter.simulator.moods import body
from exporter.simulator.server import serve
from exporter.simulator.simulator import Simulator
from exporter.state.state import TargetState
from exporter.turns import at_once
from exporter.web.address import ListenAddress
from exporter.web.server import serving
from exporter.web.site import Site
from tests.bench.daemon import MIB, Server, held_series, running
from tests.bench.filled import (
    API_KEY,
    API_SECRET,
    NOON,
    NOWHERE,
    filled_exporter,
    portfolio_of,
    settings_document,
    settings_for,
)
from tests.bench.loop_watch import LoopWatch
from tests.bench.start import resident

REQUESTS, WINDOW_SECONDS = 200, 30.0
MILLION = 1_000_000
WARM_UP_SECONDS = 3.0
UNCOUNTED_REQUESTS = 5


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    print("| polling | |\n| --- | --- |")
    print(f"| a poll of 50 assets: parse, check, render, publish | {_poll_milliseconds():.2f} ms |")
    for name, value in {**_daemon(20 if quick else 90), **_scraped(20 if quick else 90)}.items():
        print(f"| {name} | {value} |")


def _poll_milliseconds() -> float:
    """Return the median processor time of everything between an answer's last byte and its exposition."""
    portfolio = portfolio_of(1)
    exporter = Exporter(settings_for(portfolio, NOWHERE), World())
    target = exporter.plan.targets[1]
    bodies = [
        bytearray(
            json.dumps(portfolio.vault_rows(target.id, NOON + moment, full_precision=True)).encode()
        )
        for moment in range(20)
    ]
    times = []
    for content in bodies * 20:
        began = time.process_time_ns()
        answer = at_once(read_usual(content))
        assert answer is not None
        exporter.store.put(
            TargetState(
                target,
                at_once(answer.expose(target, exporter.store.descriptions)),
                polls=1,
                last_success=NOON,
            )
        )
        times.append((time.process_time_ns() - began) / 1e6)
    return statistics.median(times)


def _daemon(seconds: float) -> dict[str, str]:
    """Run the daemon at the full documented budget, and return what it takes."""
    with tempfile.TemporaryDirectory() as folder, _simulator(100_000) as (base_url, _):
        file = Path(folder) / "config.yaml"
        document, environ = settings_document(portfolio_of(100_000), base_url, interval="20s")
        file.write_text(yaml.safe_dump(document))
        with running("--config.file", str(file), environ=environ) as daemon:
            time.sleep(10)
            share = daemon.share_of_a_core(seconds)
            for gzip in (False, True):
                daemon.scrape(gzip=gzip)
            memory, series = daemon.memory(), held_series(daemon.page())
    a_series = (memory - resident()) * MIB / series
    return {
        f"the daemon at {REQUESTS} requests in {WINDOW_SECONDS:g} s": f"{share:.1%} of a core",
        f"its memory then, scraped, with {series:,} series": f"{memory:.0f} MiB, "
        f"{a_series:.0f} bytes for each series above the empty daemon",
    }


def _scraped(seconds: float) -> dict[str, str]:
    """Scrape a million series in a loop while they are polled; return how the poller fared."""
    with _simulator(MILLION) as (base_url, stop_simulator):
        with reporting("exporter", str(MILLION), base_url) as (port, stop_exporter):
            server = Server(process=stop_exporter.process, port=int(port))
            scrapes: list[float] = []
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                scrapes.append(server.scrape(gzip=len(scrapes) % 2 == 0)[0])
            loop = stop_exporter()
        api = stop_simulator()
    used = api["arrivals"] / (REQUESTS * api["seconds"] / WINDOW_SECONDS)
    return {
        "scrapes of 1,000,000 series meanwhile": f"{len(scrapes)}, one after the other",
        "event loop held for at the most": f"{loop['longest_of_its_own'] * 1000:.1f} ms, "
        f"{loop['longest'] * 1000:.1f} ms with waits for a core that other processes had",
        "budget used meanwhile": f"{used:.1%}",
        "most requests in any window": f"{api['largest_window']} of {REQUESTS}",
    }


class _Stopper:
    """Stops a process of this module and returns its report."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def __call__(self) -> dict[str, float]:
        self.process.terminate()
        output, _ = self.process.communicate(timeout=60)
        report: dict[str, float] = json.loads(output)
        return report


@contextlib.contextmanager
def reporting(
    *arguments: str, module: str = "tests.bench.polling"
) -> Iterator[tuple[str, _Stopper]]:
    """Run `module` as a process; yields the line that it prints when ready, and a function that stops it."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip(), _Stopper(process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def _simulator(series: int) -> contextlib.AbstractContextManager[tuple[str, _Stopper]]:
    return reporting("simulator", str(series))


async def _run_simulator(series: int) -> None:
    arrivals: list[float] = []

    def arrive() -> float:
        arrivals.append(time.monotonic())
        return 0.0

    portfolio = portfolio_of(series)
    simulator = Simulator(
        portfolio=portfolio,
        api_key=API_KEY,
        api_secret=API_SECRET,
        wall=lambda: NOON,
        monotonic=time.monotonic,
        limit=REQUESTS,
        window=WINDOW_SECONDS,
        arrival_delay=arrive,
    )
    # Adding up a million invented balances would block the simulator for seconds.
    total = body(b'{"quote_asset": "USD", "balance": {"total": "1"}}', "application/json")
    simulator.moods[portfolio.organizations[0].id] = total
    async with serve(simulator.app) as base_url:
        print(base_url, flush=True)
        stop = stop_event()
        await stop.wait()
    # The very first request imports what it needs, and the next makes up for its lateness.
    counted = arrivals[UNCOUNTED_REQUESTS:]
    report = {
        "arrivals": len(counted) - 1,
        "seconds": counted[-1] - counted[0],
        "largest_window": simulator.guard.largest_window,
    }
    print(json.dumps(report), flush=True)


async def _run_exporter(series: int, base_url: str) -> None:
    portfolio = portfolio_of(series)
    settings = settings_for(portfolio, base_url, interval="20s")
    favour_event_loop()
    exporter = filled_exporter(portfolio, settings)
    # A state that the daemon never has.
    del portfolio
    gc.collect()
    site = Site(exporter, "/metrics")
    stop = stop_event()
    loop = LoopWatch()
    with ListenAddress("127.0.0.1", 0).listen() as listener:
        async with serving(site.app(), listener):
            polling = asyncio.create_task(exporter.poller.run())
            # The very first request imports what it needs, once.
            await asyncio.sleep(WARM_UP_SECONDS)
            print(listener.getsockname()[1], flush=True)
            await loop.watch(stop)
            polling.cancel()
            await asyncio.wait({polling})
    print(json.dumps(dataclasses.asdict(loop)), flush=True)


def stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


if __name__ == "__main__":
    # Events go to stderr, so that stdout has only the report.
    configure("error", "logfmt")
    if sys.argv[1] == "simulator":
        asyncio.run(_run_simulator(int(sys.argv[2])))
    else:
        asyncio.run(_run_exporter(int(sys.argv[2]), sys.argv[3]))
