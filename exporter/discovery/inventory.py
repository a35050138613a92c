"""The inventory: everything to poll, from the configuration and from discovery."""

import math
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.config import Discovery, OrganizationSettings, Settings, VaultSettings
from exporter.discovery.known import AT_ONCE, Finds, Found, Known, Source
from exporter.discovery.labels import labels_of
from exporter.shard import Shard
from exporter.turns import Steps

SHARED_AT_ONCE: Final = 200
"""Vaults whose shard is computed before other tasks may run."""
MOST_VAULTS: Final = 20_000
"""Maximum vaults that are polled, including configured ones."""


class Held(NamedTuple):
    """The ids of what is polled now, which stays even if a filter excludes its new name."""

    organizations: Container[str] = ()
    vaults: Container[str] = ()


HELD_NOTHING: Final = Held()

Reason = Literal["excluded", "limit"]
"""Why something found is not polled: a filter excludes it, or it is beyond MOST_VAULTS."""


class Unpolled(NamedTuple):
    """Something found that is not polled."""

    found: Found
    reason: Reason


class Vault(Struct, frozen=True):
    """A vault to poll.

    found: its entry in a list, None if no list has it.
    is_configured: whether it is in the configuration.
    """

    id: str
    label: str
    interval: float
    credential: str
    found: Found | None = None
    min_available: Mapping[str, Decimal] = field(default_factory=dict)
    is_configured: bool = True


class VaultList(NamedTuple):
    """A list of an organization's vaults. finds: its entries, None before the first reading."""

    credential: str
    finds: Finds | None


class Organization(Struct, frozen=True):
    """An organization that is polled.

    found: what a list says of it, None if no list has it. is_configured: whether it has an entry of its own.
    is_here: whether what is its own, such as its total, is of this shard. has_vaults: whether the configuration has
    vaults of it. vault_labels: of the vaults that are polled by any shard, by id. lists: of its vaults, that of its own
    credential first; none without discovery. unpolled: vaults that were found and are not polled. collect: what is read
    of it and its vaults.
    """

    id: str
    label: str
    interval: float
    credential: str
    vaults: tuple[Vault, ...]
    found: Found | None = None
    is_configured: bool = True
    is_here: bool = True
    has_vaults: bool = False
    vault_labels: Mapping[str, str] = field(default_factory=dict)
    lists: tuple[VaultList, ...] = ()
    unpolled: tuple[Unpolled, ...] = ()
    collect: Container[str] = ("balances",)

    @property
    def is_listed(self) -> bool:
        """Whether any list of its vaults has been read since the start."""
        return any(finds is not None for _, finds in self.lists)

    @property
    def discovered_vaults(self) -> int:
        """Number of polled vaults that a list has, including configured ones."""
        return sum(vault.found is not None for vault in self.vaults)


class OrganizationList(NamedTuple):
    """A list of organizations. has_organizations: whether the configuration has some for its credential."""

    credential: str
    finds: Finds | None
    has_organizations: bool


class Inventory(Struct, frozen=True):
    """Everything to poll.

    organizations: all of them, because each shard lists their vaults, but with only the vaults of this shard.
    listing_interval: seconds between two readings of a list, infinity without discovery.
    lists: of organizations.
    unpolled: organizations that were found but are not polled.
    kept: ids of what is polled although a filter excludes its new name.
    held: ids of what is polled by any shard.
    """

    organizations: tuple[Organization, ...]
    listing_interval: float = math.inf
    lists: tuple[OrganizationList, ...] = ()
    unpolled: tuple[Unpolled, ...] = ()
    kept: frozenset[str] = frozenset()
    held: Held = HELD_NOTHING

    @property
    def sources(self) -> Collection[Source]:
        """The sources that are listed."""
        own = {Source(it.credential) for it in self.lists}
        return own | {Source(it.credential, of.id) for of in self.organizations for it in of.lists}


def inventory_of(settings: Settings, known: Known, held: Held = HELD_NOTHING) -> Steps[Inventory]:
    """Return everything to poll; yields in between, so that the event loop is not blocked.

    Entries of the configuration come first, in the order of the file, then what was found, by id.
    """
    if settings.discovery is None:
        organizations = []
        for entry in settings.organizations:
            organization = yield from _as_configured(entry)
            organizations.append(organization)
        whole = Inventory(tuple(organizations))
    else:
        whole = yield from _Search(settings, settings.discovery, known, held).inventory()
    return (yield from _of_shard(whole, settings.shard))


def _of_shard(whole: Inventory, shard: Shard) -> Steps[Inventory]:
    """Return the part of a shard. This comes last, because labels and limits apply to all shards together."""
    organizations = []
    for step, of in enumerate(whole.organizations):
        if step % SHARED_AT_ONCE == 0:
            yield
        vaults, unpolled, labels = [], [], {}
        for number, vault in enumerate(of.vaults):
            if number % SHARED_AT_ONCE == 0:
                yield
            labels[vault.id] = vault.label
            if shard.has(vault.id):
                vaults.append(vault)
        for number, it in enumerate(of.unpolled):
            if number % SHARED_AT_ONCE == 0:
                yield
            if shard.has(it.found.listed.id):
                unpolled.append(it)
        organizations.append(
            replace(
                of,
                is_here=shard.has(of.id),
                vaults=tuple(vaults),
                vault_labels=labels,
                unpolled=tuple(unpolled),
            )
        )
    held = Held(
        frozenset(of.id for of in whole.organizations),
        frozenset(vault.id for of in whole.organizations for vault in of.vaults),
    )
    return replace(whole, organizations=tuple(organizations), held=held)


def _as_configured(entry: OrganizationSettings) -> Steps[Organization]:
    vaults = yield from _configured_vaults(entry, {})
    return Organization(
        entry.id,
        entry.name,
        entry.interval,
        entry.credentials,
        tuple(vaults),
        has_vaults=bool(vaults),
        collect=entry.collect,
    )


def _configured_vaults(
    entry: OrganizationSettings, candidates: "_Candidates"
) -> Steps[list[Vault]]:
    vaults = []
    for number, vault in enumerate(entry.vaults):
        if number % AT_ONCE == 0:
            yield
        vaults.append(_configured_vault(vault, entry, _found(candidates, vault.id)))
    return vaults


def _configured_vault(
    vault: VaultSettings, entry: OrganizationSettings, found: Found | None
) -> Vault:
    return Vault(
        vault.id, vault.name, vault.interval, entry.credentials, found, vault.min_available
    )


class _Candidate(NamedTuple):
    """Something found, and the first credential that lists it."""

    found: Found
    credential: str


class _Place(NamedTuple):
    """A polled organization without its vaults. entry: in the configuration, None if it was only found."""

    id: str
    label: str
    credential: str
    entry: OrganizationSettings | None
    found: Found | None


_Candidates = Mapping[str, _Candidate]


class _Search:
    """Joins the configuration with what was found."""

    def __init__(self, settings: Settings, discovery: Discovery, known: Known, held: Held) -> None:
        self._settings = settings
        self._discovery = discovery
        self._known = known
        self._held = held
        self._kept: set[str] = set()
        # Organization id by vault id.
        self._by_hand = {vault.id: of.id for of in settings.organizations for vault in of.vaults}

    def inventory(self) -> Steps[Inventory]:
        """Return everything to poll."""
        places, unpolled = yield from self._places()
        candidates = yield from self._candidates(places)
        verdicts = yield from self._verdicts(candidates.values())
        ids = {*self._by_hand, *verdicts}
        organizations = []
        for number, place in enumerate(places):
            if number % AT_ONCE == 0:
                yield
            found = candidates[place.id]
            organizations.append((yield from self._organization(place, found, verdicts, ids)))
        users = {entry.credentials for entry in self._settings.organizations}
        return Inventory(
            tuple(organizations),
            self._discovery.interval,
            tuple(
                OrganizationList(name, self._known.get(Source(name)), name in users)
                for name in self._settings.credentials
            ),
            unpolled,
            frozenset(self._kept),
        )

    def _places(self) -> Steps[tuple[list[_Place], tuple[Unpolled, ...]]]:
        """Return every polled organization, and those that were found but are not polled."""
        found = yield from self._first(Source(name) for name in self._settings.credentials)
        entries = {entry.id: entry for entry in self._settings.organizations}
        free = {id_: it for id_, it in sorted(found.items()) if id_ not in entries}
        admits = self._discovery.organizations.admits
        chosen = {}
        for number, (id_, it) in enumerate(free.items()):
            if number % AT_ONCE == 0:
                yield
            if self._is_admitted(it.found, admits, self._held.organizations):
                chosen[id_] = it
        labels = yield from labels_of(
            (it.found for it in chosen.values()),
            [entry.name for entry in entries.values()],
            {*entries, *found},
        )
        places = [
            _Place(id_, entry.name, entry.credentials, entry, _found(found, id_))
            for id_, entry in entries.items()
        ]
        places += [
            _Place(id_, labels[id_], it.credential, None, it.found) for id_, it in chosen.items()
        ]
        unpolled = [it.found for id_, it in free.items() if id_ not in chosen]
        return places, tuple(Unpolled(it, "excluded") for it in unpolled)

    def _candidates(self, places: Iterable[_Place]) -> Steps[Mapping[str, _Candidates]]:
        """Return the found vaults of each organization; no vault is in two of them."""
        owners = dict(self._by_hand)
        candidates: dict[str, dict[str, _Candidate]] = {}
        for step, place in enumerate(places):
            if step % AT_ONCE == 0:
                yield
            listers = self._listers(place)
            finds = yield from self._first(
                Source(name, place.id) for name in self._settings.credentials if name in listers
            )
            candidates[place.id] = own = {}
            for number, id_ in enumerate(sorted(finds)):
                if number % AT_ONCE == 0:
                    yield
                if owners.setdefault(id_, place.id) == place.id:
                    own[id_] = finds[id_]
        return candidates

    def _first(self, sources: Iterable[Source]) -> Steps[dict[str, _Candidate]]:
        """Return all entries of `sources`, each from the first that lists it."""
        found: dict[str, _Candidate] = {}
        for source in sources:
            for number, (id_, it) in enumerate(self._known.get(source, {}).items()):
                if number % AT_ONCE == 0:
                    yield
                if id_ not in found:
                    found[id_] = _Candidate(it, source.credential)
        return found

    def _listers(self, place: _Place) -> tuple[str, ...]:
        """Return the credentials that list the vaults of an organization: its own, then the others that see it."""
        others = [
            name
            for name in self._settings.credentials
            if name != place.credential and place.id in self._known.get(Source(name), {})
        ]
        return place.credential, *others

    def _is_admitted(self, found: Found, admits: Callable[..., bool], held: Container[str]) -> bool:
        id_ = found.listed.id
        # Ids of organizations may be written with or without spaces.
        if admits(found.listed.name, id_, id_.replace(" ", "")):
            return True
        if id_ in held:
            self._kept.add(id_)
        return id_ in held

    def _verdicts(self, candidates: Iterable[_Candidates]) -> Steps[dict[str, Reason | None]]:
        """Return why each vault without a configuration entry is not polled, None if it is."""
        admits = self._discovery.vaults.admits
        verdicts: dict[str, Reason | None] = {}
        for some in candidates:
            for number, (id_, it) in enumerate(some.items()):
                if number % AT_ONCE == 0:
                    yield
                if id_ not in self._by_hand:
                    is_admitted = self._is_admitted(it.found, admits, self._held.vaults)
                    verdicts[id_] = None if is_admitted else "excluded"
        admitted = sorted(id_ for id_, reason in verdicts.items() if reason is None)
        room = max(0, MOST_VAULTS - len(self._by_hand))
        return verdicts | dict.fromkeys(admitted[room:], "limit")

    def _organization(
        self,
        place: _Place,
        candidates: _Candidates,
        verdicts: Mapping[str, Reason | None],
        ids: Container[str],
    ) -> Steps[Organization]:
        entry = place.entry
        vaults = (yield from _configured_vaults(entry, candidates)) if entry else []
        free = {id_: it for id_, it in candidates.items() if id_ in verdicts}
        polled = [it for id_, it in free.items() if verdicts[id_] is None]
        labels = yield from labels_of(
            (it.found for it in polled), [vault.label for vault in vaults], ids
        )
        interval = self._settings.polling.interval
        for number, (found, credential) in enumerate(polled):
            if number % AT_ONCE == 0:
                yield
            id_ = found.listed.id
            vaults.append(Vault(id_, labels[id_], interval, credential, found, is_configured=False))
        return Organization(
            place.id,
            place.label,
            entry.interval if entry else interval,
            place.credential,
            tuple(vaults),
            place.found,
            is_configured=entry is not None,
            has_vaults=bool(entry and entry.vaults),
            lists=tuple(
                VaultList(name, self._known.get(Source(name, place.id)))
                for name in self._listers(place)
            ),
            unpolled=tuple(
                Unpolled(it.found, reason)
                for id_, it in free.items()
                if (reason := verdicts[id_]) is not None
            ),
            collect=(entry or self._settings).collect,
        )


def _found(candidates: _Candidates, id_: str) -> Found | None:
    return candidates[id_].found if id_ in candidates else None
