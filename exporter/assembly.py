"""Builds the parts from settings; a reload rebuilds what the new settings change, as a whole or not at all."""

import asyncio
import functools
import gc
import math
import os
import platform
import random
import socket
import ssl
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Self
from uuid import uuid4

import httpx
from msgspec import Struct, field
from prometheus_client import CollectorRegistry

from exporter import __version__
from exporter.clocks import ClockWatch, Moment, boottime
from exporter.config import (
    ALL_CREDENTIALS,
    Api,
    ConfigError,
    CredentialSettings,
    LeaseSettings,
    Mistake,
    RateLimit,
    Secrets,
    Settings,
)
from exporter.coordination.coordinator import Coordinator, engine_of
from exporter.coordination.engine import Engine, EngineError
from exporter.coordination.keeper import Surroundings as AroundLease
from exporter.custody.auth import NonceBounds, Nonces
from exporter.custody.classify import Classifier
from exporter.custody.client import CustodyClient, Exchange, Reading, Surroundings
from exporter.custody.connecting import Connector
from exporter.custody.environment import EnvironmentMistakeError, trust
from exporter.custody.errors import Cleaner
from exporter.custody.transport import Find
from exporter.discovery.inventory import Inventory, inventory_of
from exporter.discovery.known import Known
from exporter.logs import hide_with
from exporter.metrics import catalog
from exporter.metrics.exposition import Exposition
from exporter.metrics.lines import Snapshot
from exporter.metrics.telemetry import Telemetry
from exporter.polling.budget import Budget, Usage
from exporter.polling.credential import (
    Credential,
    warn_of_open_files,
    warn_of_unusual_secret,
)
from exporter.polling.difference import Loaded, credential_names, difference_of
from exporter.polling.discoveries import log_discoveries
from exporter.polling.on_demand import OnDemand
from exporter.polling.parts import Parts
from exporter.polling.pause import Cause, Pause
from exporter.polling.plan import Plan, log_warnings, plan_of
from exporter.polling.poller import Poller
from exporter.polling.results import Results
from exporter.polling.schedule import Schedule
from exporter.polling.silence import Silence
from exporter.reload import Loading
from exporter.resources import RESOURCES, targets_of
from exporter.resources.lists import Listing
from exporter.resources.resource import Exposable
from exporter.resources.target import (
    Key,
    Part,
    Target,
    TargetChange,
    changes_between,
    in_parts,
)
from exporter.state.state import TargetState
from exporter.state.store import Renamed, Store
from exporter.status.model import ExporterStatus, Status
from exporter.status.reading import look_at
from exporter.turns import Steps, at_once, in_turns
from exporter.version import revision

LEASE_REMOVED = Mistake(
    ("lease",),
    "cannot be removed by a reload: a process that waits for it would poll beside this one. To go on without it, stop "
    "all of these processes and start one",
)
LONGEST_RATE_LIMIT_PAUSE_SECONDS = 300.0
FIRST_CREDENTIAL_PAUSE_SECONDS = 60.0
LONGEST_CREDENTIAL_PAUSE_SECONDS = 900.0
MANY_CHANGED = 1_000
"""Number of targets changed at once from which on all objects are exempted from garbage collection, as they stay."""


class World(Struct, frozen=True):
    """External dependencies: clocks, randomness and the network.

    monotonic: the event loop's clock, in seconds.
    boottime: the same, including the time that the machine sleeps.
    wall, wall_ns: Unix time in seconds and nanoseconds.
    chance: a random number from 0 up to 1.
    transport: carries requests, None for the real network.
    trust: loads the certificates to trust.
    engine: stores the lease, None for the configured engine.
    identity: name of this process in the lease.
    """

    monotonic: Callable[[], float] = time.monotonic
    boottime: Callable[[], float] = boottime
    wall: Callable[[], float] = time.time
    wall_ns: Callable[[], int] = time.time_ns
    chance: Callable[[], float] = random.random
    transport: httpx.AsyncBaseTransport | None = None
    trust: Callable[[Path | None], ssl.SSLContext] = trust
    engine: Callable[[LeaseSettings], Engine] | None = None
    identity: str = field(default_factory=lambda: f"{socket.gethostname()}-{uuid4().hex[:8]}")

    def engine_of(self, settings: LeaseSettings) -> Engine:
        """Return the engine of the lease. Raises EnvironmentMistakeError."""
        if self.engine is not None:
            return self.engine(settings)
        try:
            return engine_of(settings, os.environ, self.wall)
        except EngineError as error:
            raise EnvironmentMistakeError(str(error)) from None

    def moment(self) -> Moment:
        """Read all clocks."""
        return Moment(self.monotonic(), self.boottime(), self.wall())


def coordinator_of(
    settings: Settings, world: World, bounds: NonceBounds, changed: Callable[[], None]
) -> Coordinator:
    """Return the coordinator of the lease, if any, not running yet. Raises EnvironmentMistakeError.

    bounds: limits of all nonces, which it sets.
    changed: called when the lease may have begun or ended.
    """
    coordinator = Coordinator(
        world.identity, AroundLease(world.boottime, world.wall, bounds, changed)
    )
    engine = coordinator.prepare(settings.lease, world.engine_of)
    coordinator.change(settings.lease, settings.api.timeout, engine)
    return coordinator


class _Changes(NamedTuple):
    """A change of what is polled. parts: its steps. order: of all targets that are polled afterwards.

    renamed: see `Store.renamed`.
    """

    changed: Sequence[TargetChange]
    gone: Sequence[Target]
    parts: Sequence[Part]
    order: Sequence[Key]
    renamed: Mapping[Key, Renamed]


class Exporter:
    """All parts of the exporter; they outlive every reload.

    store: the states of the targets.
    poller: fills the store.
    loading: the result of loading the settings.
    """

    def __init__(self, settings: Settings, world: World, config_file: str | None = None) -> None:
        """Build all parts, not running yet. Raises ConfigError, SecretError and EnvironmentMistakeError."""
        files = _Files.of(settings, world)
        self._world = world
        self._known: Known = {}
        self._inventory = at_once(inventory_of(settings, self._known))
        plan = plan_of(settings, at_once(targets_of(self._inventory)))
        self._loaded = Loaded(settings, plan, files.secrets)
        # Reloads and lists change what is polled, one at a time.
        self._changing = asyncio.Lock()
        self._is_changing = False
        self._classifier = Classifier()
        cleaner = Cleaner()
        hide_with(cleaner.hide)
        self._connector = Connector(
            Nonces(world.wall_ns), cleaner, world.wall, world.boottime, world.transport
        )
        self._reading = Reading()
        self._telemetry = Telemetry({it.endpoint: it.foreseen for it in RESOURCES.values()})
        self.loading = Loading(config_file, world.wall)
        self.store = Store(
            self.plan.targets,
            stale_after=self.plan.stale_after,
            max_series=settings.polling.max_series,
        )
        self._exposition = Exposition(self, self._telemetry.registry)
        self._results = Results(self.store, self._telemetry, world.wall)
        self._began = world.boottime()
        self._coordinator = coordinator_of(
            settings, world, self._connector.nonces.bounds, self._look_at_lease
        )
        self._tenure = self._begun_tenure = self._coordinator.tenure
        # By credential, cause and end of a pause when this process last polled.
        self._set_aside: dict[str, tuple[Cause, float]] = {}
        now = world.monotonic()
        self._credentials = self._credentials_for(settings, files)
        in_flight = sum(
            credential.settings.max_in_flight for credential in self._credentials.values()
        )
        self._budget = _budget(settings.api.rate_limit, in_flight, now)
        self.parts = Parts(
            may_send=self._may_send,
            caught_up=self._begin_anew,
            nonce_refused=self._coordinator.nonce_refused,
            schedule=Schedule(self.plan.targets, now),
            credentials=self._credentials,
            requesters={kind: resource.requester() for kind, resource in RESOURCES.items()},
            budget=self._budget,
            pause_of_all=_rate_limit_pause(settings.api.rate_limit),
            usage=Usage(),
            results=self._results,
            on_answer=self._on_answer,
            waited=self._telemetry.waited,
            monotonic=world.monotonic,
            moment=world.moment,
            clocks=ClockWatch(world.moment()),
            chance=world.chance,
        )
        self.poller = Poller(self.parts)
        self._show()

    @property
    def plan(self) -> Plan:
        """The plan of the settings."""
        return self._loaded.plan

    @property
    def registry(self) -> CollectorRegistry:
        """The exporter's own metrics."""
        return self._telemetry.registry

    @property
    def is_ready(self) -> bool:
        """Whether polling has begun."""
        return self.poller.has_begun

    @property
    def is_active(self) -> bool:
        """Whether this process polls, and is not a standby."""
        return self._coordinator.is_active

    def trouble(self) -> str | None:
        """Return why polling makes no progress, None while it does."""
        return self.poller.trouble() or self._coordinator.trouble()

    async def run(self) -> None:
        """Poll until cancelled, while the lease allows it; then release the lease."""
        async with self._coordinator.running():
            await self.poller.run()

    @asynccontextmanager
    async def holding_lease(self) -> AsyncIterator[None]:
        """Hold the lease, if there is one, while the block runs. Raises LeaseHeldError if another process holds it."""
        async with self._coordinator.holding():
            yield

    def exposition(self) -> Exposition:
        """Return the current exposition."""
        self._bring_up_to_date()
        return self._exposition

    def snapshot(self) -> Snapshot:
        """Return the samples of targets; a standby has none."""
        is_shown = self._tenure is not None and self._has_begun_anew
        return self.store.snapshot() if is_shown else Snapshot(())

    def _bring_up_to_date(self) -> None:
        self._follow_lease()
        self.poller.bring_up_to_date()

    def _follow_lease(self) -> None:
        """Start or stop polling as the lease requires; polling always starts as after a start of the process."""
        now, tenure = self._world.monotonic(), self._coordinator.tenure
        if tenure == self._tenure:
            return
        was_active, self._tenure = self._tenure is not None, tenure
        self._set_pauses_aside(now, was_active=was_active)
        # The previous holder may have sent requests until now.
        in_flight = 0
        for credential in self._credentials.values():
            in_flight += credential.settings.max_in_flight
            credential.silence = Silence()
            if credential.own_budget:
                credential.own_budget.follow(credential.settings.max_in_flight, now)
        self._budget.follow(in_flight, now)
        self.poller.reconsider()

    @property
    def _has_begun_anew(self) -> bool:
        """Whether everything from before the lease last began or ended is forgotten."""
        return self._begun_tenure == self._tenure

    async def _begin_anew(self) -> None:
        """Forget everything from before the lease last began or ended, some targets at a time."""
        while not self._has_begun_anew:
            tenure = self._tenure
            async with self._changing:
                await in_turns(self.parts.schedule.restart(self._world.monotonic()))
                await in_turns(self.store.forget())
            self._begun_tenure = tenure

    def _set_pauses_aside(self, now: float, *, was_active: bool) -> None:
        """Drop all pauses, except this process's own ones if no other process has polled since."""
        pauses = {name: credential.pause for name, credential in self._credentials.items()}
        pauses[ALL_CREDENTIALS] = self.parts.pause_of_all
        if was_active:
            self._set_aside = {
                name: (pause.cause, pause.ends_at())
                for name, pause in pauses.items()
                if pause.cause is not None
            }
        left = self._set_aside if self.is_active and self._coordinator.is_resumed else {}
        for name, pause in pauses.items():
            pause.forget()
            if name in left and left[name][1] > now:
                cause, ends = left[name]
                # During a trial request a pause has no end.
                pause.begin(cause, now, now, ends - now if ends < math.inf else None)

    def _look_at_lease(self) -> None:
        self._follow_lease()
        self.poller.reconsider()

    def look(self) -> Callable[[], Status]:
        """Take a snapshot; return a function that builds the status from it, in any thread."""
        self._bring_up_to_date()
        now, loading = self._world.moment(), self.loading
        exporter = ExporterStatus(
            version=__version__,
            started_at=self._began + now.lead,
            config_file=loading.file,
            loaded_at=loading.at,
            load_error=loading.problem,
            is_ready=self.is_ready,
            trouble=self.trouble(),
            lease=self._coordinator.view(),
            shard=self._loaded.settings.shard,
        )
        inventory = self._inventory if self._loaded.settings.discovery else None
        return look_at(exporter, self.plan, self.parts, self.store, inventory, now)

    async def reload(self, settings: Settings) -> Plan:
        """Continue with other settings; return their plan. Raises as the constructor does, and then changes nothing.

        Counters stay, as do data and places of remaining targets; secrets and certificates are read again. A lease
        cannot be removed: the standby would take over, and two processes would send with the same keys.
        """
        if self._loaded.settings.lease is not None and settings.lease is None:
            raise ConfigError(self.loading.file or "configuration", [LEASE_REMOVED])
        files = await asyncio.to_thread(_Files.of, settings, self._world)
        engine = self._coordinator.prepare(settings.lease, self._world.engine_of)
        async with self._changing:
            known = self._known_after(files.secrets)
            inventory = await in_turns(inventory_of(settings, known))
            targets = await in_turns(targets_of(inventory))
            changes = await self._changes_to(targets)
            # For thousands of targets this would block the event loop for too long.
            plan = await asyncio.to_thread(plan_of, settings, targets)
            loaded = Loaded(settings, plan, files.secrets)
            credentials = self._credentials_for(settings, files)
            # From here on nothing can fail.
            retired = [credential.client for credential in self._credentials.values()]
            await self._apply(loaded, credentials, changes)
            self._keep(known, inventory)
            self._coordinator.change(settings.lease, settings.api.timeout, engine)
            self._look_at_lease()
        await asyncio.gather(*(client.close() for client in retired))
        return loaded.plan

    def _known_after(self, secrets: Mapping[str, Secrets]) -> Known:
        """Return what is known, with the names that credentials have with these secrets."""
        names = credential_names(self._secrets(), secrets)
        return {
            source._replace(credential=new): finds
            for new, old in names.items()
            for source, finds in self._known.items()
            if source.credential == old
        }

    def _keep(self, known: Known, inventory: Inventory) -> None:
        """Replace the inventory, and keep what is known of the lists that it still has."""
        self._inventory = inventory
        self._known = {source: known[source] for source in inventory.sources if source in known}

    async def _on_answer(self, answer: Exposable, is_current: Callable[[], bool]) -> bool:
        """Apply a list after other changes of what is polled are complete; return whether the answer was current.

        is_current: whether no reload has changed the answer's target meanwhile.
        """
        if not isinstance(answer, Listing):
            return True
        async with self._changing:
            if not is_current():
                return False
            if answer.source in self._inventory.sources:
                known = await in_turns(answer.merged_into(self._known, self._world.wall()))
                if known is not self._known:
                    await self._find(known)
        return True

    async def _find(self, known: Known) -> None:
        """Poll everything that is known now; other tasks run between the steps."""
        settings, before, old = self._loaded.settings, self._inventory, self.plan
        inventory = await in_turns(inventory_of(settings, known, before.held))
        targets = await in_turns(targets_of(inventory))
        changes = await self._changes_to(targets)
        plan = await asyncio.to_thread(plan_of, settings, targets)
        self._loaded = self._loaded._replace(plan=plan)
        self.store.plan(plan.stale_after, settings.polling.max_series)
        await in_turns(self._change(changes))
        self._keep(known, inventory)
        log_discoveries(changes.changed, changes.gone, before, inventory)
        if [it.credential for it in plan.shortages] != [it.credential for it in old.shortages]:
            log_warnings(plan)

    async def _changes_to(self, targets: Collection[Target]) -> _Changes:
        """Return the changes after which these targets are polled, with balances under their new names."""
        # Not the plan's targets: a defect may have kept some of them from the store.
        polled = [state.target for state in self.store.states()]

        def found() -> tuple[list[TargetChange], list[Target], list[Part], list[Key]]:
            changed, gone = changes_between(polled, targets)
            return changed, gone, in_parts(changed, gone), [target.key for target in targets]

        changed, gone, parts, order = await asyncio.to_thread(found)
        renamed = await in_turns(self.store.renamed(it.new for it in changed))
        return _Changes(changed, gone, parts, order, renamed)

    def _change(self, changes: _Changes) -> Steps[None]:
        """Poll other targets; yields after each part."""
        for changed, gone in changes.parts:
            self.store.change(changed, gone, renamed=changes.renamed)
            self.parts.schedule.change(changed, gone, self._world.monotonic())
            self.poller.reconsider()
            yield
        if len(changes.changed) >= MANY_CHANGED:
            gc.freeze()

    def _secrets(self) -> dict[str, Secrets]:
        """Return the secrets in use, which may have been re-read since the last load."""
        return {name: credential.secrets for name, credential in self._credentials.items()}

    async def _apply(
        self, loaded: Loaded, credentials: Mapping[str, Credential], changes: _Changes
    ) -> None:
        """Continue with what was loaded; requests in flight continue, and no other is sent until all is changed.

        credentials: those built for it. changes: of what is polled.
        """
        now, olds = self._world.monotonic(), dict(self._credentials)
        difference = difference_of(self._loaded._replace(secrets=self._secrets()), loaded)
        self._loaded = loaded
        self.store.plan(loaded.plan.stale_after, loaded.settings.polling.max_series)
        if limit := difference.rate_limit:
            self._budget.change(limit.budget, limit.window, now)
            pause, new = self.parts.pause_of_all, _rate_limit_pause(limit)
            pause.first, pause.longest = new.first, new.longest
        current, renewed = {}, set()
        set_aside, self._set_aside = self._set_aside, {}
        if ALL_CREDENTIALS in set_aside:
            self._set_aside[ALL_CREDENTIALS] = set_aside[ALL_CREDENTIALS]
        for change in difference.credentials:
            credential = credentials[change.new]
            if change.old is not None:
                olds[change.old].reload(credential, change, now)
                credential = olds[change.old]
                aside = set_aside.get(change.old)
                if aside and not change.ends_pause(is_lockout=aside[0].is_lockout):
                    self._set_aside[change.new] = aside
            current[change.new] = credential
            # A reload may follow a correction, perhaps at the API.
            if change.is_renewed or credential.pause.end_early(now):
                renewed.add(change.new)
        self._is_changing = True
        try:
            # Targets still to be changed belong to credentials that may have been renamed or removed by now.
            self._credentials.update(current)
            await in_turns(self._change(changes))
            await in_turns(self.parts.schedule.renew(renewed, now))
            self._credentials.clear()
            self._credentials.update(current)
            self.store.arrange(changes.order)
            self.parts.schedule.arrange(changes.order)
        finally:
            self._is_changing = False
            self.poller.reconsider()

    def _may_send(self) -> bool:
        is_ready = self._has_begun_anew and not self._is_changing
        return is_ready and self._coordinator.may_send()

    async def poll_now(self, ids: Collection[str]) -> OnDemand | None:
        """Poll these targets as soon as possible, or all that are failing or paused if `ids` is empty.

        Return the outcome, None if no target has one of the ids. Spaces within an id are ignored.
        """
        sought, states = {_squeezed(id_) for id_ in ids}, list(self.store.states())
        known = {_squeezed(state.target.id) for state in states} if sought else set()
        if not sought <= known:
            return None

        is_all_paused = self.parts.pause_of_all.is_active
        paused = {name for name, it in self._credentials.items() if it.pause.is_active}

        def is_wanted(state: TargetState) -> bool:
            if sought:
                return _squeezed(state.target.id) in sought
            is_paused = is_all_paused or state.target.credential in paused
            return is_paused or state.is_stale or state.failure is not None

        # For thousands of targets this would block the event loop for too long.
        wanted = await asyncio.to_thread(lambda: [it.target.key for it in states if is_wanted(it)])
        if not self.is_active:
            why = "this process is a standby", None
            return OnDemand(paused={why: len(wanted if sought else states)})
        return await self.poller.poll_now(wanted)

    def _credentials_for(self, settings: Settings, files: "_Files") -> dict[str, Credential]:
        surroundings = Surroundings(
            timeout=settings.api.timeout,
            id_format=settings.api.organization_id_format,
            classifier=self._classifier,
            observe=self._exchanged,
            reading=self._reading,
            monotonic=self._world.monotonic,
            wall=self._world.wall,
            may_send=self._coordinator.may_send,
        )
        return {
            name: self._credential(name, credential_settings, settings.api, files, surroundings)
            for name, credential_settings in settings.credentials.items()
        }

    def _credential(
        self,
        name: str,
        settings: CredentialSettings,
        api: Api,
        files: "_Files",
        surroundings: Surroundings,
    ) -> Credential:
        def connect(secrets: Secrets) -> CustodyClient:
            return self._connector.client(
                secrets,
                unit=settings.nonce,
                base_url=api.base_url,
                tls=files.tls,
                local_address=api.local_address,
                surroundings=surroundings,
                found=functools.partial(self._found, name),
            )

        secrets = files.secrets[name]
        own, now = settings.rate_limit, self._world.monotonic()
        return Credential(
            name=name,
            settings=settings,
            secrets=secrets,
            connect=connect,
            client=connect(secrets),
            pause=Pause(FIRST_CREDENTIAL_PAUSE_SECONDS, LONGEST_CREDENTIAL_PAUSE_SECONDS),
            own_budget=_budget(own, settings.max_in_flight, now) if own else None,
        )

    def _exchanged(self, exchange: Exchange) -> None:
        self._results.exchanged(exchange)
        self._coordinator.exchanged(is_answered=exchange.status is not None)

    def _found(self, credential: str, find: Find) -> None:
        self._results.unasked_answer(credential, find)
        for key in find.suspects:
            self.poller.suspect(key)

    def _lease_up(self) -> dict[str, float]:
        lease = self._coordinator.view()
        return {lease.name: not lease.problem} if lease else {}

    def _show(self) -> None:
        show = self._telemetry.show
        show(catalog.BUDGET_REQUESTS, lambda: self._budget.requests)
        show(catalog.BUDGET_WINDOW, lambda: self._budget.window)
        show(catalog.BUDGET_USED, lambda: self._budget.used(self._world.monotonic()))
        show(catalog.BUDGET_DEMAND, lambda: self.plan.demand_ratio)
        show(catalog.SERIES, lambda: self.store.series)
        show(catalog.RELOAD_SUCCESSFUL, lambda: self.loading.problem is None)
        show(catalog.RELOAD_TIMESTAMP, lambda: self.loading.at)
        show(catalog.ACTIVE, lambda: self._coordinator.is_active)
        each, credentials = self._telemetry.show_each, self._credentials
        each(
            catalog.API_PAUSED,
            lambda: {
                ALL_CREDENTIALS: self.parts.pause_of_all.is_active,
                **{name: credential.pause.is_active for name, credential in credentials.items()},
            },
        )
        each(catalog.LEASE_UP, self._lease_up)
        each(
            catalog.API_UNANSWERED,
            lambda: {name: credential.silence.requests for name, credential in credentials.items()},
        )
        each(
            catalog.API_KEY_SHARED,
            lambda: {
                name: credential.nonce_watch.says_shared(self._world.monotonic())
                for name, credential in credentials.items()
            },
        )
        self._telemetry.show_shard(*self._loaded.settings.shard)
        self._telemetry.show_build(__version__, revision(), platform.python_version())


class _Files(Struct, frozen=True):
    """The contents of the files that the settings name. tls: None for plain HTTP. secrets: by credential."""

    tls: ssl.SSLContext | None
    secrets: Mapping[str, Secrets]

    @classmethod
    def of(cls, settings: Settings, world: World) -> Self:
        """Read them, and warn about those that others can read. Call it outside the event loop: a file may hang.

        Raises ConfigError, SecretError and EnvironmentMistakeError.
        """
        api = settings.api
        # They take 25 ms and 2 MiB.
        tls = world.trust(api.ca_file) if api.is_encrypted else None
        secrets = {}
        for name, credential_settings in settings.credentials.items():
            secrets[name] = credential_settings.read()
            warn_of_open_files(name, credential_settings)
            warn_of_unusual_secret(name, secrets[name])
        return cls(tls, secrets)


def _squeezed(id_: str) -> str:
    return id_.replace(" ", "")


def _budget(limit: RateLimit, in_flight: int, now: float) -> Budget:
    return Budget(limit.budget, limit.window, in_flight=in_flight, now=now)


def _rate_limit_pause(limit: RateLimit) -> Pause:
    return Pause(limit.window, max(limit.window, LONGEST_RATE_LIMIT_PAUSE_SECONDS))
