"""Targets: the API resources that are polled, as the configuration lists them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from exporter.config import Settings

Kind = Literal["organization", "vault"]
MOST_LISTED: Final = 20


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


class TargetChange(NamedTuple):
    """A target, and what it was until now: the same resource, None for a new one."""

    new: Target
    old: Target | None = None


def compare(
    old: Iterable[Target], new: Iterable[Target]
) -> tuple[tuple[TargetChange, ...], tuple[Target, ...]]:
    """Return what becomes of each target of `new`, in its order, and which of `old` are gone."""
    known = {target.key: target for target in old}
    changes = tuple(TargetChange(target, known.pop(target.key, None)) for target in new)
    return changes, tuple(known.values())


def organizations_of(targets: Iterable[Target]) -> dict[str, tuple[str, ...]]:
    """Return the names of the organizations that are read with each credential."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for target in targets:
        found[target.credential][target.organization] = None
    return {credential: tuple(names) for credential, names in found.items()}


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them; of very many only some, and how many more there are."""
    more = len(names) - MOST_LISTED
    text = ", ".join(names[:MOST_LISTED])
    return f"{text} and {more} more" if more > 0 else text


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
