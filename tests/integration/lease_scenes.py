"""Exporters with one lease as processes, a real Redis whose connections can be cut, and the simulated API."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from exporter.simulator.guard import Refusal
from exporter.simulator.portfolio import Organization, Portfolio
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from tests.coordination.redis_server import RedisServer, redis_server
from tests.exporting import configuration, simulator, write
from tests.integration.proxy import Line, line_to
from tests.integration.scenes import Scrape
from tests.processes import COMMAND, Running, command_after, run, running
from tests.simulator.calling import ORGANIZATION, VAULT
from tests.waiting import until

LIMIT: Final = 10
WINDOW: Final = 5.0
PASSWORD: Final = "hunter2-of-the-redis"
ACTIVE: Final = "kraken_custody_exporter_active"
DEADLINE_SECONDS: Final = 90.0
AN_HOUR_AHEAD: Final = """
import time
wall, wall_ns = time.time, time.time_ns
time.time = lambda: wall() + 3600
time.time_ns = lambda: wall_ns() + 3600 * 10**9
"""


def portfolio() -> Portfolio:
    return Portfolio((Organization(ORGANIZATION.id, ORGANIZATION.name, (VAULT,)),))


@dataclass
class Process:
    """One exporter. engine: its connection to Redis."""

    exporter: Running
    engine: Line
    directory: Path

    def scrape(self) -> Scrape:
        return Scrape(self.exporter.get("/metrics").text)

    def is_active(self) -> bool:
        text = self.exporter.get("/metrics").text
        return f"\n{ACTIVE} 1.0\n" in text

    def exposes(self) -> int:
        """Return how many samples of targets and balances it exposes."""
        names = ("kraken_custody_vault_", "kraken_custody_organization_", "kraken_custody_target_")
        return sum(
            line.startswith(names) for line in self.exporter.get("/metrics").text.splitlines()
        )

    def lost(self) -> int:
        return len(self.exporter.events("lease_lost"))

    def acquired(self) -> int:
        return len(self.exporter.events("lease_acquired"))


@dataclass
class Scene:
    """What all processes share."""

    directory: Path
    redis: RedisServer
    simulated: Simulator
    base_url: str
    stack: ExitStack
    processes: list[Process] = field(default_factory=list)

    def start(self, *, prelude: str = "") -> Process:
        """Start one more exporter."""
        directory = self.directory / f"process-{len(self.processes)}"
        directory.mkdir()
        line, url = self.stack.enter_context(line_to(self.redis.url))
        self.configure(directory, url)
        command = command_after(prelude) if prelude else COMMAND
        exporter = self.stack.enter_context(
            running("--web.enable-lifecycle", directory=directory, command=command)
        )
        process = Process(exporter, line, directory)
        self.processes.append(process)
        exporter.wait_for("started")
        return process

    def configure(self, directory: Path, url: str) -> Path:
        (directory / "password").write_text(PASSWORD)
        document = configuration(self.base_url, portfolio=portfolio(), interval="400ms")
        document["api"] |= {
            "timeout": "1s",
            "rate_limit": {"requests": LIMIT, "window": f"{WINDOW:g}s", "share": 1},
        }
        document["lease"] = {
            "kind": "redis",
            "name": "treasury",
            "duration": "11s",
            "redis": {"url": url, "password_file": "password"},
        }
        return write(directory, document)

    def command(self, *flags: str) -> Any:
        """Run a command of the exporter beside the others until it exits."""
        directory = self.directory / "command"
        directory.mkdir(exist_ok=True)
        self.configure(directory, self.redis.url)
        return run(*flags, directory=directory)

    def pair(self, *, prelude: str = "") -> tuple[Process, Process]:
        """Start a holder that has read everything, and a standby."""
        holder = self.start(prelude=prelude)
        wait(lambda: len(holder.exporter.events("target_up")) == 2)
        standby = self.start()
        standby.exporter.wait_for("lease_held")
        return holder, standby

    @property
    def refused_nonces(self) -> int:
        return self.simulated.guard.refusals[Refusal.INVALID_NONCE]

    def written(self) -> str:
        """Return everything that the exporters have logged and serve."""
        told = [
            it.exporter.get(path).text
            for it in self.processes
            if it.exporter.process.poll() is None
            for path in ("/", "/metrics", "/api/v1/targets")
        ]
        return "".join([*(it.exporter.stderr + it.exporter.stdout for it in self.processes), *told])


def wait(condition: Callable[[], object]) -> None:
    """Wait until `condition` is true, even if exporters do not answer for a while."""

    def holds() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return bool(condition())
        return False

    until(holds, DEADLINE_SECONDS)


@contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    """Yield an unused Redis, and an API that counts in real time."""
    directory.mkdir()
    simulated = simulator(
        portfolio=portfolio(), limit=LIMIT, window=WINDOW, monotonic=time.monotonic
    )
    with ExitStack() as stack:
        base_url = stack.enter_context(SimulatorThread(simulated.app))
        redis = stack.enter_context(redis_server(directory / "redis", "--requirepass", PASSWORD))
        yield Scene(directory, redis, simulated, base_url, stack)


def stop(process: Process) -> None:
    process.exporter.process.send_signal(signal.SIGSTOP)


def go_on(process: Process) -> None:
    process.exporter.process.send_signal(signal.SIGCONT)
