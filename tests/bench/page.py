"""How long the status page of 2,000 targets takes to make, and how long the event loop is held for it."""

import asyncio
import gc
import statistics
import time
from collections.abc import Callable

import httpx

from exporter.assembly import Exporter, World
from exporter.metrics.state import Failure, PollResult, TargetState
from exporter.simulator.portfolio import large_portfolio
from exporter.web.pages import Pages
from exporter.web.site import Site
from exporter.web.targets_json import targets_json
from exporter.web.view import View
from tests.bench.filled import NOON, NOWHERE, settings_for

TARGETS = 2000


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    exporter = Exporter(settings_for(large_portfolio(TARGETS - 1, 1), NOWHERE), World())
    # As the daemon does it when it starts.
    gc.collect()
    gc.freeze()
    _poll_all(exporter)
    pages = Pages("/metrics")
    status = exporter.status()
    cases: dict[str, Callable[[], object]] = {
        "in the event loop: to read how everything is": exporter.status,
        "beside it: the page": lambda: pages.status(status, View()).encode(),
        "the page, filtered to 1 target": lambda: pages.status(status, View(text="vault-1234")),
        "`/api/v1/targets`": lambda: targets_json(status),
    }
    print(f"| {TARGETS} targets | median | worst |\n| --- | --- | --- |")
    for name, make in cases.items():
        times = [_milliseconds(make) for _ in range(20 if quick else 100)]
        print(f"| {name} | {statistics.median(times):.1f} ms | {max(times):.1f} ms |")
    held = asyncio.run(_held(Site(exporter, "/metrics"), 5 if quick else 30))
    print(
        f"| the event loop held, both asked for in a loop | {statistics.median(held):.1f} ms | {max(held):.1f} ms |"
    )


def _poll_all(exporter: Exporter) -> None:
    """Let every target have been polled twenty times; each tenth fails."""
    for number, target in enumerate(exporter.plan.targets):
        failure = None if number % 10 else Failure("http/502", 502, "Bad Gateway", NOON)
        errors = [failure.type if failure and turn > 15 else None for turn in range(20)]
        exporter.store.put(
            TargetState(
                target,
                polls=20,
                failure=failure,
                last_success=NOON,
                rows=50,
                refresh_interval=30.0,
                results=tuple(
                    PollResult(NOON + 30 * turn, error, 0.1 + turn / 1000)
                    for turn, error in enumerate(errors)
                ),
            )
        )


async def _held(site: Site, seconds: float) -> list[float]:
    """Return for how many milliseconds the event loop was held, in each tenth of a second."""
    held: list[float] = []
    stop = asyncio.Event()

    async def watch() -> None:
        while not stop.is_set():
            longest, until = 0.0, time.perf_counter() + 0.1
            while (before := time.perf_counter()) < until:
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before - 0.001)
            held.append(longest * 1000)

    watching = asyncio.create_task(watch())
    transport = httpx.ASGITransport(site.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await client.get("/")
            await client.get("/api/v1/targets")
    stop.set()
    await watching
    return held


def _milliseconds(make: Callable[[], object]) -> float:
    began = time.perf_counter()
    make()
    return (time.perf_counter() - began) * 1000
