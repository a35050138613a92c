"""The settings of the lease, which decides which of several processes polls."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.scalars import CaFile, Context, FilePath, Text, Within, duration, text
from exporter.strict_yaml.secret_text import secret_text
from exporter.strict_yaml.validation import Model

SPARE_SECONDS: Final = 10
"""Minimum by which a lease outlasts a request, during which its holder sends nothing new."""
LONGEST_NAME: Final = 58
"""A Kubernetes label has at most 63 characters; a shard's suffix takes up to five."""
LEASE_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
# A longer label makes the resolver raise something other than a network error.
LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
REDIS_URL: Final = re.compile(
    rf"rediss?://(?:\[[0-9a-f:.]+\]|{LABEL}(?:\.{LABEL})*)(?::(?P<port>[0-9]{{1,5}}))?(?:/[0-9]{{0,4}})?",
    re.IGNORECASE,
)


def lease_name(value: object) -> str:
    """Read the name of a lease, which must be valid in both Kubernetes and Redis; raises ProblemError."""
    written = text(value)
    if len(written) > LONGEST_NAME or not LEASE_NAME.fullmatch(written):
        raise ProblemError(
            f"must be at most {LONGEST_NAME} characters of a-z, 0-9, - and ., such as kraken-custody-exporter"
        )
    return written


def whole_seconds(value: object) -> float:
    """Read a duration in whole seconds; raises ProblemError."""
    seconds = duration(value)
    if seconds % 1:
        raise ProblemError("must be whole seconds, such as 30s")
    return seconds


def redis_url(value: object) -> str:
    """Read the address of a Redis server; raises ProblemError."""
    written = text(value)
    if "@" in written:
        raise ProblemError(
            "must not have a user or a password: use username and password_file beside it"
        )
    match = REDIS_URL.fullmatch(written)
    if not match or not 0 < int(match["port"] or 1) <= 65535:
        raise ProblemError(
            "must be redis:// or rediss://, a host, and optionally a port and a database number, "
            "such as redis://127.0.0.1:6379/0"
        )
    return written


def _readable(file: Path, context: Context) -> Path:
    secret_text(file, context.environ)
    return file


class RedisSettings(Model, frozen=True):
    """The connection to Redis or Valkey.

    url: redis:// or rediss:// (TLS).
    username: None for the default user.
    password_file: read for each connection.
    ca_file: certificates to trust in addition to the system's.
    """

    url: Annotated[str, redis_url]
    username: Text | None = None
    password_file: Annotated[FilePath, Within(_readable)] | None = None
    ca_file: CaFile | None = None


class LeaseSettings(Model, frozen=True):
    """The lease.

    name: name of the Kubernetes Lease, or Redis key.
    duration: seconds for which a renewal is valid, a whole number.
    redis: only for `kind: redis`.
    """

    kind: Literal["kubernetes", "redis"]
    name: Annotated[str, lease_name] = "kraken-custody-exporter"
    duration: Annotated[float, whole_seconds] = 30.0
    redis: RedisSettings | None = None
