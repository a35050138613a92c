"""The counts of an answer as the table of its target's page and as JSON: numbers, moments and labels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from exporter.resources import RESOURCES
from exporter.resources.resource import Column, CountCell, Counts
from exporter.state.state import TargetState
from exporter.web.formatting import UNKNOWN, rfc3339


class Counted(NamedTuple):
    """A cell as the page shows it.

    at: Unix seconds of a moment, None for anything else.
    """

    title: str
    text: str
    at: float | None
    is_number: bool


class CountTable(NamedTuple):
    """A table of counts.

    columns: those that are shown.
    note: a remark for people, empty if there is none.
    empty: text to show if there are no rows.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Counted]]
    note: str
    empty: str


def count_table_of(known: TargetState) -> CountTable | None:
    """Return the counts of a target as a table; None if it has none."""
    counts, columns = _counts(known)
    if counts is None:
        return None
    shown = [(place, column) for place, column in enumerate(columns) if column.title]
    return CountTable(
        [column for _, column in shown],
        [[_counted(column, row[place]) for place, column in shown] for row in counts.rows],
        counts.note,
        counts.empty,
    )


def _counted(column: Column, value: CountCell) -> Counted:
    at = None if column.form != "moment" or value is None else float(value)
    text = f"{value:,}" if isinstance(value, int) else str(value or UNKNOWN)
    return Counted(column.title, text, at, column.form == "number")


def total_of(known: TargetState) -> int | None:
    """Return the total of a target's counts; None if it has none."""
    counts, _ = _counts(known)
    return counts.total if counts else None


def counts_json(known: TargetState) -> Mapping[str, Any] | None:
    """Return the counts of a target as JSON, with moments in RFC 3339; None if it has none."""
    counts, columns = _counts(known)
    if counts is None:
        return None
    rows = [
        {column.field: _plain(column, value) for column, value in zip(columns, row, strict=True)}
        for row in counts.rows
    ]
    return {**counts.facts, "rows": rows}


def _plain(column: Column, value: CountCell) -> CountCell:
    return value if column.form != "moment" or value is None else rfc3339(float(value))


def _counts(known: TargetState) -> tuple[Counts | None, Sequence[Column]]:
    resource = RESOURCES[known.target.kind]
    # Amounts are stored compressed: to unpack those of 20,000 vaults only to find no counts would take seconds.
    answer = None if resource.worth else known.balances
    table = answer.table(known.target) if answer else None
    return table if isinstance(table, Counts) else None, resource.columns
