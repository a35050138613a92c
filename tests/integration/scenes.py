"""Plays faults to a real exporter, many at once, and records its expositions and log."""

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families as read_text
from starlette.requests import Request
from starlette.types import ASGIApp

from exporter.simulator.moods import Mood, calm
from exporter.simulator.portfolio import Organization, Portfolio, Vault, invented_vault_id
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from tests.exporting import configuration, simulator, write
from tests.integration.faults import MAX_SERIES, Fault, Oddity
from tests.integration.gateway import Certificate, Gateway, Showcase, listening
from tests.processes import Running, running
from tests.simulator.calling import API_SECRET, NOON, VAULT, Clock
from tests.waiting import until

CALM: Final = "calm"
"""The vault without a fault, and the organization that it and most others are in."""
HOURS: Final = 3600.0
DEADLINE_SECONDS: Final = 120.0


class Scrape:
    """The result of one scrape."""

    def __init__(self, text: str) -> None:
        # Not splitlines(), which splits at more characters than the format does.
        self._lines = text.split("\n")

    def samples(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each sample of a metric with these labels."""
        lines = [line for line in self._lines if line.startswith(name + "{")]
        return [
            (sample.labels, sample.value)
            for family in read_text("\n".join(lines) + "\n")
            for sample in family.samples
            if sample.labels.items() >= labels.items()
        ]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the only sample, None if there is none."""
        found = self.samples(name, **labels)
        assert len(found) <= 1
        return found[0][1] if found else None

    def of(self, vault: str) -> "Scrape":
        """Return the part about a vault."""
        return Scrape("\n".join(line for line in self._lines if f'vault="{vault}"' in line))

    def balances(self) -> frozenset[str]:
        """Return the sample lines of all balances."""
        names = ("kraken_custody_vault_", "kraken_custody_organization_")
        configured = "kraken_custody_vault_min_available_balance"
        return frozenset(
            line
            for line in self._lines
            if line.startswith(names) and not line.startswith(configured)
        )


@dataclass(kw_only=True)
class Record:
    """The record of a scene.

    before: after everything was well once. during: by vault, when its fault had shown often enough. after: at the end,
    without the faults. events: the log. asked: requests by vault during its fault.
    """

    before: Scrape
    during: dict[str, Scrape] = field(default_factory=dict)
    after: Scrape
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: Mapping[str, int] = field(default_factory=dict)

    def named(self, event: str, **fields: str) -> list[dict[str, Any]]:
        """Return the events of a name with these fields."""
        return [
            found
            for found in self.events
            if found["event"] == event and found.items() >= fields.items()
        ]


class Asked:
    """A mood that counts its requests."""

    def __init__(self, mood: Mood) -> None:
        self._mood = mood
        self.times: list[float] = []

    async def __call__(self, request: Request) -> ASGIApp | None:
        self.times.append(time.monotonic())
        return await self._mood(request)


def portfolio_of(faults: Iterable[Fault | Oddity]) -> Portfolio:
    """Return a portfolio with one vault for each fault, in a separate organization if its key pauses."""
    shared = [Vault(invented_vault_id(1), CALM, VAULT.holdings)]
    own = []
    for number, fault in enumerate(faults, 2):
        vault = Vault(invented_vault_id(number), fault.situation, VAULT.holdings)
        if isinstance(fault, Fault) and fault.pauses:
            own.append(Organization(f"FALT OWNK EYOR {number:04d}", fault.situation, (vault,)))
        else:
            shared.append(vault)
    return Portfolio((Organization("FALT SHRD KEYO 0001", CALM, tuple(shared)), *own))


def documented(
    directory: Path, base_url: str, simulated: Simulator, timeout: str
) -> dict[str, Any]:
    """Return a configuration that has a key for each organization; the simulator knows them all."""
    document = configuration(base_url, portfolio=simulated.portfolio, interval="500ms")
    document["polling"]["max_series"] = MAX_SERIES
    document["api"]["timeout"] = timeout
    (directory / "secret").write_text(API_SECRET)
    document["credentials"] = {}
    for number, organization in enumerate(document["organizations"]):
        key = f"key-{number}"
        (directory / key).write_text(key)
        simulated.guard.secrets[key] = API_SECRET
        source = {"api_key_file": key, "api_secret_file": "secret"}
        document["credentials"][organization["name"]] = source
        organization["credentials"] = organization["name"]
    return document


def failed_requests(exporter: Running) -> Counter[str]:
    return Counter(event.get("vault", "") for event in exporter.events("request_failed"))


def all_up(exporter: Running, simulated: Simulator) -> Scrape:
    """Wait until every target was read once."""
    owners = simulated.portfolio.organizations
    targets = len(owners) + sum(len(owner.vaults) for owner in owners)
    exporter.wait_for("started")
    until(lambda: len(exporter.events("target_up")) == targets, DEADLINE_SECONDS)
    return Scrape(exporter.get("/metrics").text)


def play_vaults(
    directory: Path,
    faults: tuple[Fault | Oddity, ...],
    *,
    gateway: Callable[[str], AbstractContextManager[tuple[str, dict[str, Any]]]] | None = None,
    timeout: str = "10s",
) -> Record:
    """Play faults of one vault each to one exporter, all at once, until each has shown twice.

    gateway: yields an address that leads to the given one, and a mapping of scripts by vault id.
    """
    clock = Clock(NOON)
    simulated = simulator(portfolio=portfolio_of(faults), wall=clock)
    ids = {v.name: v.id for owner in simulated.portfolio.organizations for v in owner.vaults}
    asked = (
        {fault.situation: Asked(cast("Mood", fault.by)) for fault in faults} if not gateway else {}
    )
    with ExitStack() as stack:
        base_url = stack.enter_context(SimulatorThread(simulated.app))
        faulty: dict[str, Any] = simulated.moods
        if gateway:
            base_url, faulty = stack.enter_context(gateway(base_url))
        write(directory, documented(directory, base_url, simulated, timeout))
        exporter = stack.enter_context(running("--log.level", "debug", directory=directory))
        record = Record(before=all_up(exporter, simulated), after=Scrape(""))
        faulty |= {ids[f.situation]: asked.get(f.situation, f.by) for f in faults}

        def shown(times: int) -> list[Fault | Oddity]:
            failed = failed_requests(exporter)
            failing = {event.get("vault") for event in exporter.events("target_failing")}
            return [
                fault
                for fault in faults
                if (
                    # One more, so that those before have ended.
                    # A key that is refused is read again before its target fails.
                    (
                        fault.situation in failing
                        if fault.pauses
                        else failed[fault.situation] > times * fault.tries
                    )
                    if isinstance(fault, Fault)
                    else len(asked[fault.situation].times) > times
                )
            ]

        # The rows themselves then show what is missing.
        with contextlib.suppress(AssertionError):
            until(lambda: len(shown(1)) == len(faults), DEADLINE_SECONDS)
            clock.now += 6 * HOURS

            def all_shown() -> bool:
                new = [f for f in shown(2) if f.situation not in record.during]
                if new:
                    scrape = Scrape(exporter.get("/metrics").text)
                    for fault in new:
                        record.during[fault.situation] = scrape.of(fault.situation)
                        if not (isinstance(fault, Fault) and fault.pauses):
                            del faulty[ids[fault.situation]]
                return len(record.during) == len(faults)

            until(all_shown, DEADLINE_SECONDS)
            # Targets with the same key show it once they are due.
            pausing = {f.situation for f in faults if isinstance(f, Fault) and f.pauses}
            until(
                lambda: (
                    pausing
                    <= {
                        event["org"]
                        for event in exporter.events("target_failing")
                        if event["kind"] == "organization"
                    }
                ),
                DEADLINE_SECONDS,
            )
            recovering = sum(isinstance(fault, Fault) and not fault.pauses for fault in faults)
            until(lambda: len(exporter.events("target_recovered")) == recovering, DEADLINE_SECONDS)
            calm_before = record.before.of(CALM).balances()
            until(lambda: Scrape(exporter.get("/metrics").text).of(CALM).balances() != calm_before)
        record.after = Scrape(exporter.get("/metrics").text)
        record.events = exporter.events()
        record.asked = {situation: len(mood.times) for situation, mood in asked.items()}
    return record


def play_stale(directory: Path, faults: tuple[Fault, ...], default: Mood = calm) -> Record:
    """Let faults last until the balances that they affect are too old; `default` answers for all others meanwhile."""
    simulated = simulator(portfolio=portfolio_of(faults))
    ids = {v.name: v.id for owner in simulated.portfolio.organizations for v in owner.vaults}
    with SimulatorThread(simulated.app) as base_url:
        document = documented(directory, base_url, simulated, "10s")
        document["polling"]["stale_after"] = "5s"
        write(directory, document)
        with running("--log.level", "debug", directory=directory) as exporter:
            before = all_up(exporter, simulated)
            simulated.moods |= {ids[f.situation]: cast("Mood", f.by) for f in faults}
            simulated.default_mood = default
            expected = len(faults) if default is calm else 2
            with contextlib.suppress(AssertionError):
                until(lambda: len(exporter.events("target_stale")) >= expected, DEADLINE_SECONDS)
            after = Scrape(exporter.get("/metrics").text)
            return Record(before=before, after=after, events=exporter.events())


def play_pause(directory: Path, answer: Mood) -> tuple[Record, list[float]]:
    """Let the API ask for a pause twice; also return when its requests came from then on (monotonic seconds)."""
    simulated = simulator(portfolio=portfolio_of(()))
    with SimulatorThread(simulated.app) as base_url:
        write(directory, documented(directory, base_url, simulated, "10s"))
        # The renewal of a pause is logged at this level.
        with running("--log.level", "debug", directory=directory) as exporter:
            before = all_up(exporter, simulated)
            simulated.default_mood = asked = Asked(answer)
            with contextlib.suppress(AssertionError):
                until(lambda: len(exporter.events("polling_paused")) == 2, DEADLINE_SECONDS)
            during = Scrape(exporter.get("/metrics").text)
            times = asked.times[:2]
            simulated.default_mood = calm
            with contextlib.suppress(AssertionError):
                exporter.wait_for("polling_resumed")
                failing = len(exporter.events("target_failing"))
                until(lambda: len(exporter.events("target_recovered")) == failing)
            after = Scrape(exporter.get("/metrics").text)
            events = exporter.events()
    return Record(before=before, during={CALM: during}, after=after, events=events), times


def play_outage(
    directory: Path, instead: Callable[[int], AbstractContextManager[None]], tries: int
) -> Record:
    """Stop the API and run `instead` on its port until it comes back."""
    clock = Clock(NOON)
    simulated = simulator(portfolio=portfolio_of(()), wall=clock)
    with ExitStack() as api:
        base_url = api.enter_context(SimulatorThread(simulated.app))
        port = urlsplit(base_url).port
        assert port

        @contextmanager
        def broken() -> Iterator[None]:
            api.close()
            with instead(port):
                yield
            api.enter_context(SimulatorThread(simulated.app, port=port))

        write(directory, documented(directory, base_url, simulated, "2s"))
        return _play_broken(directory, simulated, clock, broken(), tries)


def play_certificate(directory: Path, good: Certificate, bad: Certificate, ca_file: Path) -> Record:
    """Let the API present a bad certificate for a while, with `ca_file` in the configuration."""
    clock = Clock(NOON)
    simulated = simulator(portfolio=portfolio_of(()), wall=clock)
    showcase = Showcase(good)
    with (
        SimulatorThread(simulated.app) as api,
        listening(Gateway(api), showcase.context) as base_url,
    ):

        @contextmanager
        def broken() -> Iterator[None]:
            showcase.shown = bad
            yield
            showcase.shown = good

        document = documented(directory, base_url, simulated, "10s")
        document["api"]["ca_file"] = str(ca_file)
        write(directory, document)
        return _play_broken(directory, simulated, clock, broken(), 1)


def _play_broken(
    directory: Path,
    simulated: Simulator,
    clock: Clock,
    broken: AbstractContextManager[None],
    tries: int,
) -> Record:
    with running("--log.level", "debug", directory=directory) as exporter:
        before = all_up(exporter, simulated)
        # While they are exchanged the port is closed, which is another failure than the scene's.
        exporter.process.send_signal(signal.SIGSTOP)
        with broken:
            exporter.process.send_signal(signal.SIGCONT)
            with contextlib.suppress(AssertionError):
                # A request in flight before is answered normally, and not with later balances.
                until(lambda: failed_requests(exporter)[CALM] > 0, DEADLINE_SECONDS)
                clock.now += 6 * HOURS
                until(lambda: failed_requests(exporter)[CALM] > 2 * tries, DEADLINE_SECONDS)
            during = Scrape(exporter.get("/metrics").text)
        with contextlib.suppress(AssertionError):
            until(lambda: len(exporter.events("target_recovered")) == 2, DEADLINE_SECONDS)
        after = Scrape(exporter.get("/metrics").text)
        events = exporter.events()
    return Record(before=before, during={CALM: during}, after=after, events=events)
