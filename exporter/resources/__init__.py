"""The resources of the API that are polled, each in one module."""

from itertools import chain
from operator import itemgetter
from typing import Final

from exporter.discovery.inventory import Inventory
from exporter.metrics.metric import Group
from exporter.resources.organization_balances import ORGANIZATION_BALANCES
from exporter.resources.organizations import ORGANIZATIONS
from exporter.resources.pending_tasks import PENDING_TASKS
from exporter.resources.resource import Resource
from exporter.resources.target import Target
from exporter.resources.vault_balances import VAULT_BALANCES
from exporter.resources.vaults import VAULTS
from exporter.resources.whitelist import WHITELIST
from exporter.turns import Steps

AT_ONCE: Final = 500

RESOURCES: dict[str, Resource] = {
    resource.kind: resource
    for resource in (
        VAULT_BALANCES,
        ORGANIZATION_BALANCES,
        PENDING_TASKS,
        WHITELIST,
        ORGANIZATIONS,
        VAULTS,
    )
}
"""By kind, in the order of the exposition."""


def targets_of(inventory: Inventory) -> Steps[tuple[Target, ...]]:
    """Return every target: those of credentials, then for each organization its own and those of its vaults.

    Yields in between, so that the event loop is not blocked.
    """
    places: dict[tuple[str, str], int] = {("", ""): 0}
    for organization in inventory.organizations:
        places[organization.label, ""] = len(places)
        for vault in organization.vaults:
            places[organization.label, vault.label] = len(places)
        yield
    made = chain.from_iterable(it.targets(inventory) for it in RESOURCES.values())
    placed = []
    for number, target in enumerate(made):
        placed.append((places[target.organization, target.vault], target))
        if number % AT_ONCE == 0:
            yield
    placed.sort(key=itemgetter(0))
    return tuple([target for _, target in placed])


def name_of(target: Target) -> str:
    """Return the name of a target for people."""
    name = RESOURCES[target.kind].name(target)
    return f"{target.owner} / {name}"


def groups() -> list[Group]:
    """Return the metrics of all resources, as the documentation lists them."""
    resources = RESOURCES.values()
    own = [Group(it.plural.capitalize(), (*it.metrics, *it.facts)) for it in resources]
    return own + [it.described for it in resources if it.described]
