"""Several exporters with one lease in virtual time: an API that counts requests, an engine, and faults between them.

A stopped process is like one after SIGSTOP: nothing in it continues, but time does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from msgspec.structs import replace

from exporter.assembly import Exporter, World
from exporter.config import Settings, parse
from exporter.coordination.engine import EngineError, Found, Record
from exporter.custody.transport import ON_SEND
from tests.coordination.shelf import DURATION, TIMEOUT, Shelf
from tests.custody.asking import trust_nobody
from tests.polling.world import API_KEY, API_SECRET, BEGINNING, now
from tests.resources.answers import ORGANIZATION_EXAMPLE, VAULT_EXAMPLE

SECONDS_ON_THE_WAY: Final = 0.05
LIMIT: Final = 20
WINDOW: Final = 30.0
GAP: Final = WINDOW / (LIMIT - 1)
VAULTS: Final = ("VABCDEF234567A", "VW44KPQC4C62K6")


@dataclass
class Sent:
    """One request. checked: when it was decided that it may be sent; arrived, ended: None if it has not."""

    process: str
    nonce: int
    checked: float
    arrived: float | None = None
    ended: float | None = None
    is_refused: bool = False

    @property
    def was_stopped(self) -> bool:
        """Whether its process was stopped between the check and the send."""
        return self.arrived is not None and self.arrived - self.checked > 2 * SECONDS_ON_THE_WAY


class Api:
    """Answers requests with increasing nonces. refuses: number of other requests to refuse."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.refuses = 0
        self._last_nonce = 0

    def arrive(self, sent: Sent, path: str) -> str:
        sent.arrived = now()
        sent.is_refused = sent.nonce <= self._last_nonce
        if self.refuses:
            self.refuses -= 1
            sent.is_refused = True
        if sent.is_refused:
            return '{"error": ["EAPI:Invalid nonce"]}'
        self._last_nonce = sent.nonce
        return VAULT_EXAMPLE if "/vaults/" in path else ORGANIZATION_EXAMPLE

    def fullest_window(self, counts: Callable[[Sent], bool] = lambda _sent: True) -> int:
        """Return the most arrivals of any sliding window."""
        arrivals = sorted(it.arrived for it in self.sent if it.arrived is not None and counts(it))
        return max(
            (sum(first <= it <= first + WINDOW for it in arrivals) for first in arrivals), default=0
        )


@dataclass
class Process:
    """One exporter, and what is between it and the world.

    ahead: seconds by which its wall clock is. stopped_until, cut_from_engine_until, cut_from_api_until: virtual time.
    stops_before_sending: for how long the next request is stopped after the check. is_dead: whether it was killed.
    missed: seconds that its machine's clocks know nothing of. hung_up: how often it closed those to an engine.
    """

    name: str
    api: Api
    shelf: Shelf
    ahead: float = 0.0
    stopped_until: float = 0.0
    cut_from_engine_until: float = 0.0
    cut_from_api_until: float = 0.0
    stops_before_sending: float = 0.0
    is_dead: bool = False
    missed: float = 0.0
    hung_up: int = 0
    exporter: Exporter = field(init=False)
    running: asyncio.Task[None] | None = None

    def wall(self) -> float:
        return BEGINNING + now() + self.ahead - self.missed

    def boottime(self) -> float:
        return now() - self.missed

    async def go_on(self) -> None:
        """Wait until the process is not stopped."""
        while now() < self.stopped_until:  # noqa: ASYNC110 - it may be stopped anew
            await asyncio.sleep(self.stopped_until - now())

    async def reach(self, until: Callable[[], float]) -> None:
        """Wait until a message arrives; never return if the line is cut."""
        await asyncio.sleep(SECONDS_ON_THE_WAY)
        if now() < until():
            await asyncio.Event().wait()

    async def start(self) -> None:
        self.running = asyncio.create_task(self.exporter.run())

    async def stop(self) -> None:
        """Stop as SIGTERM does."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            self.running = None

    async def kill(self) -> None:
        """Stop as SIGKILL does: the lease is not released."""
        self.is_dead = True
        await self.stop()

    @property
    def is_active(self) -> bool:
        return self.exporter.is_active

    def targets(self) -> int:
        """Return how many targets have samples in what a scrape gets."""
        return exposed(self.exporter).count("kraken_custody_target_up{")


def exposed(exporter: Exporter) -> str:
    from exporter.metrics.negotiation import Format  # noqa: PLC0415 - for its readers only

    return b"".join(exporter.exposition().plain(Format.TEXT_0_0_4)).decode()


class Line:
    """The engine as one process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def _reach(self) -> None:
        if self._process.is_dead:
            raise EngineError("nothing is asked for any more")
        await self._process.reach(lambda: self._process.cut_from_engine_until)
        if self._process.shelf.is_away:
            raise EngineError("the engine is away")

    async def read(self) -> Found:
        await self._process.go_on()
        await self._reach()
        found = self._process.shelf.found()
        await self._reach()
        await self._process.go_on()
        return found

    async def swap(self, found: Found, record: Record) -> bool:
        await self._process.go_on()
        await self._reach()
        is_written = self._process.shelf.put(found, record)
        await self._reach()
        await self._process.go_on()
        return is_written

    async def close(self) -> None:
        self._process.hung_up += 1


class Wire(httpx.AsyncBaseTransport):
    """The API as one process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        process = self._process
        await process.go_on()
        request.extensions[ON_SEND]()
        sent = Sent(process.name, int(request.headers["api-nonce"]), now())
        process.api.sent.append(sent)
        try:
            if process.stops_before_sending:
                process.stopped_until = now() + process.stops_before_sending
                process.stops_before_sending = 0.0
                # Whatever ends the request, a process that continues sends it first.
                arriving = asyncio.create_task(self._arrive(sent, request))
                return await asyncio.shield(arriving)
            return await self._arrive(sent, request)
        finally:
            sent.ended = now()

    async def _arrive(self, sent: Sent, request: httpx.Request) -> httpx.Response:
        await self._process.go_on()
        await self._process.reach(lambda: self._process.cut_from_api_until)
        body = self._process.api.arrive(sent, request.url.path)
        await self._process.reach(lambda: self._process.cut_from_api_until)
        await self._process.go_on()
        return httpx.Response(200, stream=httpx.ByteStream(body.encode()))


def settings(lease: dict[str, Any] | None = None, **api: Any) -> Settings:
    document = {
        "api": {
            "base_url": "http://127.0.0.1",
            "timeout": f"{TIMEOUT:g}s",
            "rate_limit": {"requests": LIMIT, "window": f"{WINDOW:g}s", "share": 1},
            **api,
        },
        "polling": {"interval": "2s"},
        "credentials": {"main": {"api_key_env": "KEY", "api_secret_env": "SECRET"}},
        "lease": lease or {"kind": "kubernetes", "duration": f"{DURATION:g}s"},
        "organizations": [
            {"id": "ABCD EFGH IJKL MNOP", "interval": "1d", "vaults": [{"id": it} for it in VAULTS]}
        ],
    }
    environ = {"KEY": API_KEY, "SECRET": API_SECRET}
    return parse(yaml.safe_dump(document), directory=Path(), environ=environ)


def process(
    name: str, api: Api, shelf: Shelf, *, ahead: float = 0.0, has_lease: bool = True
) -> Process:
    """Return an exporter that does not run yet."""
    made = Process(name, api, shelf, ahead)
    made.exporter = Exporter(
        settings() if has_lease else replace(settings(), lease=None),
        World(
            monotonic=now,
            boottime=made.boottime,
            wall=made.wall,
            wall_ns=lambda: int(made.wall() * 1e9),
            chance=lambda: 0.5,
            transport=Wire(made),
            trust=trust_nobody,
            engine=lambda _settings: Line(made),
            identity=name,
        ),
    )
    return made


@asynccontextmanager
async def company(
    *names: str, aheads: Sequence[float] = (), shelf: Shelf | None = None
) -> AsyncIterator[list[Process]]:
    """Lend exporters that run, at an engine in which the lease was given up. aheads: of their wall clocks."""
    api, shelf = Api(), shelf or Shelf()
    if shelf.record is None:
        shelf.record = Record("", 0, 0, int(DURATION), 0.0)
    made = [
        process(name, api, shelf, ahead=ahead)
        for name, ahead in zip(names, [*aheads, *[0.0] * len(names)], strict=False)
    ]
    try:
        for it in made:
            await it.start()
            # The first has the lease.
            await asyncio.sleep(1.0)
        yield made
    finally:
        for it in made:
            await it.kill()
