"""An exporter with stopped clocks and targets in every state, served for a browser."""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
from msgspec.structs import replace

from exporter.assembly import Exporter, World
from exporter.events import RecentEvents
from exporter.polling.budget import Usage
from exporter.polling.pause import Cause
from exporter.simulator import moods
from exporter.simulator.portfolio import Portfolio, large_portfolio
from exporter.state.history import History, PollResult
from exporter.state.state import Failure, TargetState
from exporter.web.access.control import Access
from exporter.web.address import ListenAddress
from exporter.web.server import serving
from exporter.web.site import Site
from tests.bench import filled
from tests.bench.page import poll_all
from tests.custody.asking import trust_nobody
from tests.exporting import exporter_of, simulator
from tests.resources.answers import row, vault_answer
from tests.simulator.calling import NOON, PORTFOLIO

MONOTONIC = 5000.0
REFUSAL = Cause("http/429", "EAPI:Rate limit exceeded")


class Scene:
    """An exporter that is served. Its clocks run while it polls once, then stop at `now`: seconds since noon."""

    def __init__(self, portfolio: Portfolio, access: Access) -> None:
        self.now: float | None = None
        began = time.monotonic()
        self._portfolio = portfolio
        denied = portfolio.organizations[0].vaults[1].id
        moods_of = {
            denied: moods.problem(403, "PermissionDenied", {"message": "Permission denied."})
        }
        self._transport = httpx.ASGITransport(simulator(portfolio=portfolio, moods=moods_of).app)

        def elapsed() -> float:
            return time.monotonic() - began if self.now is None else self.now

        world = World(
            monotonic=lambda: MONOTONIC + elapsed(),
            boottime=lambda: MONOTONIC + elapsed(),
            wall=lambda: NOON + elapsed(),
            transport=self._transport,
            trust=trust_nobody,
        )
        self.exporter = exporter_of("http://127.0.0.1:1", world, portfolio)
        self._access = access
        self._loop = asyncio.new_event_loop()
        self.url = ""

    def do(self, change: Callable[[Exporter], object]) -> None:
        """Change something in the exporter, in its event loop."""

        async def changed() -> None:
            change(self.exporter)

        asyncio.run_coroutine_threadsafe(changed(), self._loop).result(10)

    def state(self, vault: str) -> TargetState:
        return next(s for s in self.exporter.store.states() if s.target.vault == vault)

    def put(self, vault: str, **facts: Any) -> None:
        """Replace the state of a vault."""
        self.do(lambda exporter: exporter.store.put(replace(self.state(vault), **facts)))

    @contextlib.contextmanager
    def served(self) -> Iterator["Scene"]:
        async def begin() -> None:
            await self.exporter.poller.run_once(lambda _polled, _targets: None)
            self.now = 0.0

        site = Site(self.exporter, "/metrics", events=_happened())
        with served(site, self._loop, begin, self._access) as self.url:
            yield self


@contextlib.contextmanager
def served(
    site: Site,
    loop: asyncio.AbstractEventLoop,
    begin: Callable[[], Coroutine[Any, Any, None]],
    access: Access,
) -> Iterator[str]:
    """Serve `site` in a thread, in `loop`, once `begin` has ended; return its address."""
    ready, stop = threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        await begin()
        with ListenAddress("127.0.0.1", 0).listen() as listener:
            async with serving(site.app(), listener, access=access):
                urls.append(f"http://127.0.0.1:{listener.getsockname()[1]}")
                ready.set()
                await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


@contextlib.contextmanager
def many_vaults(vaults: int) -> Iterator[str]:
    """Serve an exporter of this many vaults, each tenth of which fails; return its address."""
    world = World(wall=lambda: filled.NOON, boottime=lambda: 0.0)
    exporter = Exporter(filled.settings_for(large_portfolio(vaults, 1), filled.NOWHERE), world)

    async def begin() -> None:
        poll_all(exporter, vault_answer(row(balance="1", quote_balance="65000.00")))

    with served(Site(exporter, "/metrics"), asyncio.new_event_loop(), begin, Access()) as url:
        yield url


@contextlib.contextmanager
def every_state(portfolio: Portfolio = PORTFOLIO, access: Access | None = None) -> Iterator[Scene]:
    """Serve an exporter two minutes after its first polls, with a target in each state and a pause."""
    with Scene(portfolio, access or Access()).served() as scene:
        names = [state.target.vault for state in scene.exporter.store.states()]
        _, _, denied, stale, waiting, *others = names
        assert scene.state(denied).failure
        scene.put(
            stale,
            balances=None,
            is_stale=True,
            failure=Failure("http/502", 502, "Bad Gateway", NOON - 1500),
            failed_polls=12,
            last_success=NOON - 1530,
            results=_results("http/502", 12),
        )
        scene.do(lambda exporter: exporter.store.put(TargetState(scene.state(waiting).target)))
        for vault in filter(None, others):
            scene.put(vault, results=_results("transport/timeout", 0), refresh_interval=60.02)
        scene.do(_schedule_next)
        scene.do(_fill_budget)
        scene.do(
            lambda exporter: exporter.parts.pause_of_all.begin(REFUSAL, MONOTONIC, MONOTONIC, 90.0)
        )
        scene.now = 12.0
        yield scene


def _happened() -> RecentEvents:
    """Return events that may have been logged in the night before."""
    events = RecentEvents(lambda: NOON - 86_400)
    of = {"kind": "vault", "org": PORTFOLIO.organizations[0].name, "vault": "staking"}
    trouble = {"type": "http/429", "message": REFUSAL.message, "credential": "all"}
    told: list[tuple[str, str, dict[str, Any]]] = [
        ("started", "info", {"targets": 12}),
        ("lease_acquired", "info", {"lease": "treasury", "holder": "host-a-1"}),
        ("vault_discovered", "info", {**of, "id": "VW44KPQC4C62K6"}),
        ("target_failing", "warn", {**of, "type": "http/502", "message": "Bad Gateway"}),
        ("polling_paused", "warn", {**trouble, "seconds": 30.0}),
        ("target_recovered", "info", {**of, "failed_polls": 12, "failing_seconds": 1500}),
    ]
    for number, (event, level, facts) in enumerate(told):
        ts = f"2026-11-21T03:{number:02}:00Z"
        events.keep({"event": event, "level": level, "ts": ts, **facts})
    return events


def _results(error: str, failed: int) -> History:
    """Return the results of twenty polls, a minute apart, of which the last `failed` failed."""
    return History.of(
        PollResult(
            NOON - 60 * (19 - number),
            error if number >= 20 - failed else None,
            0.042 + number / 1000,
        )
        for number in range(20)
    )


def _schedule_next(exporter: Exporter) -> None:
    """Schedule every target again, as if it had not been polled in a single round."""
    for number, entry in enumerate(exporter.parts.schedule.entries):
        later = MONOTONIC + 30 + number
        entry.move(replace(entry.place, due=later, ready_at=later))


def _fill_budget(exporter: Exporter) -> None:
    exporter.parts.budget.change(100, 30.0, MONOTONIC)
    usage = Usage()
    for number in range(120):
        usage.note(
            round(exporter.parts.budget.requests * (0.4 + 0.35 * math.sin(number / 9))),
            MONOTONIC - 595 + 5 * number,
        )
    exporter.parts = replace(exporter.parts, usage=usage)
