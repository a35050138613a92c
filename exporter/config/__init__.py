"""The configuration: YAML in, frozen settings out, or every mistake at once."""

from exporter.config.credentials import ALL_CREDENTIALS, CredentialSettings
from exporter.config.mistakes import ConfigError, Mistake
from exporter.config.models import (
    Api,
    Organization,
    Polling,
    RateLimit,
    Vault,
)
from exporter.config.reading import read_both
from exporter.config.secret_text import SecretError, Secrets
from exporter.config.settings import Settings, load, parse

__all__ = [
    "ALL_CREDENTIALS",
    "Api",
    "ConfigError",
    "CredentialSettings",
    "Mistake",
    "Organization",
    "Polling",
    "RateLimit",
    "SecretError",
    "Secrets",
    "Settings",
    "Vault",
    "load",
    "parse",
    "read_both",
]
