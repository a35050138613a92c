"""Structured logs on stderr: one line an event, logfmt or JSON, with stable event names and nothing secret."""

import logging
import os
import select
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from exporter.events import RECENT
from exporter.terminal import without_controls

Level = Literal["debug", "info", "warn", "error"]
LogFormat = Literal["logfmt", "json"]

_LEVELS: Final[dict[Level, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


_hide: Final[list[Callable[[str], str]]] = [str]
"""Removes secrets from a text; the last function that was given is used."""


def hide_with(hide: Callable[[str], str]) -> None:
    """Use `hide` to remove secrets from tracebacks and from messages of libraries before they are logged."""
    _hide[0] = hide


def get_logger() -> FilteringBoundLogger:
    """Return a logger; `configure` applies to it even if it is called later."""
    return cast("FilteringBoundLogger", structlog.get_logger())


def configure(level: Level, format_: LogFormat) -> None:
    """Send the events of this process, and the warnings of its libraries, to stderr.

    Logging never blocks and never fails: lines that stderr does not accept are dropped and counted.
    """
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if format_ == "json"
        else structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"])
    )
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        _level_as_in_flags,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        _without_secrets,
    ]

    def gap(lines: int) -> str:
        event: Any = {"event": "log_lines_dropped", "lines": lines}
        for process in (*processors, renderer):
            event = process(None, "warning", event)
        return f"{event}\n"

    stderr = _stderr(gap)
    structlog.configure(
        processors=[*processors, _keep, _only_from(_LEVELS[level]), renderer],
        # What is kept in memory does not depend on what the log shows.
        wrapper_class=structlog.make_filtering_bound_logger(min(_LEVELS[level], logging.INFO)),
        logger_factory=structlog.WriteLoggerFactory(file=stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*processors, _message_without_secrets],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # Never lower, whatever the level: httpx and httpcore log requests with their headers, and so the key, below it.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _only_from(level: int) -> Processor:
    """Return a processor that drops events less severe than `level`."""

    def shown(_logger: object, _method: str, event: EventDict) -> EventDict:
        if _LEVELS[event["level"]] < level:
            raise structlog.DropEvent
        return event

    return shown


def _keep(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep an event in memory if it reports a change."""
    RECENT.keep(event)
    return event


def _without_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Remove secrets from a traceback; messages are cleaned by their callers."""
    if "exception" in event:
        return {**event, "exception": _hide[0](str(event["exception"]))}
    return event


def _message_without_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Remove secrets from a library's message: asyncio's has the `repr` of exceptions that were never retrieved."""
    return {**event, "event": _hide[0](str(event["event"]))}


def _level_as_in_flags(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Write `warn`, as --log.level and Prometheus do."""
    return {**event, "level": "warn"} if event["level"] == "warning" else event


def _stderr(gap: Callable[[int], str]) -> TextIO:
    if sys.stderr is None:
        # stderr was closed before the start: the next file to be opened gets its number, and would get the log.
        return cast("TextIO", _Lines(os.open(os.devnull, os.O_WRONLY), gap))
    try:
        return cast("TextIO", _Lines(sys.stderr.fileno(), gap))
    except OSError:
        # Memory, as in tests, which never blocks.
        return sys.stderr


class _Lines:
    """Writes lines to a file descriptor while it accepts them at once, and drops the others.

    The reader of a log may stop or exit, and a disk may be full: the event loop must not wait for them.
    gap: returns the line that says how many were dropped, which is written in their place.
    """

    def __init__(self, descriptor: int, gap: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._is_terminal = os.isatty(descriptor)
        self._gap = gap
        self._left_out = 0
        self._rest = b""
        self._lock = Lock()

    def write(self, line: str) -> None:
        """Write `line`, with its line feed, or drop it."""
        with self._lock:
            if self._left_out and self._begin(self._gap(self._left_out)):
                self._left_out = 0
            if self._left_out or not self._begin(line):
                self._left_out += 1

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def _begin(self, line: str) -> bool:
        """Begin to write `line`; return whether that was possible. The rest of it is written before anything else."""
        self._go_on()
        if self._rest:
            return False
        shown = without_controls(line) if self._is_terminal else line
        self._rest = whole = shown.encode(errors="backslashreplace")
        self._go_on()
        if self._rest == whole:
            self._rest = b""
            return False
        return True

    def _go_on(self) -> None:
        try:
            # A pipe with any room accepts this many bytes at once.
            while self._rest and select.select((), (self._descriptor,), (), 0)[1]:
                written = os.write(self._descriptor, self._rest[: select.PIPE_BUF])
                self._rest = self._rest[written:]
        except OSError:
            # The reader has closed its end, or the disk is full.
            return
