"""A virtual world for the poller: time passes only when every task waits, and the API is the simulator."""

import asyncio
import base64
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple, Unpack

import httpx
import yaml

from exporter.assembly import Exporter, World
from exporter.config import parse
from exporter.custody.transport import ON_SEND
from exporter.resources.target import Target
from exporter.shard import WHOLE, Shard
from exporter.simulator.portfolio import Portfolio, large_portfolio
from exporter.simulator.simulator import Simulator
from exporter.state.state import TargetState
from tests.custody.asking import trust_nobody

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

API_KEY = "key-of-the-simulator"
API_SECRET = base64.b64encode(
    b"secret of the simulator, as long as those that Kraken hands out."
).decode()
OTHER_KEY = "another-key"
BEGINNING = 1_790_000_000.0
"""The wall clock's time at the start, in Unix seconds."""


class _VirtualSelector(selectors.SelectSelector):
    """Advances virtual time instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits for something that will never happen")
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[Arguments]], Result],
        *args: *Arguments,
    ) -> asyncio.Future[Result]:
        """Do the work of a thread at once: it takes real time, not virtual time."""
        del executor
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            done.set_exception(error)
        return done


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    """Return the virtual monotonic time."""
    return asyncio.get_running_loop().time()


class Wire(httpx.AsyncBaseTransport):
    """Carries requests to the simulator within the process, and records when they are sent.

    sent: every request, as (monotonic time, path). broken: a path's exception, raised once the request was sent.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._asgi = httpx.ASGITransport(simulator.app)
        self.sent: list[tuple[float, str]] = []
        self.broken: dict[str, Exception] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions[ON_SEND]()
        self.sent.append((now(), request.url.path))
        if request.url.path in self.broken:
            raise self.broken[request.url.path]
        return await self._asgi.handle_async_request(request)


def world(transport: httpx.AsyncBaseTransport, **others: Any) -> World:
    """Return a world in virtual time, without trusted certificates. others: replacements of its parts."""
    usual = {
        "monotonic": now,
        "boottime": now,
        "wall": lambda: BEGINNING + now(),
        "wall_ns": lambda: int((BEGINNING + now()) * 1e9),
        "chance": lambda: 0.5,
        "trust": trust_nobody,
    }
    return World(**usual | others, transport=transport)


@dataclass
class Stage:
    """A simulator, an exporter that polls it, and the requests between them."""

    simulator: Simulator
    wire: Wire
    exporter: Exporter
    document: Mapping[str, Any]
    environ: Mapping[str, str]
    directory: Path
    _polling: asyncio.Task[None] | None = field(default=None)

    async def play(self, seconds: float) -> None:
        """Let the exporter poll until `seconds` have passed."""
        if self._polling is None:
            self._polling = asyncio.create_task(self.exporter.poller.run())
        await asyncio.sleep(seconds)

    async def stop(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
            self._polling = None

    def target(self, vault: str) -> Target:
        return next(t for t in self.exporter.plan.targets if t.vault == vault)

    def state(self, vault: str) -> TargetState:
        return self.exporter.store[self.target(vault)]

    def vault_id(self, vault: str) -> str:
        return self.target(vault).id

    def path(self, vault: str) -> str:
        return f"/v0/insto/custody/vaults/{self.vault_id(vault)}/assets/balances"

    def times(self, vault: str) -> list[float]:
        """Return when requests for `vault` were sent."""
        return [moment for moment, path in self.wire.sent if path == self.path(vault)]

    def counted(self, name: str, **labels: str) -> float | None:
        """Return the value of one of the exporter's own metrics."""
        registry = self.exporter.registry
        # Thousands of questions, most of whose time it would take to collect all metrics for each.
        for family in registry.restricted_registry([name]).collect():
            for sample in family.samples:
                if sample.labels == labels:
                    return sample.value
        # Collectors that do not describe themselves are left out above.
        return registry.get_sample_value(name, labels)


def stage(
    *,
    vaults: int = 3,
    assets: int = 2,
    limit: tuple[int, float] = (200, 30.0),
    jitter: Callable[[], float] = lambda: 0.01,
    api: Mapping[str, object] | None = None,
    polling: Mapping[str, object] | None = None,
    credentials: Mapping[str, Mapping[str, object]] | None = None,
    credential_of: Callable[[int], str] = lambda _number: "main",
    clocks: Mapping[str, Callable[[], float]] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path = Path(),
    shard: Shard = WHOLE,
    wired: Callable[[Simulator], Wire] = Wire,
    discovery: Mapping[str, object] | None = None,
    organizations: Sequence[Mapping[str, object]] | None = None,
    portfolio: Portfolio | None = None,
    collect: Sequence[str] = ("balances",),
) -> Stage:
    """Return a stage with `vaults` vaults named v0, v1, …, each an organization's of its own credential.

    credential_of: the name of the credential for vault n; organizations are made for each name, and their totals are
    polled once a day only, so that a test sees the vaults' requests alone. discovery, organizations: those sections of
    the configuration, where they are given. portfolio: what the simulator has, in the place of so many vaults.
    collect: what is read of them. clocks: those of the world that are not the virtual one.
    """
    portfolio = portfolio or large_portfolio(vaults, assets)
    credentials = credentials or {"main": {}}
    secrets = {"KEY": API_KEY, "SECRET": API_SECRET, "OTHER_KEY": OTHER_KEY, **(environ or {})}
    simulator = Simulator(
        portfolio=portfolio,
        api_key=API_KEY,
        api_secret=API_SECRET,
        wall=lambda: BEGINNING,
        monotonic=now,
        limit=limit[0],
        window=limit[1],
        arrival_delay=jitter,
    )
    simulator.guard.secrets[OTHER_KEY] = API_SECRET
    document = {
        "api": {"base_url": "http://127.0.0.1", **(api or {})},
        "polling": {"interval": "60s", **(polling or {})},
        "credentials": {
            name: _source(number, source)
            for number, (name, source) in enumerate(credentials.items())
        },
        "organizations": [
            _organization(number, name, portfolio, credential_of)
            for number, name in enumerate(credentials)
        ]
        if organizations is None
        else organizations,
        "discovery": discovery,
        "collect": list(collect),
    }
    settings = parse(
        yaml.safe_dump(document, sort_keys=False),
        directory=directory,
        environ=secrets,
        shard=shard,
    )
    wire = wired(simulator)
    around = world(wire, **(clocks or {}))
    return Stage(simulator, wire, Exporter(settings, around), document, secrets, directory)


def _source(number: int, source: Mapping[str, object]) -> Mapping[str, object]:
    key = {} if "api_key_file" in source else {"api_key_env": "OTHER_KEY" if number else "KEY"}
    return {**key, "api_secret_env": "SECRET", **source}


def _organization(
    number: int, credential: str, portfolio: Portfolio, credential_of: Callable[[int], str]
) -> Mapping[str, object]:
    (known,) = portfolio.organizations
    return {
        # The simulator has one organization; the total of any other is refused, which does not matter here.
        "id": known.id if number == 0 else f"AAAA BBBB CCCC {number:04}",
        "name": f"org-{credential}",
        "interval": "1d",
        "credentials": credential,
        "vaults": [
            {"name": f"v{index}", "id": vault.id}
            for index, vault in enumerate(known.vaults)
            if credential_of(index) == credential
        ],
    }
