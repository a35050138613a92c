"""How one value of the configuration is written and what it must be, wherever it stands.

The readers accept the text of a document; a value that already has the wanted Python type passes,
so that models can be built in code too.
"""

import contextlib
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from exporter.config.document import Unquoted, kind
from exporter.config.files import answer_of, contents
from exporter.config.mistakes import ProblemError
from exporter.durations import FORM, read_duration

LONGEST_NAME = 128
LARGEST_CA_FILE = 16 * 1024 * 1024

WHOLE = re.compile(r"[1-9][0-9]{0,8}")
# No leading zeros, which other readers of YAML take for octal numbers, and no exponent that would
# make a number of a million digits.
NUMBER = re.compile(
    r"(?:(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?"
)
VAULT_ID = re.compile(r"V[A-Z2-7]{12}[ACEGIKMOQSUWY246]")
ORGANIZATION_ID = re.compile(r"[A-Za-z0-9]{16}")
# A longer label makes the resolver raise an error that is none of the network's.
LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
BASE_URL = re.compile(
    rf"(?P<scheme>https?)://(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>{LABEL}(?:\.{LABEL})*))"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a document is read against.

    directory: where relative paths start.
    environ: the environment variables that may hold secrets.
    """

    directory: Path
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, context: object) -> "Surroundings":
        """Take them from a validation's context; a model built in code has none."""
        return context if isinstance(context, cls) else cls(Path(), {})


def text(value: object) -> str:
    """Read printable text that is not empty; raises ProblemError."""
    if isinstance(value, Unquoted):
        raise ProblemError(f"{{value}} is {value.reads_as} to YAML: put it in quotes")
    if not isinstance(value, str):
        raise ProblemError(f"must be text, not {kind(value)}")
    if not value.strip():
        raise ProblemError("is empty: write some text")
    if not value.isprintable():
        raise ProblemError("has a control or invisible character: write printable text")
    return value


def name(value: object) -> str:
    """Read a name, which becomes a label value; raises ProblemError."""
    written = text(value)
    if len(written) > LONGEST_NAME:
        raise ProblemError(f"is longer than {LONGEST_NAME} characters")
    return written


def duration(value: object, *, may_be_zero: bool = False) -> float:
    """Read a duration, in seconds; raises ProblemError."""
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        raise ProblemError(f"must be a duration, not {kind(value)}: {FORM}")
    try:
        return read_duration(value, may_be_zero=may_be_zero)
    except ValueError as error:
        raise ProblemError(f"{{value}} {error}") from None


def whole_number(value: object) -> int:
    """Read a whole number from 1 to 999999999; raises ProblemError."""
    if isinstance(value, int):
        return value
    if not isinstance(value, str) or not WHOLE.fullmatch(value):
        raise ProblemError("{value} is not a whole number from 1 to 999999999")
    return int(value)


def number(form: str, fits: Callable[[Decimal], bool]) -> BeforeValidator:
    """Make a reader of exact decimal numbers that fit; `form` says what fits."""

    def read(value: object) -> Decimal:
        if isinstance(value, Decimal | int):
            return Decimal(value)
        if isinstance(value, str) and NUMBER.fullmatch(value) and fits(Decimal(value)):
            return Decimal(value)
        raise ProblemError(f"{{value}} is not {form}")

    return BeforeValidator(read)


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
    """Read the address of the API, without a slash at its end; raises ProblemError."""
    match = BASE_URL.fullmatch(text(value))
    if not match or not _has_address(match):
        raise ProblemError(
            "must be https:// and a host, perhaps a port, and nothing else, "
            "such as https://api.kraken.com"
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


def file_path(value: object, info: ValidationInfo) -> Path:
    """Read the path of a file, which starts at the configuration file's directory."""
    written = value if isinstance(value, Path) else text(value)
    return Surroundings.of(info.context).directory / written


def check_certificates(path: Path) -> Path:
    """Make sure that a file holds a certificate that TLS can trust; raises ProblemError."""
    contents(path, at_most=LARGEST_CA_FILE)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # An SSLError is an OSError; a revocation list alone loads without one.
    with contextlib.suppress(OSError):
        answer_of(path, lambda: trust.load_verify_locations(cafile=path))
        if trust.cert_store_stats()["x509"]:
            return path
    raise ProblemError("holds no certificates, or broken ones: they must be in PEM format")


Text = Annotated[str, BeforeValidator(text)]
Name = Annotated[str, BeforeValidator(name)]
Duration = Annotated[float, BeforeValidator(duration)]
WholeNumber = Annotated[int, BeforeValidator(whole_number)]
Share = Annotated[
    Decimal, number("a number above 0 and up to 1, such as 0.5", lambda share: 0 < share <= 1)
]
Amount = Annotated[
    Decimal, number('a number of 0 or more, such as "0.5"', lambda amount: amount >= 0)
]
VaultId = Annotated[str, BeforeValidator(vault_id)]
OrganizationId = Annotated[str, BeforeValidator(organization_id)]
BaseUrl = Annotated[str, BeforeValidator(base_url)]
FilePath = Annotated[Path, BeforeValidator(file_path)]
CaFile = Annotated[FilePath, AfterValidator(check_certificates)]
