"""What is polled, each resource of the API in one module; this is the list of them."""

from exporter.config import Settings
from exporter.metrics.metric import Group
from exporter.resources.organization_balances import ORGANIZATION_BALANCES
from exporter.resources.resource import Resource
from exporter.resources.target import Target
from exporter.resources.vault_balances import VAULT_BALANCES

RESOURCES: dict[str, Resource] = {
    resource.kind: resource
    for resource in (
        VAULT_BALANCES,
        ORGANIZATION_BALANCES,
    )
}
"""By kind, in the order of the exposition."""


def targets_of(settings: Settings) -> tuple[Target, ...]:
    """Return every target in the order of the file: what is an organization's own, then what is of its vaults."""
    names = [("", "")]
    for organization in settings.organizations:
        names.append((organization.name, ""))
        names += [(organization.name, vault.name) for vault in organization.vaults]
    places = {name: place for place, name in enumerate(names)}
    targets = [target for resource in RESOURCES.values() for target in resource.targets(settings)]
    return tuple(sorted(targets, key=lambda it: places[it.organization, it.vault]))


def name_of(target: Target) -> str:
    """Return what people call a target."""
    name = RESOURCES[target.kind].name(target)
    return f"{target.owner} / {name}"


def groups() -> list[Group]:
    """Return the metrics of all resources, as the documentation lists them."""
    resources = RESOURCES.values()
    own = [Group(it.plural.capitalize(), (*it.metrics, *it.configured)) for it in resources]
    return own + [it.described for it in resources if it.described]
