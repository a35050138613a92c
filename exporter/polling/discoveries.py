"""Logs what discovery changed: each change once, and only some of very many."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from exporter.discovery.inventory import MOST_VAULTS, Inventory
from exporter.logs import get_logger
from exporter.resources.target import Target, TargetChange

log = get_logger()

MOST_LOGGED: Final = 20

Write = Callable[..., None]


class _Events(NamedTuple):
    discovered: Write
    gone: Write
    renamed: Write


_EVENTS: Final[Mapping[str, _Events]] = {
    "vault": _Events(
        lambda **facts: log.info("vault_discovered", **facts),
        lambda **facts: log.warning("vault_gone", **facts),
        lambda **facts: log.info("vault_renamed", **facts),
    ),
    "organization": _Events(
        lambda **facts: log.info("organization_discovered", **facts),
        lambda **facts: log.warning("organization_gone", **facts),
        lambda **facts: log.info("organization_renamed", **facts),
    ),
}
"""By the kind of resource listed. Lists and other targets that depend on it come and go with it."""


def log_discoveries(
    changes: Sequence[TargetChange], gone: Sequence[Target], before: Inventory, after: Inventory
) -> None:
    """Log the targets that a list added, removed or renamed."""
    for kind, events in _EVENTS.items():
        own = [it for it in changes if it.new.kind == kind]
        _each(events.discovered, [(new, {}) for new, old in own if old is None])
        _each(events.gone, [(target, {}) for target in gone if target.kind == kind])
        renamed = [
            (new, {"old": old.vault or old.organization})
            for new, old in own
            if old and (old.vault or old.organization) != (new.vault or new.organization)
        ]
        _each(events.renamed, renamed)
        kept = [new for new, _ in own if new.id in after.kept - before.kept]
        _each(_renamed_into_exclusion, [(target, {}) for target in kept])
    if (beyond := _beyond_limit(after)) and not _beyond_limit(before):
        log.warning(
            "too_many_vaults",
            unpolled=beyond,
            problem=f"more than {MOST_VAULTS} vaults: exclude some, or share them among several exporters",
        )


def _renamed_into_exclusion(**facts: str) -> None:
    log.warning(
        "renamed_into_exclusion",
        **facts,
        problem="a filter of discovery excludes its new name; it is polled until a reload nevertheless",
    )


def _beyond_limit(inventory: Inventory) -> int:
    return sum(it.reason == "limit" for of in inventory.organizations for it in of.unpolled)


def _each(write: Write, targets: Iterable[tuple[Target, Mapping[str, str]]]) -> None:
    targets = list(targets)
    for target, facts in targets[:MOST_LOGGED]:
        names = {label: value for label, value in target.labels.items() if value}
        del names["kind"]
        write(**names, id=target.id, **facts)
    if len(targets) > MOST_LOGGED:
        write(more=len(targets) - MOST_LOGGED)
