"""How long pages and balances of 2,000 targets take, and how long they block the event loop."""

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable

import httpx

from exporter.app import favour_event_loop
from exporter.assembly import Exporter, World
from exporter.resources.vault_balances import BALANCES, VaultBalances
from exporter.simulator.portfolio import large_portfolio
from exporter.state.history import History, PollResult
from exporter.state.state import Failure, TargetState
from exporter.web.balances import Wanted, balances_csv, balances_json
from exporter.web.pages import Pages
from exporter.web.site import Site
from exporter.web.targets_json import targets_json
from exporter.web.view import View
from tests.bench.filled import NOON, NOWHERE, settings_for
from tests.bench.loop_watch import TICK_SECONDS, LoopWatch
from tests.resources.answers import exposed, vault_balances

TARGETS = 2000
ASSETS = 10
"""Of each vault."""


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    # The balances stay fresh.
    world = World(wall=lambda: NOON, boottime=lambda: 0.0)
    exporter = Exporter(settings_for(large_portfolio(TARGETS - 1, ASSETS), NOWHERE), world)
    default = sys.getswitchinterval()
    gc.collect()
    # As the daemon does at its start.
    favour_event_loop()
    poll_all(exporter, vault_balances([row_of(number) for number in range(ASSETS)]))
    pages = Pages("/metrics")
    status = exporter.look()()
    targets = json.loads(b"".join(targets_json(status, View())))["data"]["targets"]
    cases: dict[str, Callable[[], object]] = {
        "in the event loop: to read how everything is": exporter.look,
        "beside it: the page": lambda: pages.status(status, View()).encode(),
        "the page, filtered to 1 target": lambda: pages.status(status, View(text="vault-1234")),
        "the page of the organization": lambda: pages.target(status, status.targets[0]).encode(),
        "`/api/v1/balances`": lambda: list(balances_json(status, Wanted())),
        "the same as CSV": lambda: list(balances_csv(status, Wanted())),
        "`/api/v1/targets`": lambda: list(targets_json(status, View())),
        "its targets encoded in one call, which would hold the event loop": lambda: json.dumps(
            targets
        ),
    }
    print(f"| {TARGETS} targets | median | worst |\n| --- | --- | --- |")
    for name, make in cases.items():
        times = [_milliseconds(make) for _ in range(20 if quick else 100)]
        print(f"| {name} | {statistics.median(times):.1f} ms | {max(times):.1f} ms |")
    held = asyncio.run(_held(Site(exporter, "/metrics"), 5 if quick else 30))
    what = "the event loop held, page, targets and balances asked for in a loop"
    print(f"| {what} | {statistics.median(held):.1f} ms | {max(held):.1f} ms |")
    page = cases["beside it: the page"]
    late = [asyncio.run(_lateness(page)) for _ in range(20)]
    sys.setswitchinterval(default)
    late_by_default = [asyncio.run(_lateness(page)) for _ in range(20)]
    collection = _milliseconds(gc.collect)
    gc.unfreeze()
    print(
        f"\nWhile a page is made, the event loop comes round {statistics.median(late):.1f} ms late, with Python's own "
        f"switch interval {statistics.median(late_by_default):.1f} ms. A full garbage collection takes "
        f"{collection:.0f} ms, without gc.freeze {_milliseconds(gc.collect):.0f} ms."
    )


async def _lateness(make: Callable[[], object]) -> float:
    """Return how many milliseconds late the event loop is on average while something is made in a thread."""
    making = asyncio.get_running_loop().run_in_executor(None, make)
    late: list[float] = []
    while not making.done():
        before = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        late.append(time.perf_counter() - before - TICK_SECONDS)
    return statistics.mean(late) * 1000


def poll_all(exporter: Exporter, answer: VaultBalances | None = None) -> None:
    """Record twenty polls of every target, of which each tenth fails. answer: of each vault, if it has balances."""
    moment = exporter.parts.moment()
    for number, target in enumerate(exporter.plan.targets):
        failure = None if number % 10 else Failure("http/502", 502, "Bad Gateway", NOON)
        errors = [failure.type if failure and turn > 15 else None for turn in range(20)]
        exporter.store.put(
            TargetState(
                target,
                polls=20,
                balances=exposed(target, answer) if answer and target.vault else None,
                read_at=moment.boottime,
                failure=failure,
                last_success=moment.wall,
                rows=ASSETS,
                refresh_interval=30.0,
                results=History.of(
                    PollResult(NOON + 30 * turn, error, 0.1 + turn / 1000)
                    for turn, error in enumerate(errors)
                ),
            )
        )


def row_of(number: int) -> dict[str, object]:
    """Return a row of an answer with every amount that the API may send."""
    fields = [it.metric.source for it in BALANCES]
    amounts = {field: f"{number + place}.0123456789" for place, field in enumerate(fields)}
    return {"asset": f"A{number}", "asset_class": "currency", "name": f"Asset {number}", **amounts}


async def _held(site: Site, seconds: float) -> list[float]:
    """Return for how many milliseconds the event loop was blocked, in each tenth of a second."""
    held: list[float] = []
    stop = asyncio.Event()

    async def watch() -> None:
        while not stop.is_set():
            one, over = LoopWatch(), asyncio.Event()
            watching = asyncio.create_task(one.watch(over))
            await asyncio.sleep(0.1)
            over.set()
            await watching
            held.append(one.longest_of_its_own * 1000)

    watching = asyncio.create_task(watch())
    transport = httpx.ASGITransport(site.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await client.get("/")
            await client.get("/api/v1/targets")
            await client.get("/api/v1/balances")
    stop.set()
    await watching
    return held


def _milliseconds(make: Callable[[], object]) -> float:
    # Processor time: how long other processes have the core does not depend on the page.
    began = time.thread_time()
    make()
    return (time.thread_time() - began) * 1000
