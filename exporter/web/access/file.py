"""Reads the web configuration, at the start, at a reload and when it or a file that it names has changed on disk.

The last valid reading stays in force: an invalid file, or one that is being written, changes nothing.
"""

import asyncio
from pathlib import Path

import structlog
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from exporter.strict_yaml.files import answer_of, is_open_to_all
from exporter.strict_yaml.mistakes import ConfigError, Mistake
from exporter.strict_yaml.reader import load_document
from exporter.web.access.configuration import WebConfiguration, relation_mistakes

log: FilteringBoundLogger = structlog.get_logger()

Signature = tuple[tuple[int, ...], ...]


class WebConfigReading(Struct, frozen=True):
    """A valid reading.

    signature: of its files just before.
    open_to_all: files with secrets that every user of this machine can read.
    """

    configuration: WebConfiguration
    signature: Signature
    open_to_all: tuple[Path, ...] = ()


class WebConfigFile:
    """The file of --web.config.file; with path None the defaults, which never change."""

    def __init__(self, path: Path | None) -> None:
        """Read it. Raises ConfigError."""
        self._path = path
        self._problem: str | None = None
        self._held = WebConfigReading(WebConfiguration(), ())
        self.hold(self._read())
        self._last_look = self._held.signature

    @property
    def configuration(self) -> WebConfiguration:
        """The configuration in force."""
        return self._held.configuration

    @property
    def problem(self) -> str | None:
        """The mistakes of the last reading, if it was not applied."""
        return self._problem

    def read(self) -> WebConfigReading:
        """Read it again, for `hold`. Raises ConfigError, also if TLS was switched on or off."""
        try:
            reading = self._read()
            self._expect_same_scheme(reading.configuration)
        except ConfigError as error:
            self._problem = str(error)
            raise
        return reading

    def hold(self, reading: WebConfigReading) -> None:
        """Put a reading in force, and warn about secrets in it that others can read."""
        self._held = reading
        self._problem = None
        for path in reading.open_to_all:
            problem = "every user of this machine can read it: chmod 600, or 640 with the exporter's group"
            log.warning("web_secret_file_readable", file=str(path), problem=problem)

    async def look(self) -> None:
        """Read the files again if they have changed and then stayed the same between two looks."""
        if self._path is None:
            return
        known_problem = self._problem
        try:
            signature = await asyncio.to_thread(self._signature, self.configuration)
            is_settled, self._last_look = signature == self._last_look, signature
            if not is_settled or (signature == self._held.signature and not self._problem):
                return
            self.hold(await asyncio.to_thread(self.read))
        except ConfigError as error:
            self._problem = str(error)
            if self._problem != known_problem:
                log.error("web_config_failed", problem=str(error))  # noqa: TRY400 - an expected fault: its message says it all
        else:
            log.info("web_config_reloaded")

    def _read(self) -> WebConfigReading:
        if self._path is None:
            return self._held
        # The first time only to learn which files to check before they are read.
        signature = self._signature(self._load(self._path))
        configuration = self._load(self._path)
        tls = configuration.tls_server_config
        has_secrets = configuration.basic_auth_users or (tls and tls.key)
        files = (self._path if has_secrets else None, tls and tls.key_file)
        open_to_all = tuple(file for file in files if file and is_open_to_all(file))
        return WebConfigReading(configuration, signature, open_to_all)

    def _expect_same_scheme(self, configuration: WebConfiguration) -> None:
        if bool(configuration.tls_server_config) != bool(self.configuration.tls_server_config):
            problem = "TLS cannot be switched on or off while the exporter runs: restart it"
            raise ConfigError(self._path or "", [Mistake(("tls_server_config",), problem)])

    def _load(self, path: Path) -> WebConfiguration:
        return load_document(path, {}, WebConfiguration, relation_mistakes)

    def _signature(self, configuration: WebConfiguration) -> Signature:
        """Return a value that changes when the files do; a missing file contributes nothing."""
        files = (self._path, *configuration.files) if self._path else ()
        return tuple(map(_looks, files))


def _looks(file: Path) -> tuple[int, ...]:
    try:
        found = answer_of(file, file.stat)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
