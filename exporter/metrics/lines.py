"""Sample lines, and snapshots of them.

Sample lines are the same in the text format and in OpenMetrics. Values are formatted once, when something changes; a
scrape copies lines, or joins those of many rows from their labels and values. Money becomes a float here and nowhere
earlier.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from operator import methodcaller
from typing import Final

import msgspec

from exporter.metrics.metric import Metric

Lines = Mapping[str, bytes]
"""Sample lines, each with its line feed, by metric name."""


# Polls use the same few label sets again and again: which assets a vault holds rarely changes.
@lru_cache(maxsize=4096)
def label_set(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return `a="1",b="2"`, escaped as both formats require.

    Prometheus: "Exposition formats"; OpenMetrics 1.0, "Escaping".
    """
    return ",".join(
        [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]
    )


_OTHERWISE: Final = re.compile(r"-?0\.0000|.*e").match
"""Finds numbers below 0.0001 and with exponents."""


def sample_values(columns: Sequence[Sequence[float | None]]) -> list[str]:
    """Return each column as `repr` writes floats, with commas between; None is `null`."""
    # A third of the time that `repr` takes. Both write the fewest digits, but other exponents.
    written = msgspec.json.encode(columns)[2:-2].decode().split("],[")
    for place, text in enumerate(written):
        if "e" in text or "0.0000" in text:
            pairs = zip(text.split(","), columns[place], strict=True)
            values = [repr(number) if _OTHERWISE(value) else value for value, number in pairs]
            written[place] = ",".join(values)
    return written


def _escaped(value: str) -> str:
    # Three searches that rarely match are faster than str.translate, which looks up each non-ASCII character.
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class Page:
    """A builder of lines by metric name."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def sample(
        self, metric: Metric, labels: tuple[str, ...], value: Decimal | float | None
    ) -> None:
        """Add a sample with these values of the metric's labels, if there is a value."""
        self.labelled(metric, metric.labels, labels, value)

    def labelled(
        self,
        metric: Metric,
        names: tuple[str, ...],
        labels: tuple[str, ...],
        value: Decimal | float | None,
    ) -> None:
        """Add a sample with these label names and values, if there is a value."""
        if value is not None:
            line = f"{metric.name}{{{label_set(names, labels)}}} {float(value)!r}\n"
            self._lines.setdefault(metric.name, []).append(line)

    def done(self) -> Lines:
        """Return all lines."""
        return {name: "".join(lines).encode() for name, lines in self._lines.items()}


def count_series(lines: Lines) -> int:
    """Return the number of samples in `lines`: line feeds in label values are escaped, so each ends a sample."""
    return sum(text.count(b"\n") for text in lines.values())


class Snapshot(msgspec.Struct, frozen=True):
    """What is exposed at one moment, as references: quick to take, and immutable.

    parts: metrics, in the order of the exposition, and the pages that may contain lines of them.
    """

    parts: tuple[tuple[tuple[Metric, ...], tuple[Lines, ...]], ...]

    def families(self) -> Iterator[tuple[Metric, Iterator[bytes]]]:
        """Yield each metric that has samples, with its lines in pieces, each made when it is its turn."""
        for metrics, pages in self.parts:
            for metric in metrics:
                lines = filter(None, map(methodcaller("get", metric.name), pages))
                first = next(lines, None)
                if first is not None:
                    yield metric, chain((first,), lines)
