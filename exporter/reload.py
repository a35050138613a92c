"""Reloads the configuration while the exporter runs, one attempt at a time; concurrent requests share an attempt."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from exporter.config import ConfigError, SecretError, Settings, read_both
from exporter.custody.environment import EnvironmentMistakeError
from exporter.logs import get_logger
from exporter.polling.plan import Plan, log_warnings
from exporter.web.access.file import WebConfigFile

LOOK_SECONDS: Final = 1.0
"""Interval at which the files of the web configuration are checked."""

NEVER: Final = 1_000_000_000
"""Number of partial garbage collections before a full one."""

_Answer = asyncio.Future[str | None]

log = get_logger()


@contextlib.contextmanager
def _without_full_collections() -> Iterator[None]:
    """Avoid full garbage collections while a large file becomes many objects.

    Each would block the event loop: with 20,000 vaults in the file for up to 200 ms.
    """
    young, middle, all_ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, all_)


class Loading:
    """The result of loading the configuration.

    file: its path, None for the demo.
    at: Unix seconds of the last success.
    error: why the last attempt failed.
    web_error: why changed files of the web configuration are not in force.
    """

    def __init__(self, file: str | None, wall: Callable[[], float]) -> None:
        self.file = file
        self.at = wall()
        self.error: str | None = None
        self.web_error: str | None = None
        self._wall = wall

    def succeeded(self) -> None:
        """Record that the files on disk are in force."""
        self.at, self.error = self._wall(), None

    @property
    def problem(self) -> str | None:
        """What is wrong with the files on disk, None if they are in force as last read."""
        problems = [problem for problem in (self.error, self.web_error) if problem]
        # A failed reload has already reported the mistakes of the web configuration.
        lines = dict.fromkeys("\n".join(problems).splitlines())
        # It may contain a file name that is not valid Unicode, which a page cannot.
        return "\n".join(lines).encode(errors="replace").decode() or None


class Reloader:
    """Applies the settings that `load` returns, and the web configuration on disk.

    apply: applies settings and returns their plan; raises ConfigError, SecretError or EnvironmentMistakeError, having
        changed nothing.
    loading: records the result.
    asked: set to request a reload without waiting for its result.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        apply: Callable[[Settings], Awaitable[Plan]],
        loading: Loading,
        web_config: WebConfigFile,
        asked: asyncio.Event | None = None,
    ) -> None:
        self._load = load
        self._apply = apply
        self._loading = loading
        self._web_config = web_config
        self._asked = asked or asyncio.Event()
        self._under_way: _Answer | None = None
        self._next: _Answer | None = None

    async def reload(self) -> str | None:
        """Request a reload and wait for it; requests before it begins share one.

        Return None, or every mistake on a line of its own if nothing was changed.
        """
        self._next = self._next or asyncio.get_running_loop().create_future()
        self._asked.set()
        # A caller that gives up must not cancel it for the others.
        return await asyncio.shield(self._next)

    async def run(self) -> None:
        """Reload on request, and apply changed files of the web configuration, until cancelled."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._asked.wait()
                if self._asked.is_set():
                    await self._reload_for_those_who_asked()
                else:
                    await self._look()
        finally:
            # Also for later callers.
            self._next = self._next or asyncio.get_running_loop().create_future()
            for answer in (self._under_way, self._next):
                if answer and not answer.done():
                    answer.set_result("the exporter is stopping")

    async def _reload_for_those_who_asked(self) -> None:
        self._asked.clear()
        self._under_way, self._next = self._next, None
        problem = await self._reload()
        if self._under_way:
            self._under_way.set_result(problem)

    async def _reload(self) -> str | None:
        loading = self._loading
        try:
            with _without_full_collections():
                # Reading a large file takes a while; polling continues meanwhile.
                settings, reading = await asyncio.to_thread(
                    read_both, self._load, self._web_config.read
                )
                plan = await self._apply(settings)
            self._web_config.hold(reading)
        except (ConfigError, SecretError, EnvironmentMistakeError) as error:
            loading.error = str(error)
            log.error("reload_failed", problem=loading.error)  # noqa: TRY400 - an expected fault: its message says it all
        except Exception as error:
            loading.error = f"defect: {type(error).__name__}"
            log.exception("reload_crashed")
        else:
            loading.succeeded()
            log.info("reloaded", targets=len(plan.targets))
            log_warnings(plan)
        loading.web_error = self._web_config.problem
        return loading.problem

    async def _look(self) -> None:
        try:
            await self._web_config.look()
        except Exception:
            log.exception("web_config_crashed")
        self._loading.web_error = self._web_config.problem
