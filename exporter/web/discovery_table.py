"""What was found, as the status page tells it; of very much that is not polled only some."""

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


class DiscoveryTold(NamedTuple):
    """What was found.

    organizations, vaults: how many of those that are polled are in a list. interval: seconds between two listings.
    rows: of what is not polled; more: how many there are besides. beyond: vaults that are not polled as they are too
    many. kept: what is polled although a filter excludes it.
    """

    organizations: int
    vaults: int
    interval: float
    rows: tuple[UnpolledRow, ...]
    more: int
    beyond: int
    kept: int


def discovery_told(inventory: Inventory | None) -> DiscoveryTold | None:
    """Return what there is to tell, None without discovery."""
    if inventory is None:
        return None
    organizations = inventory.organizations
    unpolled = len(inventory.unpolled) + sum(len(of.unpolled) for of in organizations)
    return DiscoveryTold(
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
