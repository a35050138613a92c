"""The settings: every key of the configuration, its type and default, and what entries inherit."""

import contextlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal, Self

from msgspec.structs import replace

from exporter.config.credentials import CredentialSettings, RateLimit
from exporter.config.lease import LABEL, LeaseSettings
from exporter.shard import WHOLE, Shard
from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.scalars import (
    Before,
    CaFile,
    Context,
    Duration,
    Fields,
    Name,
    WholeNumber,
    Within,
    not_empty,
    number,
    text,
)
from exporter.strict_yaml.validation import Document, Model

VAULT_ID = re.compile(r"V[A-Z2-7]{12}[ACEGIKMOQSUWY246]")
ORGANIZATION_ID = re.compile(r"[A-Za-z0-9]{16}")
BASE_URL = re.compile(
    rf"(?P<scheme>https?)://(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>{LABEL}(?:\.{LABEL})*))"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)


def vault_id(value: object) -> str:
    """Read a vault id; raises ProblemError."""
    written = text(value)
    if not VAULT_ID.fullmatch(written):
        raise ProblemError(
            "is not a vault id: V, 12 characters of A-Z and 2-7, and one of ACEGIKMOQSUWY246, "
            "such as VABCDEF234567A"
        )
    return written


def organization_id(value: object) -> str:
    """Read an organization id into its form in groups of four; raises ProblemError."""
    compact = text(value).replace(" ", "")
    if not ORGANIZATION_ID.fullmatch(compact):
        raise ProblemError(
            "is not an organization id: 16 letters or digits, such as ABCD EFGH IJKL MNOP"
        )
    return " ".join(re.findall("....", compact.upper()))


def base_url(value: object) -> str:
    """Read the base URL of the API, without a trailing slash; raises ProblemError."""
    match = BASE_URL.fullmatch(text(value))
    if not match or not _has_address(match):
        raise ProblemError(
            "must be https://, a host and optionally a port, such as https://api.kraken.com"
        )
    if match["scheme"].lower() == "http" and not _is_loopback(match["ipv6"] or match["host"]):
        raise ProblemError("must begin with https://: http:// is for loopback addresses only")
    return match[0].removesuffix("/")


def _has_address(url: re.Match[str]) -> bool:
    return (not url["port"] or 0 < int(url["port"]) <= 65535) and (
        not url["ipv6"] or _address(url["ipv6"]) is not None
    )


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def collect(value: object, _: Context) -> object:
    """Check that a list of what to collect has no duplicates; raises ProblemError."""
    # Other types are reported by the validation that follows.
    if isinstance(value, list) and len(value) != len(set(map(str, value))):
        raise ProblemError("has duplicates: name each once")
    return value


def local_address(value: object, context: Context) -> str:
    """Read an address of this machine; raises ProblemError."""
    written = context.filled(text(value))
    address = _address(written)
    if address is None or address.is_unspecified or address.is_multicast:
        raise ProblemError(
            "is not the address of one machine: write an IPv4 or IPv6 address that this machine has, "
            "such as 10.0.0.7, or 10.0.0.{shard}"
        )
    return str(address)


Collected = Literal["balances", "pending_tasks", "whitelist"]
"""What can be collected of an organization and its vaults."""
Collect = Annotated[tuple[Collected, ...], Before(collect), not_empty]
Threshold = Annotated[
    Decimal, number('a number of 0 or more, such as "0.5"', lambda amount: amount >= 0)
]
VaultId = Annotated[str, vault_id]
OrganizationId = Annotated[str, organization_id]
LocalAddress = Annotated[str, Within(local_address)]
BaseUrl = Annotated[str, base_url]


class Api(Model, frozen=True):
    """How the API is reached.

    base_url: without a trailing slash.
    timeout: seconds for a whole request.
    ca_file: certificates to trust in addition to the system's.
    rate_limit: the limit by IP address.
    organization_id_format: format of organization ids in paths.
    local_address: source address, None to let the system choose.
    """

    base_url: BaseUrl = "https://api.kraken.com"
    timeout: Duration = 10.0
    ca_file: CaFile | None = None
    rate_limit: RateLimit = RateLimit()
    organization_id_format: Literal["spaced", "compact"] = "spaced"
    local_address: LocalAddress | None = None

    @property
    def is_encrypted(self) -> bool:
        """Whether it is reached over TLS, as always but on this machine."""
        return self.base_url.lower().startswith("https:")


class Polling(Model, frozen=True):
    """Defaults and limits for all targets.

    interval: seconds between polls of a target without its own interval.
    stale_after: seconds after which balances that were not refreshed are withdrawn; None for the longer of five minutes
        and three planned refresh intervals of each target.
    max_series: maximum series of balances, tasks and whitelists; a target that would exceed it is withheld.
    """

    interval: Duration = 60.0
    stale_after: Duration | None = None
    max_series: WholeNumber = 500_000


class Filter(Model, frozen=True):
    """A filter for what discovery finds.

    include, exclude: case-sensitive shell patterns of names or ids; exclude takes precedence.
    """

    include: tuple[Name, ...] = ("*",)
    exclude: tuple[Name, ...] = ()

    def admits(self, *names: str) -> bool:
        """Whether something with these names and ids is polled."""
        return _is_any(names, self.include) and not _is_any(names, self.exclude)

    @property
    def admits_nothing(self) -> bool:
        """Whether the patterns exclude everything, whatever is found."""
        return not self.include or any(not pattern.strip("*") for pattern in self.exclude)


def _is_any(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


class Discovery(Model, frozen=True):
    """Discovery of organizations and vaults that the file does not list.

    interval: seconds between two listings.
    """

    interval: Duration = 600.0
    organizations: Filter = Filter()
    vaults: Filter = Filter()


class VaultSettings(Model, frozen=True):
    """A vault whose balances are polled.

    name: value of label `vault`; the id if not configured.
    interval: seconds between two polls.
    min_available: minimum available balance, by asset.
    """

    id: VaultId
    name: Name
    interval: Duration
    min_available: Mapping[Name, Threshold] = {}


class OrganizationSettings(Model, frozen=True):
    """An organization that is polled, and its vaults.

    id: in four groups of four.
    name: value of label `org`; the id if not configured.
    credentials: name of the credentials that sign its requests.
    interval: seconds between two polls of the organization's own resources, such as the total.
    collect: what is read of it and its vaults.
    """

    id: OrganizationId
    name: Name
    credentials: Name
    interval: Duration
    collect: Collect
    vaults: tuple[VaultSettings, ...] = ()


def _inherit(organizations: object, context: Context) -> object:
    """Fill in the keys that organizations and vaults inherit, and their names.

    If the inherited value is itself invalid or ambiguous, a placeholder keeps its mistake from being reported again
    at each place that inherits it; the placeholder is never used, because the mistake is raised.
    """
    interval = context.read.get("polling", Polling()).interval
    credentials = next(iter(context.read.get("credentials", ())), "?")
    collected = context.read.get("collect", ("balances",))

    def vault(raw: Fields) -> Fields:
        return _filled(raw, vault_id, interval=interval)

    def organization(raw: Fields) -> Fields:
        own = {"interval": interval, "credentials": credentials, "collect": collected}
        return _filled({**raw, "vaults": _each(raw.get("vaults"), vault)}, organization_id, **own)

    return _each(organizations, organization)


def _filled(raw: Fields, read_id: Callable[[object], str], **inherited: object) -> Fields:
    defaults = {"name": "?", **inherited}
    with contextlib.suppress(ProblemError):
        defaults["name"] = read_id(raw.get("id"))
    return {**raw, **{key: value for key, value in defaults.items() if raw.get(key) is None}}


def _each(entries: object, change: Callable[[Fields], Fields]) -> object:
    """Change the mappings in a list; validation reports anything else."""
    if not isinstance(entries, list):
        return entries
    return [change(entry) if isinstance(entry, dict) else entry for entry in entries]


class Settings(Document, frozen=True, kw_only=True):
    """The whole configuration.

    collect: default for organizations without their own list.
    discovery: None if only `organizations`, at least one, are polled.
    lease: None if this process always polls.
    """

    example: ClassVar = "kraken-custody-exporter --config.example"
    hidden: ClassVar = frozenset({"credentials", "lease"})
    never_inline: ClassVar = " (secrets come from files or the environment, never from this file)"

    lists: ClassVar = {"organizations": "organization", "vaults": "vault"}

    api: Api = Api()
    polling: Polling = Polling()
    credentials: Annotated[Mapping[Name, CredentialSettings], not_empty]
    discovery: Discovery | None = None
    collect: Collect = ("balances",)
    lease: LeaseSettings | None = None
    organizations: Annotated[tuple[OrganizationSettings, ...], Before(_inherit)] = ()

    _shard: Shard = WHOLE

    @property
    def shard(self) -> Shard:
        """The shard that this process polls (`--shard`)."""
        return self._shard

    def for_shard(self, shard: Shard) -> Self:
        """Return these settings for a shard; each shard has its own lease."""
        lease = self.lease
        if lease and shard != WHOLE:
            lease = replace(lease, name=f"{lease.name}-{shard.number}")
        return replace(self, lease=lease, _shard=shard)
