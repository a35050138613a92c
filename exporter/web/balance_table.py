"""The balances of a target as a table, to compare with what Kraken's own screen shows: every digit as it came."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from typing import Final, NamedTuple

from exporter.custody.amounts import FIELDS, TOTAL_FIELDS, Amounts, unpack
from exporter.metrics.state import Balances
from exporter.targets import Kind
from exporter.web.formatting import UNKNOWN

_FIELDS: Final[Mapping[Kind, tuple[str, ...]]] = {"vault": FIELDS, "organization": TOTAL_FIELDS}
_WORTH: Final = FIELDS.index("quote_balance")
# Rather no sum than one that is not exact.
_EXACTLY: Final = Context(prec=400, traps=[Inexact])


class Cell(NamedTuple):
    """An amount, None where the API left it out. unit: the quote asset, empty where it is the row's own asset."""

    amount: Decimal | None
    unit: str


class BalanceRow(NamedTuple):
    """An asset and its amounts, or the total of an organization."""

    asset: str
    name: str
    cells: tuple[Cell, ...]
    asset_class: str


@dataclass(frozen=True, slots=True)
class BalanceTable:
    """A table. worth: the sums of the quote balances. unpriced: how many rows have none."""

    titles: tuple[str, ...]
    rows: tuple[BalanceRow, ...]
    worth: tuple[Cell, ...] = ()
    unpriced: int = 0


def balance_table_of(kind: Kind, balances: Balances) -> BalanceTable:
    """Return what `balances` say of a target of that kind."""
    fields = _FIELDS[kind]
    titles = tuple(field.replace("_", " ").capitalize() for field in fields)
    unpacked = unpack(balances.amounts)
    if kind == "organization":
        (total,) = unpacked
        cells = tuple(Cell(amount, total.quote_asset) for amount in total.amounts)
        return BalanceTable(titles, (BalanceRow("All", "all assets of all vaults", cells, ""),))
    rows = tuple(
        BalanceRow(asset.asset, asset.name or UNKNOWN, _cells(amounts), asset.asset_class)
        for asset, amounts in zip(balances.assets, unpacked, strict=True)
    )
    worths = [row.cells[_WORTH] for row in rows]
    return BalanceTable(
        titles,
        rows,
        worth=tuple(_sums(worth for worth in worths if worth.amount is not None)),
        unpriced=sum(worth.amount is None for worth in worths),
    )


def _cells(amounts: Amounts) -> tuple[Cell, ...]:
    units = (amounts.quote_asset if field.startswith("quote") else "" for field in FIELDS)
    return tuple(map(Cell, amounts.amounts, units))


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
