"""First contacts with the simulator in virtual time: no network, no waiting."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

from exporter.config import Settings, parse
from exporter.probe.contact import Contact, FirstContact
from exporter.probe.driver import Means
from exporter.probe.findings import Finding
from exporter.probe.network import Network
from exporter.simulator.revisions import R3
from exporter.simulator.simulator import Simulator
from exporter.simulator.situations import SITUATIONS
from tests.custody.asking import trust_nobody
from tests.exporting import ENVIRON, configuration
from tests.simulator.calling import NOON, make_simulator

BASE_URL = "http://127.0.0.1:1"
LOCAL = Network("127.0.0.1", addresses=("127.0.0.1",), is_encrypted=False)


class Time:
    """A clock that advances only during sleeps and while waiting for an answer."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """Carries requests to an app, each of which takes `latency`; records what was asked when."""

    app: Any
    time: Time
    latency: float = 0.05
    asked: list[tuple[float, httpx.Request]] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((self.time.now, request))
        self.time.now += self.latency
        if isinstance(self.app, Exception):
            raise self.app
        response = await httpx.ASGITransport(self.app).handle_async_request(request)
        await response.aread()
        # Its body can be read again.
        body = httpx.ByteStream(response.content)
        return httpx.Response(response.status_code, headers=response.headers, stream=body)


@dataclass
class Made:
    """A contact, and its requests."""

    contact: Contact
    wire: Wire
    settings: Settings

    def finding(self, name: str, credential: str | None = None) -> Finding:
        """Return the finding of a step."""
        found = [
            step.finding
            for step in self.contact.steps
            if step.name == name and credential in (None, step.credential)
        ]
        assert len(found) == 1, (name, found)
        return found[0]

    @property
    def causes(self) -> list[str]:
        return [step.finding.cause for step in self.contact.steps if step.finding.cause]

    @property
    def verdicts(self) -> dict[str, str]:
        return {step.name: step.finding.verdict for step in self.contact.steps}

    @property
    def paths(self) -> list[str]:
        """The requested paths, in order."""
        return [request.url.raw_path.decode() for _, request in self.wire.asked]


def simulated(*situations: Callable[[Simulator], None], time: Time, **options: Any) -> Simulator:
    """Return a simulator in these situations, whose clocks are the probe's."""
    options = {"revision": R3, "wall": lambda: NOON + time.now, "monotonic": time} | options
    simulator = make_simulator(**options)
    for situation in situations:
        situation(simulator)
    return simulator


def settings_of(
    document: dict[str, Any], directory: Path = Path(), environ: Mapping[str, str] = ENVIRON
) -> Settings:
    text = yaml.safe_dump(document, sort_keys=False)
    return parse(text, directory=directory, environ=environ)


def made(
    *situations: Callable[[Simulator], None],
    document: dict[str, Any] | Settings | None = None,
    app: Any = None,
    network: Network = LOCAL,
    latency: float = 0.05,
    wall_is_ahead: float = 0.0,
    told: Callable[[int], object] = lambda _: None,
    may_send: Callable[[], bool] = lambda: True,
    **options: Any,
) -> Made:
    """Make the first contact with a simulator in these situations, or with `app`.

    document: the configuration, by default that of everything the simulator has. network: what the check of the
    connection finds.
    """
    time = Time()
    settings = document if isinstance(document, Settings) else settings_of(document or configured())
    wire = Wire(app or simulated(*situations, time=time, **options).app, time, latency)

    def wall() -> float:
        return NOON + time.now + wall_is_ahead

    means = Means(
        monotonic=time,
        boottime=time,
        wall=wall,
        wall_ns=lambda: int(wall() * 1e9),
        sleep=time.sleep,
        transport=wire,
        trust=trust_nobody,
        may_send=may_send,
    )

    async def look(*_: object) -> Network:
        return network

    contact = FirstContact(settings, Path(), means, look, told)
    return Made(asyncio.run(contact.make()), wire, settings)


@cache
def contact_in(situation: str) -> Made:
    """Return the contact with a simulator in one of SITUATIONS, or "none": made once for all tests that look at it."""
    return made(SITUATIONS[situation]) if situation != "none" else made()


def configured(**changes: Any) -> dict[str, Any]:
    """Return the configuration of everything that the simulator has, within the documented limit."""
    document = configuration(BASE_URL)
    document["api"] = {"base_url": BASE_URL}
    for key, value in changes.items():
        if value is None:
            document.pop(key, None)
        else:
            document[key] = value
    return document
