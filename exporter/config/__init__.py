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
    Discovery,
    Filter,
    OrganizationSettings,
    Polling,
    Settings,
    VaultSettings,
    organization_id,
    vault_id,
)
from exporter.strict_yaml.mistakes import ConfigError, Mistake, ProblemError
from exporter.strict_yaml.reader import read_both

__all__ = [
    "ALL_CREDENTIALS",
    "Api",
    "ConfigError",
    "CredentialSettings",
    "Discovery",
    "Filter",
    "LeaseSettings",
    "Mistake",
    "OrganizationSettings",
    "Polling",
    "ProblemError",
    "RateLimit",
    "RedisSettings",
    "SecretError",
    "Secrets",
    "Settings",
    "VaultSettings",
    "load",
    "organization_id",
    "parse",
    "read_both",
    "vault_id",
]
