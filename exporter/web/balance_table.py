"""The balances of a target as a table, to compare with what Kraken's own screen shows: every digit as it came."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from typing import Final

from exporter.resources.resource import Cell, Exposed, TableRow

# Rather no sum than one that is not exact.
_EXACTLY: Final = Context(prec=400, traps=[Inexact])


@dataclass(frozen=True, slots=True)
class BalanceTable:
    """A table. empty: what it says without rows. worth: the sums of what adds up. unpriced: how many rows lack it."""

    titles: tuple[str, ...]
    rows: Sequence[TableRow]
    empty: str
    worth: tuple[Cell, ...] = ()
    unpriced: int = 0


def balance_table_of(balances: Exposed) -> BalanceTable | None:
    """Return the amounts of `balances`; None where their resource has none."""
    table = balances.kept.table(balances.described)
    if table is None:
        return None
    worths = [] if table.worth is None else [row.cells[table.worth] for row in table.rows]
    return BalanceTable(
        table.titles,
        table.rows,
        table.empty,
        worth=tuple(_sums(worths)),
        unpriced=sum(worth.amount is None for worth in worths),
    )


def _sums(worths: Iterable[Cell]) -> Iterable[Cell]:
    """Yield the sum in each unit, as far as it can be told exactly."""
    by_unit: dict[str, list[Decimal]] = {}
    for amount, unit in worths:
        if amount is not None:
            by_unit.setdefault(unit, []).append(amount)
    for unit, amounts in by_unit.items():
        total = Decimal(0)
        try:
            for amount in amounts:
                total = _EXACTLY.add(total, amount)
        except Inexact:
            continue
        yield Cell(total, unit)
