"""What tables look like: rows by labels, columns by queries, and the cells of a column."""

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import dashboard, units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.source.panels import SOURCE, TREND_HEIGHT, Property, lettered, levels, present


@dataclass(frozen=True)
class Column:
    """A column of a table.

    name: its heading; if empty, only its labels are shown, not its values. looks: properties besides the unit.
    """

    name: str
    unit: str
    expr: str
    looks: tuple[Property, ...] = ()


def decimals(number: int) -> Property:
    """Let a column have this many decimals."""
    return Property(id_val="decimals", value=number)


def shown_as(mappings: list[dashboard.ValueMapping]) -> tuple[Property, ...]:
    """Let a column show words, each in its colour."""
    return (
        Property(id_val="mappings", value=mappings),
        Property(id_val="custom.cellOptions", value={"type": "color-text"}),
    )


def signed() -> tuple[Property, ...]:
    """Let a column show negative values in red."""
    return (
        Property(id_val="thresholds", value=levels("red", (0, "text")).build()),
        Property(id_val="custom.cellOptions", value={"type": "color-text"}),
    )


def linked(title: str, url: str) -> Property:
    """Let the cells of a column be links."""
    return Property(id_val="links", value=[{"title": title, "url": url}])


def rows(title: str, labels: Mapping[str, str], *columns: Column) -> table.Panel:
    """Return a table of present values: a row for each set of labels, the columns joined by them.

    labels: the headings of the labels' columns, in their order.
    """
    values = [f"Value #{letter}" for letter in ascii_uppercase[: len(columns)]]
    if len(columns) == 1:
        values = ["Value"]
    heads = {**labels, **dict(zip(values, (column.name for column in columns), strict=True))}
    order = {field: position for position, field in enumerate(heads)}
    hidden = {field: True for field, head in heads.items() if not head} | {"Time": True}
    panel = (
        table.Panel()
        .title(title)
        .datasource(SOURCE)
        .height(TREND_HEIGHT)
        .unit(units.Number)
        .filterable(filterable=True)
        .targets(lettered(present(column.expr).format(PromQueryFormat.TABLE) for column in columns))
        .with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            dashboard.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": hidden,
                    "indexByName": order,
                    "renameByName": {field: head for field, head in heads.items() if head},
                },
            )
        )
    )
    for column in columns:
        if column.name:
            unit = Property(id_val="unit", value=column.unit)
            panel.override_by_name(column.name, [unit, *column.looks])
    return panel
