"""Runs the exporter: as a daemon until a signal stops it, or once."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from exporter import __version__
from exporter.assembly import Exporter, World, coordinator_of
from exporter.config import Settings, read_both
from exporter.coordination.keeper import LeaseHeldError
from exporter.custody.auth import NonceBounds
from exporter.custody.errors import MayNotSendError
from exporter.logs import get_logger
from exporter.metrics.negotiation import Format
from exporter.polling.plan import Plan, log_warnings
from exporter.reload import Reloader
from exporter.signals import Signals
from exporter.terminal import is_terminal
from exporter.web.access.control import Access
from exporter.web.access.file import WebConfigFile
from exporter.web.access.host import OwnNames
from exporter.web.address import ListenAddress
from exporter.web.exposure import warn_of_exposure
from exporter.web.limits import DEFAULT_LIMITS, Limits
from exporter.web.server import serving
from exporter.web.site import Site

if TYPE_CHECKING:
    from exporter.probe.contact import Contact

log = get_logger()

SWITCH_SECONDS: Final = 0.0005
FULL_COLLECTION_AFTER: Final = 100
"""Threshold of the middle generation; Python's default is 10. At most 700,000 objects wait for its collection."""

Result = TypeVar("Result")


class WebOptions(Struct, frozen=True):
    """The flags of the web server.

    may_reload: whether `POST /-/reload` and `/-/poll` are allowed. allowed_hosts: additional host names that it answers
    to.
    """

    address: ListenAddress
    telemetry_path: str
    config_file: Path | None = None
    may_reload: bool = False
    limits: Limits = DEFAULT_LIMITS
    allowed_hosts: Sequence[str] = ()


async def serve(
    load: Callable[[], Settings],
    web: WebOptions,
    signals: Signals,
    config_file: Path | None = None,
) -> bool:
    """Poll and serve until SIGTERM or SIGINT, reload at SIGHUP; return whether a signal ended it.

    config_file: the file that `load` reads, to show to people; None for the demo.

    Raises ConfigError, SecretError, EnvironmentMistakeError and ListenError.
    """
    stop, hung_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    # A file may change just after it was read: a SIGHUP that arrives during the first load must not be lost.
    signals.reload = partial(loop.call_soon_threadsafe, hung_up.set)
    settings, web_config = read_both(load, lambda: WebConfigFile(web.config_file))
    with web.address.listen() as listener:
        bound = ListenAddress(*listener.getsockname()[:2])
        world = World()
        exporter = Exporter(settings, world, _shown(config_file))
        reloader = Reloader(load, exporter.reload, exporter.loading, web_config, hung_up)
        site = Site(
            exporter,
            web.telemetry_path,
            reload=reloader.reload if web.may_reload else None,
        )
        favour_event_loop()
        access = Access(
            lambda: web_config.configuration,
            names=OwnNames.of(socket.gethostname(), (web.address.host.lower(), *web.allowed_hosts)),
        )
        limits = web.limits.within_open_files()
        # Until here nothing runs that a stop would have to wait for.
        signals.late = _log_late_stop
        signals.stop = partial(loop.call_soon_threadsafe, stop.set)
        async with serving(site.app(), listener, limits, access) as server:
            _log_start(exporter.plan, bound, web.telemetry_path, has_tls=access.tls is not None)
            warn_of_exposure(web_config, bound)
            reloading = asyncio.create_task(reloader.run())
            polling = asyncio.create_task(exporter.run())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((server, polling, stopping), return_when=asyncio.FIRST_COMPLETED)
            part = "web" if server.done() else "polling"
            ending = (reloading, polling, stopping)
            for task in ending:
                task.cancel()
        # After the server has ended, so that both end at the same time: each may take a while.
        await asyncio.gather(*ending, return_exceptions=True)
    if not stop.is_set():
        log.error("stopped_by_itself", part=part)
        return False
    log.info("stopped")
    return True


def _log_late_stop() -> None:
    log.warning("stopped", problem="a task did not end in time and was abandoned")


def _shown(config_file: Path | None) -> str | None:
    """Return the path of the configuration as text, even if it has bytes that are not."""
    if config_file is None:
        return None
    return os.fsencode(config_file.absolute()).decode(errors="replace")


def favour_event_loop() -> None:
    """Keep the rest of the process from blocking the event loop; call it when all is built and nothing is read yet."""
    # What was imported and built stays: a full collection of 2,000 targets takes 18 ms, not 65 ms (`make bench
    # ARGS=page`).
    gc.freeze()
    # Full collections find little more than closed connections, and with 20,000 targets each takes 60 ms (`make bench
    # ARGS=targets`).
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, FULL_COLLECTION_AFTER)
    # A thread that compresses or renders a page holds the GIL for this long when the loop wants it: the loop is 4 ms
    # late, not 16 ms (likewise, with eight other processes on the machine).
    sys.setswitchinterval(SWITCH_SECONDS)


def _log_start(plan: Plan, bound: ListenAddress, telemetry_path: str, *, has_tls: bool) -> None:
    # The address of every interface cannot be opened in a browser.
    is_every = bound.host in ("::", "0.0.0.0")  # noqa: S104 - read, not bound
    reachable = ListenAddress("localhost" if is_every else bound.host, bound.port)
    scheme = "https" if has_tls else "http"
    log.info(
        "started",
        version=__version__,
        targets=len(plan.targets),
        page=f"{scheme}://{reachable}/",
        metrics=f"{scheme}://{reachable}{telemetry_path}",
    )
    log_warnings(plan)


def check(
    load: Callable[[], Settings],
    web_config_file: Path | None,
    stdout: TextIO | None,
    environ: Mapping[str, str],
) -> str:
    """Return the polling plan for people at `stdout`, after building everything that a start builds.

    Raises ConfigError, SecretError and EnvironmentMistakeError.
    """
    settings, _ = read_both(load, lambda: WebConfigFile(web_config_file))
    # The files of a pod exist only there, but whether redis-py is installed can be checked.
    in_pod = settings.lease is not None and settings.lease.kind == "kubernetes"
    Exporter(replace(settings, lease=None) if in_pod else settings, World())
    from exporter.report import console_for, plan_report  # noqa: PLC0415 - only commands need it

    return plan_report(settings, console_for(stdout, environ))


class Probed(NamedTuple):
    """The result of the first contact: its report, and whether everything needed works."""

    report: str
    succeeded: bool


async def probe(
    settings: Settings,
    signals: Signals,
    directory: Path,
    environ: Mapping[str, str],
    *,
    as_json: bool,
) -> Probed:
    """Ask the API a few careful questions and report what it answered. directory: that of the configuration.

    Raises SecretError and EnvironmentMistakeError, LeaseHeldError if another process polls, and
    asyncio.CancelledError if a signal ends it.
    """
    from exporter.probe.questions import QUESTIONS  # noqa: PLC0415 - likewise
    from exporter.probe.report import json_report, text_report  # noqa: PLC0415 - likewise
    from exporter.report import console_for, progress  # noqa: PLC0415 - likewise

    total = len(QUESTIONS) * len(settings.credentials)
    bar = progress(console_for(sys.stderr, environ), total, "questions")
    with bar if is_terminal(sys.stderr) else contextlib.nullcontext(lambda _: None) as show:
        made = await _until_signal(signals, _probe(settings, directory, show))
    if as_json:
        return Probed(json_report(made), made.succeeded)
    return Probed(text_report(made, console_for(sys.stdout, environ)), made.succeeded)


class Once(NamedTuple):
    """The result of polling once: the exposition, a table for people, and whether every poll succeeded."""

    page: str
    report: str
    succeeded: bool


async def _probe(settings: Settings, directory: Path, told: Callable[[int], object]) -> "Contact":
    from exporter.probe.contact import FirstContact  # noqa: PLC0415 - only this command needs it
    from exporter.probe.driver import Means  # noqa: PLC0415 - likewise

    bounds = NonceBounds()
    lease = coordinator_of(settings, World(), bounds, lambda: None)
    means = Means(bounds=bounds, may_send=lease.may_send)
    async with lease.holding():
        try:
            return await FirstContact(settings, directory, means, told=told).make()
        except MayNotSendError:
            raise LeaseHeldError("the lease was lost meanwhile: see the log") from None


async def poll_once(
    settings: Settings, signals: Signals, stderr: TextIO | None, environ: Mapping[str, str]
) -> Once:
    """Poll every target once, and show the progress on `stderr` if it is a terminal.

    Raises LeaseHeldError if another process polls, and asyncio.CancelledError if a signal ends it.
    """
    return await _until_signal(signals, _poll_once(settings, stderr, environ))


async def _poll_once(settings: Settings, stderr: TextIO | None, environ: Mapping[str, str]) -> Once:
    exporter = Exporter(settings, World())
    report = ""
    async with exporter.holding_lease():
        if is_terminal(stderr):
            from exporter.report import console_for, poll_report, progress  # noqa: PLC0415 - only commands need it

            console = console_for(stderr, environ)
            with progress(console, len(exporter.plan.targets)) as show:
                await exporter.poller.run_once(show)
            report = poll_report(list(exporter.store.states()), console)
        else:
            await exporter.poller.run_once(lambda _polled, _targets: None)
        page = b"".join(exporter.exposition().plain(Format.TEXT_0_0_4))
        succeeded = exporter.is_active and all(state.is_up for state in exporter.store.states())
    return Once(page.decode(), report, succeeded)


async def _until_signal(signals: Signals, work: Coroutine[None, None, Result]) -> Result:
    """Do `work`, and cancel it if a signal arrives."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    signals.stop = partial(loop.call_soon_threadsafe, task.cancel)
    result = await task
    signals.stop = None
    return result
