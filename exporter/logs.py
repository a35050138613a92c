"""Structured logs on stderr: one line an event, logfmt or JSON, with stable event names and nothing secret."""

import logging
import sys
from typing import Final, Literal, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

Level = Literal["debug", "info", "warn", "error"]
Format = Literal["logfmt", "json"]

_LEVELS: Final[dict[Level, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def get_logger() -> FilteringBoundLogger:
    """Return a logger; what `configure` says applies to it even where it is called later."""
    return cast("FilteringBoundLogger", structlog.get_logger())


def configure(level: Level, format_: Format) -> None:
    """Send the events of this process, and the warnings of its libraries, to stderr."""
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if format_ == "json"
        else structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"])
    )
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # Never lower, whatever the level: httpx and httpcore log requests with their headers, and so the key, below it.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
