"""What a scrape gets: joins what is rendered already, and compresses it; a scrape costs little more than copying."""

import asyncio
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, Protocol

from isal import isal_zlib
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.exposition import generate_latest as text_of
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of

from exporter.metrics.lines import Snapshot
from exporter.metrics.metric import Metric, unit_of
from exporter.metrics.negotiation import Format
from exporter.threads import Worker

CHUNK_BYTES: Final = 512 * 1024
"""Small enough that joining one holds neither the event loop nor the interpreter's lock for a millisecond."""
GZIP_LEVEL: Final = 1
"""As fast as isal's level 0, and a third smaller; level 3 takes five times as long and saves nothing."""
GZIP_BITS: Final = 16 + isal_zlib.MAX_WBITS
"""How zlib is told to write a gzip member."""


@functools.cache
def _header(metric: Metric, format_: Format) -> bytes:
    name, unit = metric.name, ""
    if format_ is Format.OPENMETRICS_1_0_0:
        # A family of counters is called without what its samples end with (OpenMetrics 1.0, "Counter").
        name = name.removesuffix("_total") if metric.type == "counter" else name
        unit = unit_of(name)
    text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {metric.type}"]
    lines += [f"# UNIT {name} {unit}"] if unit else []
    return "".join(f"{line}\n" for line in lines).encode()


class Samples(Protocol):
    """What has samples that are rendered already."""

    def snapshot(self) -> Snapshot:
        """Return what is exposed now."""


class Exposition:
    """What scrapes get of one store and one registry. To be called in the event loop that changes them."""

    def __init__(self, store: Samples, registry: CollectorRegistry) -> None:
        self._store = store
        self._registry = registry
        # One thread, so that many scrapes never are many threads.
        self._compressor = Worker("compressor")

    def plain(self, format_: Format) -> Iterator[bytes]:
        """Return the exposition of this moment, in chunks."""
        own = _own_metrics(self._registry, format_)
        return chain(_chunks(_stored(self._store.snapshot(), format_)), [own])

    async def gzip(self, format_: Format) -> list[bytes]:
        """Return the exposition of this moment, in pieces of one gzip member."""
        # Anew for each scrape. To keep it for a second server that comes before anything else was polled would save
        # 14 ms of processor time at 100,000 series, where something is polled every 0.3 s.
        loop = asyncio.get_running_loop()
        pieces = compressed(self.plain(format_))
        return await loop.run_in_executor(self._compressor, list, pieces)


def compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `chunks` in pieces of one gzip member."""
    compressor = isal_zlib.compressobj(GZIP_LEVEL, wbits=GZIP_BITS)
    yield from map(compressor.compress, chunks)
    yield compressor.flush()


def _stored(snapshot: Snapshot, format_: Format) -> Iterator[bytes]:
    """Yield each metric that has samples: its header, and its lines in as many pieces as there are."""
    for metric, lines in snapshot.families():
        yield _header(metric, format_)
        yield from lines


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join pieces to chunks of about CHUNK_BYTES."""
    chunk: list[bytes] = []
    size = 0
    for piece in pieces:
        chunk.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    yield b"".join(chunk)


@dataclass(frozen=True, slots=True)
class _WithUnits:
    """The families of a registry, each with the unit that its name has; prometheus-client asks for it by hand."""

    registry: CollectorRegistry

    def collect(self) -> Iterator[Family]:
        for family in self.registry.collect():
            family.unit = unit_of(family.name)
            yield family


def _own_metrics(registry: CollectorRegistry, format_: Format) -> bytes:
    """Return the exporter's own metrics; they end with `# EOF` where the format wants that, so they come last."""
    if format_ is Format.OPENMETRICS_1_0_0:
        return openmetrics_of(_WithUnits(registry))  # type: ignore[no-untyped-call, no-any-return]  # prometheus-client leaves it untyped
    return text_of(registry)
