"""Builds the parts from the settings, runs them, and stops them."""

import asyncio
import functools
import gc
import platform
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from prometheus_client import CollectorRegistry

from exporter import __version__
from exporter.config import CredentialSource, Secrets, Settings
from exporter.custody.auth import KeyAuth, Nonce, secret_texts
from exporter.custody.classify import Classifier
from exporter.custody.client import CustodyClient, Surroundings
from exporter.custody.connections import Connections, http_client, trust
from exporter.custody.errors import cleaner
from exporter.custody.vault_query import VaultQuery
from exporter.logs import get_logger
from exporter.metrics import catalog
from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import Format
from exporter.metrics.store import Store
from exporter.metrics.telemetry import Telemetry
from exporter.polling.budget import Budget
from exporter.polling.gate import Gate
from exporter.polling.lane import Lane
from exporter.polling.plan import Plan, plan_of
from exporter.polling.poller import Parts, Poller
from exporter.polling.results import Results
from exporter.polling.schedule import Schedule
from exporter.version import revision
from exporter.web.address import ListenAddress
from exporter.web.server import serving
from exporter.web.site import Site

log = get_logger()

LONGEST_RATE_LIMIT_PAUSE_SECONDS = 300.0
FIRST_CREDENTIAL_PAUSE_SECONDS = 60.0
LONGEST_CREDENTIAL_PAUSE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Exporter:
    """The parts that work together, not running yet."""

    plan: Plan
    store: Store
    telemetry: Telemetry
    poller: Poller

    @property
    def registry(self) -> CollectorRegistry:
        """The exporter's own metrics."""
        return self.telemetry.registry


@dataclass(frozen=True, slots=True)
class World:
    """What the exporter takes from outside: time, chance and the network.

    monotonic: the event loop's own clock, in seconds. wall, wall_ns: Unix time in seconds and nanoseconds. chance: a
    number from 0 up to 1, anew at each call. transport: what carries requests, None for the real network.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    wall_ns: Callable[[], int] = time.time_ns
    chance: Callable[[], float] = random.random
    transport: httpx.AsyncBaseTransport | None = None


def assemble(settings: Settings, world: World) -> Exporter:
    """Build all parts. Raises SecretError where a secret file has become unusable since it was checked."""
    plan = plan_of(settings)
    telemetry = Telemetry()
    store = Store(
        plan.targets,
        stale_after=settings.polling.stale_after,
        max_series=settings.polling.max_series,
    )
    limit = settings.api.rate_limit
    lanes = _lanes(settings, telemetry, world)
    budget = Budget(
        limit.budget,
        limit.window,
        in_flight=sum(lane.source.max_in_flight for lane in lanes.values()),
        now=world.monotonic(),
    )
    poller = Poller(
        Parts(
            schedule=Schedule(plan.targets, world.monotonic()),
            lanes=lanes,
            budget=budget,
            gate=Gate(limit.window, max(limit.window, LONGEST_RATE_LIMIT_PAUSE_SECONDS)),
            results=Results(store, telemetry, world.wall),
            waited=telemetry.waited,
            monotonic=world.monotonic,
            chance=world.chance,
        )
    )
    telemetry.show(catalog.BUDGET_REQUESTS, budget.requests)
    telemetry.show(catalog.BUDGET_WINDOW, budget.window)
    telemetry.show(catalog.BUDGET_USED, lambda: budget.used(world.monotonic()))
    telemetry.show(catalog.BUDGET_DEMAND, plan.demand_ratio)
    telemetry.show(catalog.SERIES, lambda: store.series)
    telemetry.show(catalog.RELOAD_SUCCESSFUL, 1)
    telemetry.show(catalog.RELOAD_TIMESTAMP, world.wall())
    telemetry.show_build(__version__, revision(), platform.python_version())
    return Exporter(plan, store, telemetry, poller)


def _lanes(settings: Settings, telemetry: Telemetry, world: World) -> dict[str, Lane]:
    surroundings = Surroundings(
        timeout=settings.api.timeout,
        id_format=settings.api.organization_id_format,
        classifier=Classifier(),
        vault_query=VaultQuery(),
        observe=telemetry.exchanged,
        monotonic=world.monotonic,
        wall=world.wall,
    )
    tls = trust(settings.api.ca_file)

    def lane(name: str, source: CredentialSource) -> Lane:
        nonce = Nonce(source.nonce, world.wall_ns)
        new_http = functools.partial(
            http_client, settings.api.base_url, tls, source.max_in_flight, world.transport
        )

        def connect(secrets: Secrets) -> CustodyClient:
            auth = KeyAuth(secrets, nonce, world.wall)
            return CustodyClient(
                Connections(new_http), auth, cleaner(*secret_texts(secrets)), surroundings
            )

        secrets = source.read()
        own = source.rate_limit
        return Lane(
            name=name,
            source=source,
            secrets=secrets,
            connect=connect,
            client=connect(secrets),
            gate=Gate(FIRST_CREDENTIAL_PAUSE_SECONDS, LONGEST_CREDENTIAL_PAUSE_SECONDS),
            own_budget=Budget(
                own.budget, own.window, in_flight=source.max_in_flight, now=world.monotonic()
            )
            if own
            else None,
        )

    return {name: lane(name, source) for name, source in settings.credentials.items()}


async def serve(settings: Settings, address: ListenAddress, telemetry_path: str) -> None:
    """Poll and serve until SIGTERM or SIGINT. Raises ListenError and SecretError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with address.listen() as listener:
        exporter = assemble(settings, World())
        site = Site(exporter.store, exporter.registry, exporter.poller, telemetry_path)
        # What was imported is there to stay; left out, it would hold the loop for 30 ms at each full collection.
        gc.freeze()
        async with serving(site.app(), listener) as server:
            _log_start(exporter.plan, listener, telemetry_path)
            polling = asyncio.create_task(exporter.poller.run())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((server, polling, stopping), return_when=asyncio.FIRST_COMPLETED)
            for task in (polling, stopping):
                task.cancel()
            await asyncio.gather(polling, stopping, return_exceptions=True)
    log.info("stopped")


def _log_start(plan: Plan, listener: socket.socket, telemetry_path: str) -> None:
    host, port = listener.getsockname()[:2]
    # Every interface has no address that could be opened.
    reachable = ListenAddress("localhost" if host in ("::", "0.0.0.0") else host, port)  # noqa: S104 - read, not bound
    log.info(
        "started",
        version=__version__,
        targets=len(plan.targets),
        page=f"http://{reachable}/",
        metrics=f"http://{reachable}{telemetry_path}",
    )
    if plan.demand_ratio > 1:
        log.warning(
            "budget_too_small",
            demanded_requests_per_second=round(plan.demand, 3),
            budgeted_requests_per_second=round(plan.rate, 3),
            intervals_stretched_by=round(plan.demand_ratio, 2),
        )


async def poll_once(settings: Settings) -> tuple[str, bool]:
    """Poll every target once; return the exposition, and whether every poll succeeded."""
    from tqdm import tqdm  # noqa: PLC0415 - only this way of running needs it, and every start would pay

    exporter = assemble(settings, World())
    # disable=None: no bar where stderr is not a terminal.
    with tqdm(
        total=len(exporter.plan.targets), unit="target", file=sys.stderr, disable=None
    ) as bar:
        await exporter.poller.run_once(lambda polled: bar.update(polled - bar.n))
    page = b"".join(Exposition(exporter.store, exporter.registry).plain(Format.TEXT_0_0_4))
    succeeded = all(state.polls and not state.failure for state in exporter.store.states())
    return page.decode(), succeeded
