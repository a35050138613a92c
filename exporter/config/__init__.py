"""The configuration: YAML in, frozen settings out, or every mistake at once."""

from exporter.config.credentials import (
    ALL_CREDENTIALS,
    CredentialSettings,
    RateLimit,
    SecretError,
    Secrets,
)
from exporter.config.lease import LeaseSettings, RedisSettings
from exporter.config.loading import load, parse
from exporter.config.settings import (
    Api,
    OrganizationSettings,
    Polling,
    Settings,
    VaultSettings,
)
from exporter.strict_yaml.mistakes import ConfigError, Mistake
from exporter.strict_yaml.reader import read_both

__all__ = [
    "ALL_CREDENTIALS",
    "Api",
    "ConfigError",
    "CredentialSettings",
    "LeaseSettings",
    "Mistake",
    "OrganizationSettings",
    "Polling",
    "RateLimit",
    "RedisSettings",
    "SecretError",
    "Secrets",
    "Settings",
    "VaultSettings",
    "load",
    "parse",
    "read_both",
]
