"""Targets: the API resources that are polled, as the configuration lists them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from exporter.config import Settings

Kind = Literal["organization", "vault"]


@dataclass(frozen=True, slots=True)
class Target:
    """One API resource that is polled.

    id: what identifies it to the API. organization, vault: the configured names, labels `org` and `vault`; `vault`
    is empty for an organization. interval: seconds between polls, as configured. credential: the name of the one to
    use. min_available: configured thresholds by asset, in units of the asset.
    """

    kind: Kind
    id: str
    organization: str
    vault: str
    interval: float
    credential: str
    min_available: Mapping[str, Decimal] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> tuple[Kind, str]:
        """What stays the same when the configuration calls it something else."""
        return self.kind, self.id


def targets_of(settings: Settings) -> tuple[Target, ...]:
    """Return every target in the order of the file: each organization's total, then its vaults."""
    return tuple(
        target
        for organization in settings.organizations
        for target in (
            Target(
                kind="organization",
                id=organization.id,
                organization=organization.name,
                vault="",
                interval=organization.interval,
                credential=organization.credentials,
            ),
            *(
                Target(
                    kind="vault",
                    id=vault.id,
                    organization=organization.name,
                    vault=vault.name,
                    interval=vault.interval,
                    credential=organization.credentials,
                    min_available=vault.min_available,
                )
                for vault in organization.vaults
            ),
        )
    )
