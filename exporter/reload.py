"""Loads the configuration again while the exporter runs, one attempt at a time."""

import asyncio
from collections.abc import Callable
from typing import Final

from exporter.assembly import Exporter
from exporter.config import ConfigError, SecretError, Settings, read_both
from exporter.custody.environment import EnvironmentMistakeError
from exporter.logs import get_logger
from exporter.polling.plan import warn_of_shortages
from exporter.web.access.file import WebConfigFile

LOOK_SECONDS: Final = 1.0
"""Between two looks at the files of the web configuration."""

log = get_logger()


class Reloader:
    """Reloads `exporter` from what `load` returns, and the web configuration. wall: Unix seconds."""

    def __init__(
        self,
        exporter: Exporter,
        load: Callable[[], Settings],
        web_config: WebConfigFile,
        wall: Callable[[], float],
    ) -> None:
        self._exporter = exporter
        self._load = load
        self._web_config = web_config
        self._wall = wall
        self._turn = asyncio.Lock()

    async def reload(self) -> str | None:
        """Reload; return what is wrong where that is impossible, every mistake in a line of its own."""
        async with self._turn:
            loading = self._exporter.loading
            try:
                # Reading a large file takes a moment, and polling goes on meanwhile.
                settings, reading = await asyncio.to_thread(
                    read_both, self._load, self._web_config.read
                )
                await self._exporter.reload(settings)
                self._web_config.hold(reading)
            except (ConfigError, SecretError, EnvironmentMistakeError) as error:
                loading.error = str(error)
                log.error("reload_failed", problem=loading.error)  # noqa: TRY400 - an expected fault: its message says it all
            except Exception as error:
                loading.error = f"defect: {type(error).__name__}"
                log.exception("reload_crashed")
            else:
                loading.at, loading.error = self._wall(), None
                log.info("reloaded", targets=len(self._exporter.plan.targets))
                warn_of_shortages(self._exporter.plan)
            loading.web_error = self._web_config.problem
            return loading.problem

    async def watch(self) -> None:
        """Take over what changes on disk of the web configuration, certificates too, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            async with self._turn:
                try:
                    await self._web_config.look()
                except Exception:
                    log.exception("web_config_crashed")
                self._exporter.loading.web_error = self._web_config.problem
