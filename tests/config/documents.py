"""Documents for tests, each a valid one with additions, and the contents of the secret files."""

import base64
from pathlib import Path

from exporter.config import ConfigError, Settings, parse

API_KEY = "MARKER-api-key"
API_SECRET = b"MARKER-api-secret"
OTP = "MARKER-otp"
TOTP_SEED = "MARKERTOTPSEED22"

KEY_OF_KRAKEN = "1tyLGm3zJ0cW8Yq5rN/vH2dKx7Qe4oUpT9aSfBgDhEjRiMlCnAkVwZyX"
SECRET_OF_KRAKEN = base64.b64encode(bytes(range(64))).decode()

ENCODED_SECRET = base64.b64encode(API_SECRET).decode()
FILES = {
    "key": f"{API_KEY}\n",
    "secret": f"{ENCODED_SECRET}\n",
    "otp": f"{OTP}\n",
    "seed": f"{TOTP_SEED}\n",
}
ENVIRON = {"KEY": API_KEY, "OTHER_KEY": "MARKER-other", "SECRET": ENCODED_SECRET, "EMPTY": ""}

SOURCES = "api_key_file: key, api_secret_file: secret"
ORGANIZATION_ID = "id: ABCD EFGH IJKL MNOP"
VAULT_ID = "id: VABCDEF234567A"


def document(
    *,
    api: str = "",
    polling: str = "",
    treasury: str = "",
    sources: str = SOURCES,
    organization: str = "",
    organization_id: str = ORGANIZATION_ID,
    vault: str = "",
    vault_id: str = VAULT_ID,
) -> str:
    """Return a valid document, with fields added or replaced in YAML's flow style."""
    return f"""\
api: {{{api}}}
polling: {{{polling}}}
credentials:
  treasury: {{{_joined(sources, treasury)}}}
organizations:
- {{{_joined(organization_id, organization)}, vaults: [{{{_joined(vault_id, vault)}}}]}}
"""


def _joined(*fields: str) -> str:
    return ", ".join(filter(None, fields))


def write_secrets(directory: Path) -> None:
    """Put the secret files into a directory."""
    for name, content in FILES.items():
        (directory / name).write_text(content)


def read(text: str, directory: Path) -> Settings:
    """Parse a document in a directory of secret files."""
    return parse(text, directory=directory, environ=ENVIRON)


def mistakes(text: str, directory: Path) -> list[str]:
    """Parse a document and list its mistakes, without their places."""
    try:
        read(text, directory)
    except ConfigError as error:
        return without_places(error)
    return []


def one_mistake(text: str, directory: Path) -> str:
    """Parse a document and return its only mistake."""
    (mistake,) = mistakes(text, directory)
    return mistake


def without_places(error: ConfigError) -> list[str]:
    """List mistakes without their places in the file."""
    return [str(mistake.placed(None)) for mistake in error.mistakes]
