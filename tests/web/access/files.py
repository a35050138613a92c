"""Web configurations for tests, and their mistakes."""

from pathlib import Path
from typing import Any

import yaml

from exporter.config import ConfigError
from exporter.web.access.configuration import WebConfiguration
from exporter.web.access.file import WebConfigFile
from tests.config.documents import without_places

PASSWORD = b"MARKER-password"
# Hashes of PASSWORD and of "other", with the lowest cost.
HASH = "$2b$04$uz5aJTu5DprN3XMBh9tCyeU.h29EXWOzARKHHCnDMVnthxLta2caG"
OTHER_HASH = "$2y$04$WBZvMbJtv8oYhmk3fd1AbO91Ncq3fuar7Iw4EQU68a38PYWXF1qgi"


def write(directory: Path, document: dict[str, Any] | str) -> Path:
    """Write a web configuration, as a document or as text."""
    file = directory / "web-config.yml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return file


def read(directory: Path, document: dict[str, Any] | str) -> WebConfiguration:
    """Write a web configuration and read it."""
    return WebConfigFile(write(directory, document)).configuration


def mistakes(directory: Path, document: dict[str, Any] | str) -> list[str]:
    """Write a web configuration and list its mistakes."""
    try:
        read(directory, document)
    except ConfigError as error:
        return without_places(error)
    return []
