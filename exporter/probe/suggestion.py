"""The configuration that the probe suggests: what is configured, changed where the API wants it otherwise.

It names files and variables as they are configured, and has no secret: the settings hold none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

import yaml

from exporter.config import OrganizationSettings, Settings, VaultSettings
from exporter.config.settings import organization_id, vault_id
from exporter.durations import duration, read_duration
from exporter.probe.known import VAULT_LISTS, Known, Listed
from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.scalars import Fields
from exporter.strict_yaml.scalars import name as read_name

MOST_VAULTS: Final = 200
"""That are written down; more are for `discovery`."""


def suggested(settings: Settings, found: Sequence[Known], directory: Path) -> str:
    """Return a configuration file for `directory`, where the configured one is, that takes in what was found."""
    settings = _understood(settings, found)
    if getattr(settings, "discovery", None) is None:
        settings = with_found(settings, found)
    return yaml.safe_dump(
        as_written(settings, directory), sort_keys=False, allow_unicode=True, width=100
    )


def _understood(settings: Settings, found: Iterable[Known]) -> Settings:
    """Return the settings with ids of organizations in a form that the API understands."""
    for known in found:
        works = [it for it in ("spaced", "compact") if known.succeeded(f"organization_{it}")]
        if works and settings.api.organization_id_format not in works:
            api = settings.api.model_copy(update={"organization_id_format": works[0]})
            return settings.model_copy(update={"api": api})
    return settings


@dataclass
class _Entry:
    """An organization of the settings, and vaults that are new in it."""

    organization: OrganizationSettings
    vaults: list[VaultSettings] = field(default_factory=list)


def with_found(settings: Settings, found: Iterable[Known]) -> Settings:
    """Return the settings that also name what the keys list, as discovery would find it."""
    entries = {_compact(it.id): _Entry(it, list(it.vaults)) for it in settings.organizations}
    ids = {vault.id for it in settings.organizations for vault in it.vaults}
    interval = settings.polling.interval
    for known in found:
        for organization, vaults in _by_organization(known):
            key = _compact(organization.id)
            if key not in entries:
                names = {entry.organization.name for entry in entries.values()}
                entries[key] = _Entry(
                    OrganizationSettings(
                        id=organization_id(organization.id),
                        name=_label(organization, names),
                        credentials=known.subject.credential,
                        interval=interval,
                    )
                )
            entry = entries[key]
            for vault in vaults:
                if vault.id not in ids and len(ids) < MOST_VAULTS:
                    ids.add(vault.id)
                    name = _label(vault, {it.name for it in entry.vaults})
                    entry.vaults.append(VaultSettings(id=vault.id, name=name, interval=interval))
    organizations = tuple(
        it.organization.model_copy(update={"vaults": tuple(it.vaults)}) for it in entries.values()
    )
    return settings.model_copy(update={"organizations": organizations})


def _by_organization(known: Known) -> Iterable[tuple[Listed, list[Listed]]]:
    """Yield each organization of a key with its vaults, as far as ids have the documented form."""
    for place, organization in enumerate(known.organizations):
        listing = known.listing(VAULT_LISTS[place]) if place < len(VAULT_LISTS) else None
        if _is_read(organization_id, organization.id):
            vaults = listing.found if listing else ()
            yield organization, [it for it in vaults if _is_read(vault_id, it.id)]


def _is_read(read: object, value: str) -> bool:
    assert callable(read)  # noqa: S101 - it is one of the readers
    try:
        read(value)
    except ProblemError:
        return False
    return True


def _label(found: Listed, taken: Iterable[str]) -> str:
    """Return the API's name where it can be a label and nobody has it, else the id."""
    usable = _is_read(read_name, found.name) and found.name not in set(taken)
    return found.name if usable else found.id


def _compact(id_: str) -> str:
    return id_.replace(" ", "").upper()


def as_written(settings: Settings, directory: Path) -> Fields:
    """Return the document of a file in `directory` that is read as `settings`."""
    document = _plain(settings.model_dump(exclude_defaults=True), directory)
    assert isinstance(document, dict)  # noqa: S101 - what settings are written as
    has_several = len(settings.credentials) > 1
    for organization in document.get("organizations", ()):
        for entry in (organization, *organization.get("vaults", ())):
            _leave_out_defaults(entry, settings.polling.interval)
        if not has_several:
            del organization["credentials"]
    return document


def _leave_out_defaults(entry: Fields, interval: float) -> None:
    """Leave out what an organization or a vault has from elsewhere, and put its name first."""
    if entry["name"] == entry["id"]:
        del entry["name"]
    else:
        rest = dict(entry)
        entry.clear()
        entry |= {"name": rest.pop("name")} | rest
    if entry["interval"] == _written(interval):
        del entry["interval"]


def _plain(value: object, directory: Path) -> object:
    """Return a value of the settings as it is written in YAML. Every float of theirs is a duration."""
    match value:
        case Mapping():
            return {str(key): _plain(member, directory) for key, member in value.items()}
        case list() | tuple():
            return [_plain(element, directory) for element in value]
        case Path():
            return str(value.relative_to(directory) if value.is_relative_to(directory) else value)
        case float():
            return _written(value)
    return str(value) if isinstance(value, Decimal) else value


def _written(seconds: float) -> str:
    text = duration(seconds)
    return (
        text if read_duration(text, may_be_zero=True) == seconds else f"{Decimal(repr(seconds)):f}s"
    )
