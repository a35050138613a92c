"""The description of a metric: name, type, help, labels and where its value comes from.

The exposition, the counters of `telemetry` and the table of metrics in the documentation use these.
"""

from typing import Final, Literal, NamedTuple

from msgspec import Struct

Type = Literal["gauge", "counter", "histogram"]


UNITS: Final = ("bytes", "fields", "ratio", "requests", "rows", "seconds", "series")


def unit_of(family: str) -> str:
    """Return the unit at the end of a family's name, or "" (OpenMetrics 1.0, "Unit")."""
    word = family.rpartition("_")[2]
    return word if word in UNITS else ""


class Metric(Struct, frozen=True):
    """A metric.

    unit: of its value, for people.
    source: the API's field, or whatever else the value is taken from.
    is_field: whether `source` is a field of the API.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...]
    unit: str
    source: str
    is_field: bool = False


class Group(NamedTuple):
    """The metrics of one table. title: its heading."""

    title: str
    metrics: tuple[Metric, ...]
