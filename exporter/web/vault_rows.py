"""The vaults of an organization on its page: unread ones first, then by worth."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from exporter.resources import RESOURCES
from exporter.resources.worth import Sum
from exporter.status.model import State, TargetStatus
from exporter.status.worth import worth_of
from exporter.web.formatting import Timestamp, age, moment
from exporter.web.row import path_of


class VaultRow(NamedTuple):
    """A row.

    worth: in each quote asset, empty if no balances are held.
    is_held: whether balances are held.
    """

    path: str
    name: str
    state: State
    is_held: bool
    worth: tuple[Sum, ...]
    unpriced: int
    short: int
    read: Timestamp | None
    read_text: str


def by_worth(vaults: Iterable[TargetStatus]) -> list[TargetStatus]:
    """Return `vaults`: those without balances first, then by worth, the most valuable first."""
    return sorted(vaults, key=_order)


def _order(vault: TargetStatus) -> tuple[bool, bool, str, Decimal]:
    worth = worth_of(vault)
    amount, unit = worth.total[0] if worth and worth.total else (None, "")
    # Only amounts in one quote asset can be compared; vaults without an amount come last.
    return worth is not None, amount is None, unit, (amount or Decimal(0)).copy_negate()


def vault_row_of(vault: TargetStatus, now: float) -> VaultRow:
    """Return the row of `vault` at `now`, in Unix seconds."""
    of, worth, success = vault.known.target, worth_of(vault), vault.known.last_success
    return VaultRow(
        path_of(of),
        RESOURCES[of.kind].name(of),
        vault.state,
        worth is not None,
        worth.total if worth else (),
        worth.unpriced if worth else 0,
        worth.short if worth else 0,
        None if success is None else moment(success),
        "never" if success is None else age(now - success),
    )
