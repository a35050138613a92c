"""Loads the configuration again while the exporter runs, one attempt at a time."""

import asyncio
from collections.abc import Callable

from exporter.assembly import Exporter
from exporter.config import ConfigError, SecretError, Settings
from exporter.custody.connections import EnvironmentMistakeError
from exporter.logs import get_logger

log = get_logger()


class Reloader:
    """Reloads `exporter` from what `load` returns. wall: Unix seconds."""

    def __init__(
        self, exporter: Exporter, load: Callable[[], Settings], wall: Callable[[], float]
    ) -> None:
        self._exporter = exporter
        self._load = load
        self._wall = wall
        self._turn = asyncio.Lock()

    async def reload(self) -> str | None:
        """Reload; return what is wrong where that is impossible, every mistake in a line of its own."""
        async with self._turn:
            loading = self._exporter.loading
            try:
                # Reading a large file takes a moment, and polling goes on meanwhile.
                await self._exporter.reload(await asyncio.to_thread(self._load))
            except (ConfigError, SecretError, EnvironmentMistakeError) as error:
                loading.error = str(error)
                log.error("reload_failed", problem=loading.error)  # noqa: TRY400 - an expected fault: its message says it all
            except Exception as error:
                loading.error = f"defect: {type(error).__name__}"
                log.exception("reload_crashed")
            else:
                loading.at, loading.error = self._wall(), None
                log.info("reloaded", targets=len(self._exporter.plan.targets))
            return loading.error
