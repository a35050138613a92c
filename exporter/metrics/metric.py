"""What a metric is: name, type, help, labels and where its value comes from.

The exposition, the counters of `telemetry` and the table of all metrics in the documentation are made from these.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Type = Literal["gauge", "counter", "histogram"]


UNITS: Final = ("bytes", "fields", "ratio", "requests", "rows", "seconds", "series")


def unit_of(family: str) -> str:
    """Return the unit that the name of a family ends with, "" where it has none (OpenMetrics 1.0, "Unit")."""
    word = family.rpartition("_")[2]
    return word if word in UNITS else ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    unit: of its value, for people. source: the API's field, or what else the value is taken from. is_field: whether
    it is the API's field.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...]
    unit: str
    source: str
    is_field: bool = False


class Group(NamedTuple):
    """Metrics that stand in one table. title: its heading."""

    title: str
    metrics: tuple[Metric, ...]
