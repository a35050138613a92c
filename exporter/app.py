"""Runs the exporter: as a daemon until a signal stops it, or once."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from exporter import __version__
from exporter.assembly import Exporter, World
from exporter.config import Settings
from exporter.logs import get_logger
from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import Format
from exporter.polling.plan import Plan
from exporter.reload import Reloader
from exporter.report import plan_report, poll_report
from exporter.terminal import PLAIN, Paint
from exporter.web.address import ListenAddress
from exporter.web.limits import DEFAULT_LIMITS, Limits
from exporter.web.server import serving
from exporter.web.site import Site

log = get_logger()


@dataclass(frozen=True, slots=True)
class WebOptions:
    """What the flags say of the HTTP side. may_reload: whether `POST /-/reload` is allowed."""

    address: ListenAddress
    telemetry_path: str
    may_reload: bool = False
    limits: Limits = DEFAULT_LIMITS


async def serve(load: Callable[[], Settings], web: WebOptions) -> bool:
    """Poll and serve until SIGTERM or SIGINT, reload at SIGHUP; return whether it was a signal that ended it.

    Raises ConfigError, SecretError, EnvironmentMistakeError and ListenError.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings = load()
    with web.address.listen() as listener:
        world = World()
        exporter = Exporter(settings, world)
        reloader = Reloader(exporter, load, world.wall)
        reloads = set[asyncio.Task[str | None]]()

        def reload() -> None:
            # The loop itself keeps no task alive.
            task = asyncio.create_task(reloader.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        site = Site(
            exporter.store,
            exporter.registry,
            exporter.poller,
            web.telemetry_path,
            reload=reloader.reload if web.may_reload else None,
        )
        # What was imported is there to stay; left out, it would hold the loop for 30 ms at each full collection.
        gc.freeze()
        async with serving(site.app(), listener, web.limits.within_open_files()) as server:
            _log_start(exporter.plan, listener, web.telemetry_path)
            polling = asyncio.create_task(exporter.poller.run())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((server, polling, stopping), return_when=asyncio.FIRST_COMPLETED)
            part = "web" if server.done() else "polling"
            for task in (polling, stopping, *reloads):
                task.cancel()
            await asyncio.gather(polling, stopping, *reloads, return_exceptions=True)
    if not stop.is_set():
        log.error("stopped_by_itself", part=part)
        return False
    log.info("stopped")
    return True


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


def check(settings: Settings, paint: Paint = PLAIN) -> str:
    """Return the polling plan of `settings`, for people, once everything that a start builds from them was built.

    Raises SecretError and EnvironmentMistakeError.
    """
    Exporter(settings, World())
    return plan_report(settings, paint)


class Once(NamedTuple):
    """What came of polling once: the exposition, a table for people, and whether every poll succeeded."""

    page: str
    report: str
    succeeded: bool


async def poll_once(settings: Settings, paint: Paint = PLAIN) -> Once:
    """Poll every target once, and show the progress on stderr where that is a terminal."""
    from tqdm import tqdm  # noqa: PLC0415 - only this way of running needs it, and every start would pay

    exporter = Exporter(settings, World())
    # disable=None: no bar where stderr is not a terminal.
    with tqdm(
        total=len(exporter.plan.targets), unit="target", file=sys.stderr, disable=None
    ) as bar:
        await exporter.poller.run_once(lambda polled: bar.update(polled - bar.n))
    page = b"".join(Exposition(exporter.store, exporter.registry).plain(Format.TEXT_0_0_4))
    states = list(exporter.store.states())
    succeeded = all(state.polls and not state.failure for state in states)
    return Once(page.decode(), poll_report(states, paint), succeeded)
