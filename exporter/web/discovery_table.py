"""Discovery on the status page; of many things that are not polled, only the first are listed."""

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from exporter.discovery.inventory import Inventory, Reason, Unpolled

MOST_SHOWN: Final = 200
REASONS: Final[dict[Reason, str]] = {
    "excluded": "excluded by a filter",
    "limit": "too many vaults",
}


class UnpolledRow(NamedTuple):
    """A find that is not polled. since: Unix seconds."""

    organization: str
    name: str
    id: str
    status: str
    reason: str
    since: float


class DiscoveryView(NamedTuple):
    """Discovery in numbers.

    organizations, vaults: number of polled ones that are listed.
    interval: seconds between two listings.
    rows: what is not polled.
    more: how many further ones are not polled.
    beyond: number of vaults above the limit.
    kept: number of targets that are polled although a filter excludes their new name.
    """

    organizations: int
    vaults: int
    interval: float
    rows: tuple[UnpolledRow, ...]
    more: int
    beyond: int
    kept: int


def discovery_view(inventory: Inventory | None) -> DiscoveryView | None:
    """Return what the status page shows of discovery, None without discovery."""
    if inventory is None:
        return None
    organizations = inventory.organizations
    unpolled = len(inventory.unpolled) + sum(len(of.unpolled) for of in organizations)
    return DiscoveryView(
        organizations=sum(of.found is not None for of in organizations),
        vaults=sum(of.discovered_vaults for of in organizations),
        interval=inventory.listing_interval,
        rows=tuple(islice(_rows(inventory), MOST_SHOWN)),
        more=max(0, unpolled - MOST_SHOWN),
        beyond=sum(it.reason == "limit" for of in organizations for it in of.unpolled),
        kept=len(inventory.kept),
    )


def _rows(inventory: Inventory) -> Iterator[UnpolledRow]:
    for it in inventory.unpolled:
        yield _row("", it)
    for of in inventory.organizations:
        for it in of.unpolled:
            yield _row(of.label, it)


def _row(organization: str, it: Unpolled) -> UnpolledRow:
    id_, name, status, _ = it.found.listed
    return UnpolledRow(organization, name, id_, status, REASONS[it.reason], it.found.since)
