"""The whole probe: first the connection to the API, then its time, then the questions of each credential."""

import asyncio
import itertools
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exporter.config import RateLimit, Secrets, Settings
from exporter.config.credentials import unusual
from exporter.custody.auth import Nonces
from exporter.custody.classify import Answer, Classifier
from exporter.custody.client import CustodyClient, Exchange, Reading, Surroundings
from exporter.custody.connecting import Connector
from exporter.custody.errors import Cleaner
from exporter.discovery.inventory import inventory_of
from exporter.durations import duration
from exporter.logs import hide_with
from exporter.polling.budget import Budget
from exporter.polling.plan import Plan, plan_of
from exporter.probe import way
from exporter.probe.driver import Asker, Driver, Means, Pace
from exporter.probe.findings import Finding, Step, notice, ok, skipped
from exporter.probe.judges import answers_a_second, steps_of
from exporter.probe.known import NOT_LET_THROUGH, Known, Reply, Subject
from exporter.probe.network import Network, look
from exporter.probe.questions import QUESTIONS, TIME
from exporter.probe.suggestion import suggested, with_found
from exporter.report import plan_lines, plan_warnings
from exporter.resources import targets_of
from exporter.turns import at_once

NO_WAY: Final = "the API cannot be reached"
WRONG_CLOCK: Final = "the clock is wrong"


class Contact(Struct, frozen=True):
    """The result of the probe.

    api: base URL.
    steps: in the order of the report.
    time: the reply to the unsigned request, None if it was not sent.
    credentials: what is known about each.
    suggestion: a configuration file, empty if there is none.
    """

    api: str
    steps: tuple[Step, ...]
    time: Reply | None
    credentials: tuple[Known, ...]
    suggestion: str

    @property
    def succeeded(self) -> bool:
        """Whether everything needed works."""
        return all(step.finding.verdict != "failed" for step in self.steps)


Look = Callable[[Settings, Callable[[str, int], str]], Awaitable[Network]]


async def look_at(settings: Settings, clean: Callable[[str, int], str]) -> Network:
    """Check the real network."""
    api = settings.api
    return await look(api.base_url, api.ca_file, api.local_address, api.timeout, clean)


class FirstContact(Struct, frozen=True):
    """Runs the probe.

    directory: of the configuration.
    look: checks the connection to the API.
    told: called with the number of finished questions.
    """

    settings: Settings
    directory: Path
    means: Means
    look: Look = look_at
    told: Callable[[int], object] = lambda _: None

    async def make(self) -> Contact:
        """Ask the API and return the result. Raises SecretError and EnvironmentMistakeError."""
        settings, cleaner = self.settings, Cleaner()
        hide_with(cleaner.hide)
        # Reading a file may block, on a mount whose server is gone.
        secrets = {
            name: await asyncio.to_thread(source.read)
            for name, source in settings.credentials.items()
        }
        open_files = {
            name: await asyncio.to_thread(source.files_open_to_all)
            for name, source in settings.credentials.items()
        }
        tls = await asyncio.to_thread(self.means.trust, settings.api.ca_file)
        network = await self.look(settings, cleaner)
        untried = [
            self._known(name, secrets[name], open_files[name].values())
            for name in settings.credentials
        ]
        askers = self._askers(secrets, tls, cleaner)
        try:
            time, clock, asked = await self._ask(network, untried, askers)
        finally:
            await asyncio.gather(*(asker.client.close() for asker in askers.values()))
        is_useful = any(it.succeeded for known in asked for it in known.replies.values())
        return Contact(
            api=settings.api.base_url,
            steps=(
                Step("names", "name resolution", way.names(network)),
                Step("tls", "connection, TLS", way.tls(network, self.means.wall())),
                Step("clock", "clock", clock),
                *(step for known in asked for step in steps_of(known)),
                Step("plan", "polling plan", self._plan(asked)),
            ),
            time=time,
            credentials=tuple(asked),
            suggestion=suggested(settings, asked, self.directory) if is_useful else "",
        )

    async def _ask(
        self, network: Network, untried: Sequence[Known], askers: Mapping[str, Asker]
    ) -> tuple[Reply | None, Finding, list[Known]]:
        """Ask for the time and then, if all is well, with each credential."""
        limit, now = self.settings.api.rate_limit, self.means.monotonic()
        in_flight = sum(it.max_in_flight for it in self.settings.credentials.values())
        pace = Pace(_budget(limit, in_flight, now), self.means)
        if not network.is_open:
            known = await self._ask_all(untried, NO_WAY, askers, pace)
            return None, skipped(NO_WAY), known
        time = await next(iter(askers.values())).ask(TIME, pace)
        clock = way.clock(time, untried[0])
        stopped = ""
        if clock.verdict == "failed":
            stopped = WRONG_CLOCK if clock.cause == "clock_off" else NO_WAY
        timed = [replace(known, time=time) for known in untried]
        return time, clock, await self._ask_all(timed, stopped, askers, pace)

    async def _ask_all(
        self,
        known: Sequence[Known],
        stopped: str,
        askers: Mapping[str, Asker],
        pace: Pace,
    ) -> list[Known]:
        """Ask with each credential in turn; the answer to one of them may stop all."""
        done = itertools.count(1)
        driver = Driver(self.means, self.settings.api.timeout, lambda: self.told(next(done)))
        asked = []
        for before in known:
            name = before.subject.credential
            source, now = self.settings.credentials[name], self.means.monotonic()
            own = source.rate_limit
            pace.of_key(_budget(own, source.max_in_flight, now) if own else None)
            after = await driver.run(
                replace(before, stopped=stopped), QUESTIONS, askers[name], pace
            )
            asked.append(after)
            if any(reply.stops == "everything" for reply in after.replies.values()):
                stopped = NOT_LET_THROUGH
        return asked

    def _askers(
        self, secrets: Mapping[str, Secrets], tls: ssl.SSLContext, cleaner: Cleaner
    ) -> dict[str, Asker]:
        """Return an asker for each credential."""
        means, api = self.means, self.settings.api
        connector = Connector(
            Nonces(means.wall_ns, means.bounds),
            cleaner,
            means.wall,
            means.boottime,
            means.transport,
        )
        classifier, reading = Classifier(), Reading()
        # Configured names may be keys of an answer, for example of an object with a member for each vault.
        names = {
            name.lower()
            for organization in self.settings.organizations
            for name in (organization.name, *(vault.name for vault in organization.vaults))
        } | {name.lower() for name in self.settings.credentials}

        def asker(name: str) -> Asker:
            def connect(
                observe: Callable[[Exchange], None], on_answer: Callable[[Answer], None]
            ) -> CustodyClient:
                surroundings = Surroundings(
                    timeout=api.timeout,
                    id_format=api.organization_id_format,
                    classifier=classifier,
                    observe=observe,
                    reading=reading,
                    monotonic=means.monotonic,
                    wall=means.wall,
                    on_answer=on_answer,
                    may_send=means.may_send,
                )
                return connector.client(
                    secrets[name],
                    unit=self.settings.credentials[name].nonce,
                    base_url=api.base_url,
                    tls=tls,
                    local_address=api.local_address,
                    surroundings=surroundings,
                    found=lambda _: None,
                )

            return Asker(connect, names)

        return {name: asker(name) for name in self.settings.credentials}

    def _known(self, name: str, secrets: Secrets, open_files: Iterable[Path]) -> Known:
        """Return what is known about a credential before it is used."""
        settings = self.settings.credentials[name]
        has_discovery = self.settings.discovery is not None
        organizations = tuple(it for it in self.settings.organizations if it.credentials == name)
        found = (self.settings.collect,) if has_discovery else ()
        return Known(
            Subject(
                credential=name,
                organizations=organizations,
                has_discovery=has_discovery,
                collect=frozenset().union(*found, *(it.collect for it in organizations)),
                id_format=self.settings.api.organization_id_format,
                nonce=settings.nonce,
                otp="timed" if secrets.totp_seed else "static" if secrets.otp else "none",
                secret_problem=unusual(secrets),
                open_files=tuple(map(str, open_files)),
                max_in_flight=settings.max_in_flight,
            )
        )

    def _plan(self, found: Sequence[Known]) -> Finding:
        """Judge the polling plan for everything configured and found."""
        settings = self.settings
        if settings.discovery is None:
            settings = with_found(settings, found)
        lists = {source: finds for known in found for source, finds in known.lists.items()}
        plan = plan_of(settings, at_once(targets_of(at_once(inventory_of(settings, lists)))))
        intervals = sorted(map(plan.refresh_interval, plan.targets))
        often = dict.fromkeys(map(duration, (intervals[0], intervals[-1])))
        evidence = [" ".join(line.split()) for line in plan_lines(plan, settings)]
        evidence.append(f"each target is polled every {' to '.join(often)}")
        if unread := sum(known.unread_vaults for known in found):
            evidence.append(f"vaults on further pages, not read by the probe: {unread}")
        problems = [*plan_warnings(plan), *_slow(plan, found)]
        if problems:
            return notice(*evidence, meaning=" ".join(problems), cause="plan")
        return ok(*evidence)


def _slow(plan: Plan, found: Sequence[Known]) -> Iterator[str]:
    """Yield the keys whose answers take too long for their planned polls."""
    for known in found:
        name, rate = known.subject.credential, answers_a_second(known)
        demand = sum(1 / it.interval for it in plan.targets if it.credential == name)
        if rate is not None and demand > rate:
            yield (
                f"credential {name}: {demand:.3g} requests/s are planned, but with {known.subject.max_in_flight} in "
                f"flight only {rate:.3g} are answered. Use longer intervals, or a nonce window on the key and "
                "max_in_flight: 2."
            )


def _budget(limit: RateLimit, in_flight: int, now: float) -> Budget:
    return Budget(limit.budget, limit.window, in_flight=in_flight, now=now)
