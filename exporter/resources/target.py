"""Targets: the API resources that are polled."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from msgspec import Struct, field

from exporter.discovery.known import Found
from exporter.metrics.lines import Lines

Item = TypeVar("Item")

MOST_LISTED: Final = 20
AT_ONCE: Final = 100
"""Targets that are changed or moved between two turns of the event loop."""

NO_MINIMA: Final[Mapping[str, Decimal]] = MappingProxyType({})
NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})

Key = tuple[str, str]
"""The kind and the id of a target, which stay the same when its name changes."""


class Target(Struct, frozen=True):
    """One API resource that is polled.

    kind: of the resource.
    id: the API's identifier.
    organization, vault: labels `org` and `vault`; `vault` is empty for an organization's resources, both for a
        credential's.
    interval: configured seconds between polls.
    credential: name of the one to use.
    facts: samples known without a poll, from the configuration and the lists.
    found: its entry in a list of the API, None if no list has it.
    is_found: whether only discovery added it, without an entry in the configuration.
    is_another: whether another credential has a target that is otherwise the same.
    is_optional: whether a denied request is no failure.
    requests: expected number of requests for a poll.
    min_available: configured minimum available balances, by asset.
    vault_labels: labels of the vaults that an answer may name, by id.
    """

    kind: str
    id: str
    organization: str
    vault: str
    interval: float
    credential: str
    facts: Lines = field(default_factory=dict)
    found: Found | None = None
    is_found: bool = False
    is_another: bool = False
    is_optional: bool = False
    requests: int = 1
    min_available: Mapping[str, Decimal] = NO_MINIMA
    vault_labels: Mapping[str, str] = NO_LABELS

    def __hash__(self) -> int:
        # Mappings have none.
        return hash((self.kind, self.id, self.credential))

    @property
    def key(self) -> Key:
        """Its identity, which stays the same when its name changes."""
        return self.kind, f"{self.id}@{self.credential}" if self.is_another else self.id

    @property
    def owner(self) -> str:
        """Its organization, or else its credential."""
        return self.organization or self.credential

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that distinguish it from all other targets."""
        own = {"credential": self.credential}
        if not self.organization:
            return {"kind": self.kind, **own}
        labels = {"kind": self.kind, "org": self.organization, "vault": self.vault}
        return labels | own if self.is_another else labels

    def is_exposed_as(self, other: "Target") -> bool:
        """Whether an answer has the same samples and table for `other`, the same resource."""
        return (
            self.labels == other.labels
            and self.min_available == other.min_available
            and self.vault_labels == other.vault_labels
        )


class TargetChange(NamedTuple):
    """A target and its previous version, None for a new one."""

    new: Target
    old: Target | None = None


class Part(NamedTuple):
    """Of how other targets come to be polled, what changes at once."""

    changed: Sequence[TargetChange]
    gone: Sequence[Target]


def changes_between(
    old: Iterable[Target], new: Iterable[Target]
) -> tuple[list[TargetChange], list[Target]]:
    """Return which of `new` are not as they were, and which of `old` are gone."""
    known = {target.key: target for target in old}
    changes = [TargetChange(target, known.pop(target.key, None)) for target in new]
    return [it for it in changes if it.old != it.new], list(known.values())


def in_parts(changed: Iterable[TargetChange], gone: Sequence[Target]) -> list[Part]:
    """Return all changes in parts of at most AT_ONCE, between which no two targets have the same labels.

    Only labels that one target has from another change together, however many they are.
    """
    relabelled = [(new, old) for new, old in changed if old and old.labels != new.labels]
    taken = {_identity(new) for new, _ in relabelled}
    handed_on = taken.intersection(_identity(old) for _, old in relabelled)
    together, others, added = [], [], []
    for it in changed:
        if it.old is None:
            added.append(it)
        elif handed_on.isdisjoint((_identity(it.old), _identity(it.new))):
            others.append(it)
        else:
            together.append(it)
    others += added
    return [
        *(Part((), some) for some in _batches(gone)),
        Part(together, ()),
        *(Part(some, ()) for some in _batches(others)),
    ]


def _identity(target: Target) -> Hashable:
    return tuple(target.labels.items())


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def organizations_of(targets: Iterable[Target]) -> dict[str, tuple[str, ...]]:
    """Return the names of each credential's organizations."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for target in targets:
        if target.organization:
            found[target.credential][target.organization] = None
    return {credential: tuple(names) for credential, names in found.items()}


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence; of a long list only the first ones and the number of the others."""
    more = len(names) - MOST_LISTED
    text = ", ".join(names[:MOST_LISTED])
    return f"{text} and {more} more" if more > 0 else text
