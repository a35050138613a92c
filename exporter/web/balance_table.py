"""The balances of a target as a table, to compare with Kraken's own screen: every digit as received."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct

from exporter.resources import RESOURCES
from exporter.resources.resource import Table, TableRow
from exporter.resources.worth import Sum
from exporter.state.state import TargetState
from exporter.web.formatting import amount


class Figure(NamedTuple):
    """An amount on the page.

    pad: invisible digits after it, which align the decimal points of a column.
    is_minimum: whether it is the configured minimum.
    """

    title: str
    amount: Decimal | None
    unit: str
    pad: str
    is_minimum: bool


class BalanceRow(NamedTuple):
    """A row of the table. is_short: whether the available balance is below its minimum."""

    asset: str
    asset_class: str
    name: str
    note: str
    is_short: bool
    figures: tuple[Figure, ...]


class BalanceTable(Struct, frozen=True):
    """A table.

    empty: text to show without rows.
    worth: title of the column that adds up, empty if none does.
    total: its sums.
    unpriced: assets that are held but missing from the total.
    """

    titles: tuple[str, ...]
    rows: Sequence[BalanceRow]
    empty: str
    worth: str = ""
    total: tuple[Sum, ...] = ()
    unpriced: tuple[str, ...] = ()


def balance_table_of(known: TargetState) -> BalanceTable | None:
    """Return the balances of a target; None if there are none."""
    balances, columns = known.balances, RESOURCES[known.target.kind].columns
    table = balances.table(known.target) if balances else None
    if balances is None or not isinstance(table, Table):
        return None
    shown = [place for place, column in enumerate(columns) if column.title]
    most = {
        place: max((_places(row.cells[place].amount) for row in table.rows), default=0)
        for place in shown
    }

    def figure(row: TableRow, place: int) -> Figure:
        amount_, unit = row.cells[place]
        column = columns[place]
        is_minimum = column.field == table.minimum
        return Figure(column.title, amount_, unit, _pad(amount_, most[place]), is_minimum)

    return BalanceTable(
        tuple(columns[place].title for place in shown),
        [
            BalanceRow(
                *row[:3], row.note, row.is_short, tuple(figure(row, place) for place in shown)
            )
            for row in table.rows
        ],
        table.empty,
        worth=next((column.title for column in columns if column.field == table.worth), ""),
        total=balances.worth.total if balances.worth and table.worth else (),
        unpriced=tuple(row.asset for row in table.rows if row.is_unpriced),
    )


def _places(value: Decimal | None) -> int:
    """Return the number of decimal places of an amount."""
    return 0 if value is None else len(amount(value).partition(".")[2])


def _pad(value: Decimal | None, places: int) -> str:
    """Return the decimal point and digits that an amount lacks of `places` decimal places."""
    if value is None or not places:
        return ""
    own = _places(value)
    return "0" * (places - own) if own else "." + "0" * places
