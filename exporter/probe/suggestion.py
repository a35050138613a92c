"""The configuration that the probe suggests: the current one, with the changes that the API requires.

It names the configured files and variables, and has no secrets, because the settings hold none.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import yaml
from msgspec.structs import replace

from exporter.config import (
    Discovery,
    OrganizationSettings,
    ProblemError,
    Settings,
    VaultSettings,
)
from exporter.discovery.inventory import inventory_of
from exporter.durations import duration, read_duration
from exporter.probe.known import Known
from exporter.shard import WHOLE
from exporter.strict_yaml.scalars import Fields
from exporter.strict_yaml.scalars import name as read_name
from exporter.strict_yaml.validation import Model, default_of, keys_of
from exporter.turns import at_once

MOST_VAULTS: Final = 200
"""Maximum vaults in the suggestion; more are left to `discovery`."""


def suggested(settings: Settings, found: Sequence[Known], directory: Path) -> str:
    """Return a configuration file for `directory`, that of the current one, including everything found.

    Empty for one of several shards: they share a file, but their keys may see different things.
    """
    if settings.shard != WHOLE:
        return ""
    settings = _understood(settings, found)
    if settings.discovery is None:
        settings = with_found(settings, found)
    return yaml.safe_dump(
        as_written(settings, directory), sort_keys=False, allow_unicode=True, width=100
    )


def _understood(settings: Settings, found: Iterable[Known]) -> Settings:
    """Return the settings with organization ids in a form that the API understands."""
    for known in found:
        if known.id_format != known.subject.id_format:
            api = replace(settings.api, organization_id_format=known.id_format)
            return replace(settings, api=api)
    return settings


def with_found(settings: Settings, found: Sequence[Known]) -> Settings:
    """Return the settings with everything that the keys list, as discovery would find it.

    If not everything can be listed they use discovery, so that nothing is silently left out.
    """
    lists = {source: finds for known in found for source, finds in known.lists.items()}
    searching = replace(settings, discovery=settings.discovery or Discovery())
    entries = {entry.id: entry for entry in settings.organizations}
    ids = {vault.id for entry in settings.organizations for vault in entry.vaults}
    organizations = []
    is_whole = all(known.has_all_vaults for known in found)
    for it in at_once(inventory_of(searching, lists)).organizations:
        entry = entries.get(it.id) or OrganizationSettings(
            id=it.id,
            name=_label(it.label, it.id),
            credentials=it.credential,
            interval=it.interval,
            collect=settings.collect,
        )
        new = [vault for vault in it.vaults if vault.id not in ids]
        # Configured vaults are polled with the credential of their organization.
        own = [vault for vault in new if vault.credential == entry.credentials]
        added = tuple(
            VaultSettings(id=vault.id, name=_label(vault.label, vault.id), interval=vault.interval)
            for vault in own[: max(0, MOST_VAULTS - len(ids))]
        )
        is_whole = is_whole and len(added) == len(new)
        ids.update(vault.id for vault in added)
        organizations.append(replace(entry, vaults=entry.vaults + added))
    discovery = None if is_whole else Discovery()
    return replace(settings, organizations=tuple(organizations), discovery=discovery)


def _label(label: str, id_: str) -> str:
    """Return the label that discovery gives, or the id if a file cannot hold it: the API's names may be any text."""
    try:
        return read_name(label)
    except ProblemError:
        return id_


def as_written(settings: Settings, directory: Path) -> Fields:
    """Return a document that, in a file in `directory`, is read as `settings`."""
    document = _plain(settings, directory)
    assert isinstance(document, dict)  # noqa: S101 - what settings are written as
    has_several = len(settings.credentials) > 1
    for organization in document.get("organizations", ()):
        for entry in (organization, *organization.get("vaults", ())):
            _leave_out_defaults(entry, settings.polling.interval)
        if not has_several:
            del organization["credentials"]
        if organization["collect"] == list(settings.collect):
            del organization["collect"]
    return document


def _leave_out_defaults(entry: Fields, interval: float) -> None:
    """Remove what an organization or a vault inherits, and put its name first."""
    if entry["name"] == entry["id"]:
        del entry["name"]
    else:
        rest = dict(entry)
        entry.clear()
        entry |= {"name": rest.pop("name")} | rest
    if entry["interval"] == _written(interval):
        del entry["interval"]


def _plain(value: object, directory: Path) -> object:
    """Return a value of the settings as YAML has it. Every float in them is a duration."""
    match value:
        case Model():
            keys = keys_of(type(value)).items()
            changed = {
                name: getattr(value, name)
                for name, key in keys
                if getattr(value, name) != default_of(key)
            }
            return _plain(changed, directory)
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
