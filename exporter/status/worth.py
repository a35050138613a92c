"""What each organization is worth: the API's total, the sum of its vaults, and what each of them lacks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from msgspec import Struct

from exporter.resources import RESOURCES
from exporter.resources.worth import Cell, Worth, minus, sums
from exporter.status.model import Status, TargetStatus


class OrganizationWorth(Struct, frozen=True):
    """The worth of a polled organization.

    total: the target with the API's own total, None if it is not polled.
    vaults: the targets that add up to it.
    targets: number of all its targets.
    unpolled: number of vaults that were found but are not polled.
    shards: number of shards, of which this process polls one.
    counted: the targets whose counts stand beside its worth, by kind.
    """

    name: str
    total: TargetStatus | None
    vaults: tuple[TargetStatus, ...]
    targets: int
    unpolled: int
    shards: int
    counted: Mapping[str, TargetStatus]

    @property
    def worth(self) -> Worth | None:
        """The API's total; None if it was withdrawn or not read yet."""
        return worth_of(self.total) if self.total else None

    @property
    def sum(self) -> tuple[Cell, ...]:
        """The sum of the vaults with balances, in each quote asset."""
        return sums(chain.from_iterable(worth.total for worth in self._worths()))

    @property
    def difference(self) -> tuple[Cell, ...]:
        """The API's total less the sum of the vaults, in the quote assets that both have."""
        told = {unit: amount for amount, unit in self.worth.total} if self.worth else {}
        return tuple(
            Cell(minus(told[unit], amount), unit) for amount, unit in self.sum if unit in told
        )

    @property
    def stale(self) -> int:
        """Number of vaults whose balances were withdrawn as too old."""
        return sum(vault.state == "stale" for vault in self.vaults)

    @property
    def unread(self) -> int:
        """Number of vaults without balances, including stale ones."""
        return sum(worth_of(vault) is None for vault in self.vaults)

    @property
    def rejected(self) -> int:
        """Number of invalid rows of vaults."""
        return sum(len(vault.known.rejected) for vault in self.vaults if vault.known.balances)

    @property
    def unpriced_vaults(self) -> int:
        """Number of vaults with assets without a price."""
        return sum(worth.unpriced > 0 for worth in self._worths())

    @property
    def unpriced(self) -> int:
        """Number of amounts without a price, in all vaults together."""
        return sum(worth.unpriced for worth in self._worths())

    @property
    def short(self) -> int:
        """Number of amounts below their minimum, in all vaults together."""
        return sum(worth.short for worth in self._worths())

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is missing from the sum of the vaults, in words."""
        lacking = (
            (self.unread, "vault that is not read", "vaults that are not read"),
            (self.unpolled, "vault that is not polled", "vaults that are not polled"),
            (self.rejected, "row that was rejected", "rows that were rejected"),
            (self.unpriced, "amount without a price", "amounts without a price"),
        )
        told = [f"{count} {one if count == 1 else many}" for count, one, many in lacking if count]
        if self.shards > 1:
            told.append("vaults of other shards")
        return tuple(told)

    def _worths(self) -> Iterator[Worth]:
        return filter(None, map(worth_of, self.vaults))


def worth_of(target: TargetStatus) -> Worth | None:
    """Return what a target is worth; None without balances."""
    return target.known.balances.worth if target.known.balances else None


def organizations_of(status: Status, only: str | None = None) -> tuple[OrganizationWorth, ...]:
    """Return every organization, or only the one with that name, in the configured order."""
    totals: dict[str, TargetStatus | None] = {}
    vaults: dict[str, list[TargetStatus]] = {}
    counted: dict[str, dict[str, TargetStatus]] = {}
    counts: Counter[str] = Counter()
    for target in _owned(status.targets, only):
        name = target.known.target.organization
        counts[name] += 1
        totals.setdefault(name, None)
        kind = target.known.target.kind
        role = RESOURCES[kind].worth
        if RESOURCES[kind].headline:
            counted.setdefault(name, {})[kind] = target
        if role == "total":
            totals[name] = target
        elif role == "part":
            vaults.setdefault(name, []).append(target)
    found = status.discovery.organizations if status.discovery else ()
    unpolled = {of.label: len(of.unpolled) for of in found}
    return tuple(
        OrganizationWorth(
            name,
            total,
            tuple(vaults.get(name, ())),
            counts[name],
            unpolled.get(name, 0),
            status.exporter.shard.of,
            counted.get(name, {}),
        )
        for name, total in totals.items()
    )


def _owned(targets: Iterable[TargetStatus], only: str | None) -> Iterator[TargetStatus]:
    for target in targets:
        name = target.known.target.organization
        if name and only in (None, name):
            yield target
