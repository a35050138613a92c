"""The web configuration, with the keys of exporter-toolkit; one that was read is valid."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final

from exporter.strict_yaml.mistakes import Location, Mistake, ProblemError
from exporter.strict_yaml.scalars import Context, Fields
from exporter.strict_yaml.validation import Document, Model
from exporter.web.access.forms import (
    NOTHING,
    TLS_1_2_SUITES,
    VERIFYING,
    BcryptHash,
    Boolean,
    Burst,
    HeaderName,
    HeaderValue,
    Interval,
    User,
    interval,
)
from exporter.web.access.tls import TlsServerConfig

# Exact, as exporter-toolkit compares them.
HEADER_VALUES: Final = {
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
}


class HttpServerConfig(Model, frozen=True):
    """HTTP settings.

    http2: accepted and ignored. headers: of every answer, in place of the exporter's own headers of the same names; an
    empty value counts as absent.
    """

    http2: Boolean = True
    headers: Mapping[HeaderName, HeaderValue] = {}


class RequestRateLimit(Model, frozen=True):
    """A token bucket for requests: one more every `interval` seconds (0 for no limit), at most `burst` at once."""

    interval: Interval = 0.0
    burst: Burst = 1


class WebConfiguration(Document, frozen=True):
    """The whole file; without one there is no TLS, no password and no limit.

    basic_auth_users: the bcrypt hash of each user's password.
    """

    example: ClassVar = "deploy/web-config.example.yml"
    hidden: ClassVar = frozenset({"tls_server_config", "basic_auth_users"})

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Mapping[User, BcryptHash] = {}
    rate_limit: RequestRateLimit = RequestRateLimit()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        return self.tls_server_config.files if self.tls_server_config else ()


def relation_mistakes(tree: object, _context: Context) -> Iterator[Mistake]:
    """Find mistakes that involve several values of a document."""
    document = tree if isinstance(tree, dict) else {}
    tls = document.get("tls_server_config")
    if isinstance(tls, dict):
        at = ("tls_server_config",)
        yield from _certificates(at, tls)
        yield from _clients(at, tls)
        yield from _versions(at, tls)
    yield from _headers(_fields(_fields(document, "http_server_config"), "headers"))
    yield from _rate(_fields(document, "rate_limit"))


def _certificates(at: Location, tls: Fields) -> Iterator[Mistake]:
    for name in ("cert", "key", "client_ca"):
        file = f"{name}_file"
        if _given(tls, name) and _given(tls, file):
            yield Mistake(at, f"{file} and {name} are mutually exclusive: keep one")
        if name != "client_ca" and not _given(tls, name) and not _given(tls, file):
            yield Mistake(at, f"{file} or {name} is required for TLS")


def _clients(at: Location, tls: Fields) -> Iterator[Mistake]:
    verifies = tls.get("client_auth_type") in VERIFYING
    requires = tls.get("client_auth_type") == "RequireAndVerifyClientCert"
    has_ca = _given(tls, "client_ca_file") or _given(tls, "client_ca")
    if requires and not has_ca:
        yield Mistake(
            at,
            "client_ca_file or client_ca is required with this client_auth_type: it says whom to trust",
        )
    # Other values are reported by the validation of the single value.
    if not verifies and tls.get("client_auth_type") in (None, "", "NoClientCert"):
        for name in ("client_ca_file", "client_ca", "client_allowed_sans"):
            if _given(tls, name):
                yield Mistake(
                    (*at, name),
                    "has no effect without client certificates: set client_auth_type: RequireAndVerifyClientCert",
                )


def _versions(at: Location, tls: Fields) -> Iterator[Mistake]:
    least, most = tls.get("min_version") or "TLS12", tls.get("max_version") or "TLS13"
    if (least, most) == ("TLS13", "TLS12"):
        yield Mistake((*at, "max_version"), "is older than min_version")
    suites = tls.get("cipher_suites")
    if isinstance(suites, list) and suites:
        has_1_2 = any(isinstance(suite, str) and suite in TLS_1_2_SUITES for suite in suites)
        if has_1_2 and least == "TLS13":
            yield Mistake(
                (*at, "cipher_suites"),
                "suites of TLS 1.2 have no effect with min_version TLS13; those of TLS 1.3 are always enabled",
            )
        if not has_1_2 and least == "TLS12":
            yield Mistake(
                (*at, "cipher_suites"),
                "has no suite for TLS 1.2: add one, or write min_version: TLS13",
            )


def _headers(headers: Fields) -> Iterator[Mistake]:
    for name, values in HEADER_VALUES.items():
        if headers.get(name) not in (None, "", *values):
            problem = f"must be {' or '.join(values)}, in lower case"
            yield Mistake(("http_server_config", "headers", name), problem)


def _rate(limit: Fields) -> Iterator[Mistake]:
    is_limited = False
    with contextlib.suppress(ProblemError):
        is_limited = _given(limit, "interval") and interval(limit["interval"]) > 0
    if is_limited and not _given(limit, "burst"):
        problem = "burst is required: the number of requests allowed at once, at least 1"
        yield Mistake(("rate_limit",), problem)
    if is_limited and limit.get("burst") == "0":
        problem = "refuses every request: must be at least 1"
        yield Mistake(("rate_limit", "burst"), problem)
    if limit.get("burst") not in (None, "0") and not _given(limit, "interval"):
        problem = (
            "burst has no effect without interval: the time between two requests, such as 100ms"
        )
        yield Mistake(("rate_limit",), problem)


def _fields(parent: Fields, key: str) -> Fields:
    child = parent.get(key)
    return child if isinstance(child, dict) else {}


def _given(fields: Fields, key: str) -> bool:
    return fields.get(key) not in NOTHING
