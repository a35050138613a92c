"""The settings as a whole, what one part of them inherits from another, and how they are read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from exporter.config.credentials import CredentialSettings
from exporter.config.models import Api, Document, Organization, Polling
from exporter.config.reading import load_document, parse_document
from exporter.config.relations import relation_mistakes
from exporter.config.values import Name, Surroundings

Fields = dict[str, object]


class Settings(Document):
    """The whole configuration."""

    example: ClassVar = "config.example.yaml"
    hidden: ClassVar = frozenset({"credentials"})
    never_inline: ClassVar = " (secrets come from files or the environment, never from this file)"

    lists: ClassVar = {"organizations": "organization", "vaults": "vault"}

    api: Api = Api()
    polling: Polling = Polling()
    credentials: Mapping[Name, CredentialSettings] = Field(min_length=1)
    organizations: tuple[Organization, ...] = Field(min_length=1)

    @field_validator("organizations", mode="before")
    @classmethod
    def _inherit(cls, organizations: object, info: ValidationInfo) -> object:
        """Give organizations and vaults what they leave to the rest of the file.

        Where that is wrong or ambiguous itself, a stand-in keeps its mistake from being told at
        each place that inherits it; the stand-in never gets out, for the mistake is raised.
        """
        interval = info.data.get("polling", Polling()).interval
        credentials = next(iter(info.data.get("credentials", ())), "?")

        def vault(raw: Fields) -> Fields:
            return _filled(raw, interval=interval)

        def organization(raw: Fields) -> Fields:
            vaults = _each(raw.get("vaults"), vault)
            return {**_filled(raw, interval=interval, credentials=credentials), "vaults": vaults}

        return _each(organizations, organization)


def _filled(raw: Fields, **defaults: object) -> Fields:
    return {**raw, **{key: value for key, value in defaults.items() if raw.get(key) is None}}


def _each(entries: object, change: Callable[[Fields], Fields]) -> object:
    """Change the mappings in a list; anything else is left for validation to complain about."""
    if not isinstance(entries, list):
        return entries
    return [change(entry) if isinstance(entry, dict) else entry for entry in entries]


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read a configuration file and the files it names.

    Relative paths in it start at its directory; `environ` holds the variables it may name.
    Raises ConfigError with every mistake.
    """
    return load_document(path, environ, Settings, relation_mistakes)


def parse(text: str, *, directory: Path, environ: Mapping[str, str]) -> Settings:
    """Read a configuration from text, as `load` does from a file in that directory."""
    return parse_document(text, Surroundings(directory, environ), Settings, relation_mistakes)
