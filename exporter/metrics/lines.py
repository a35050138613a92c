"""Sample lines, and what of them is exposed at one moment.

A sample line is the same in the text format and in OpenMetrics, as is what it costs: so lines are made once, when
something changes, and a scrape only copies them. Money becomes a float here and nowhere before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from exporter.metrics.metric import Metric

Lines = Mapping[str, bytes]
"""Sample lines, each with its line feed, by the name of their metric."""


# Polls ask for the same few again and again: what is held where hardly changes.
@lru_cache(maxsize=4096)
def label_set(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return `a="1",b="2"`, escaped as both formats want it.

    Prometheus: "Exposition formats"; OpenMetrics 1.0, "Escaping".
    """
    return ",".join(
        [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]
    )


def _escaped(value: str) -> str:
    # Three searches for what hardly ever stands there: str.translate looks up each character that is not ASCII.
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class Page:
    """Lines under the names of their metrics, in the making."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def sample(
        self, metric: Metric, labels: tuple[str, ...], value: Decimal | float | None
    ) -> None:
        """Add a sample with these values of the metric's labels, where there is a value."""
        self.labelled(metric, metric.labels, labels, value)

    def labelled(
        self,
        metric: Metric,
        names: tuple[str, ...],
        labels: tuple[str, ...],
        value: Decimal | float | None,
    ) -> None:
        """Add a sample whose labels have these names, where there is a value."""
        if value is not None:
            line = f"{metric.name}{{{label_set(names, labels)}}} {float(value)!r}\n"
            self._lines.setdefault(metric.name, []).append(line)

    def done(self) -> Lines:
        """Return all lines."""
        return {name: "".join(lines).encode() for name, lines in self._lines.items()}


def count_series(lines: Lines) -> int:
    """Return how many samples `lines` hold: a line feed within a label value is escaped, so each ends one."""
    return sum(text.count(b"\n") for text in lines.values())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is exposed at one moment, in references: it is quickly made, and nothing of it changes any more.

    parts: metrics, in the order of the exposition, and the pages that may have lines of them.
    """

    parts: tuple[tuple[tuple[Metric, ...], tuple[Lines, ...]], ...]

    def families(self) -> Iterator[tuple[Metric, list[bytes]]]:
        """Yield each metric that has samples, with its lines in as many pieces as there are."""
        for metrics, pages in self.parts:
            for metric in metrics:
                lines = [page[metric.name] for page in pages if metric.name in page]
                if lines:
                    yield metric, lines
