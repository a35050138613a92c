"""Checks the connection to the API before any request: name resolution and certificate."""

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct

from exporter.custody.client import refusal_of
from exporter.custody.connections import way_to
from exporter.custody.environment import trust
from exporter.custody.transport import Way
from exporter.custody.wire import Wire

NO_TIME_CHECK: Final = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which `ssl` has no name."""
UNKNOWN_AUTHORITY: Final = frozenset((2, 18, 19, 20, 21, 27))
"""OpenSSL's errors (X509_V_ERR_...) for a certificate from an untrusted issuer."""
EXPIRED: Final = 10
OTHER_NAME: Final = frozenset((62, 63, 64))


class Certificate(Struct, frozen=True):
    """A certificate.

    issuer: for people.
    ends: Unix seconds.
    names: subject alternative names.
    """

    issuer: str
    ends: float
    names: tuple[str, ...] = ()


class Network(Struct, frozen=True):
    """The connection to the API.

    host: of the API.
    proxy: host and port of the proxy, empty if there is none.
    addresses: of the proxy, or else of the API.
    name_problem, connect_problem, tls_problem: what went wrong, empty if nothing did.
    tls_code: OpenSSL's error number.
    is_encrypted: whether the API is reached over TLS.
    certificate: of the API, trusted or not, None if none came.
    is_public: whether a public authority issued it, not one that only the configuration or the environment trusts.
    """

    host: str
    proxy: str = ""
    addresses: tuple[str, ...] = ()
    name_problem: str = ""
    connect_problem: str = ""
    tls_problem: str = ""
    tls_code: int = 0
    is_encrypted: bool = True
    certificate: Certificate | None = None
    is_public: bool = True

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""
        return not (self.name_problem or self.connect_problem or self.tls_problem)

    @property
    def private_addresses(self) -> tuple[str, ...]:
        """The addresses that are not public."""
        return tuple(it for it in self.addresses if not ipaddress.ip_address(it).is_global)


async def look(
    base_url: str,
    ca_file: Path | None,
    local_address: str | None,
    patience: float,
    clean: Callable[[str, int], str],
) -> Network:
    """Resolve the API's name and get its certificate; sends no request.

    local_address: source address.
    patience: seconds for each of the two.
    clean: removes secrets from a proxy's message.

    Raises EnvironmentMistakeError if the environment or `ca_file` prevents connections.
    """
    tls = await asyncio.to_thread(trust, ca_file)
    way = way_to(base_url, tls, local_address)
    proxy = f"{way.proxy.url.host}:{way.proxy.url.port or 80}" if way.proxy else ""
    facts: dict[str, Any] = {"host": way.host, "proxy": proxy, "is_encrypted": way.tls is not None}
    name = way.proxy.url.raw_host.decode("ascii") if way.proxy else way.host
    try:
        facts["addresses"] = await _addresses(name, patience)
        facts |= await _certificate(way, ca_file, patience)
    except _UnreachableError as error:
        facts[error.what] = clean(str(error), 200)
    return Network(**facts)


class _UnreachableError(Exception):
    """No connection is possible. what: the field of Network for the problem."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(why)
        self.what = what


async def _addresses(name: str, patience: float) -> tuple[str, ...]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise _UnreachableError(
            "name_problem", f"no answer about {name} within {patience:g} s"
        ) from None
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise _UnreachableError("name_problem", f"{name}: {why}") from None
    # An IPv6 address may have a zone.
    return tuple(dict.fromkeys(str(address[4][0]).partition("%")[0] for address in found))


async def _certificate(way: Way, ca_file: Path | None, patience: float) -> dict[str, Any]:
    wire, refused = await _connected(way, patience)
    if wire is None:
        seen = await _unverified(way, patience)
        assert refused is not None  # noqa: S101 - one of the two
        return {
            "tls_problem": getattr(refused, "verify_message", "") or str(refused),
            "tls_code": getattr(refused, "verify_code", 0),
            "certificate": seen,
        }
    certificate = _read(wire.certificate) if way.tls else None
    wire.abort()
    is_public = True
    if way.tls and (ca_file or os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        # The library's own certificates, whatever the environment says.
        public = httpx.create_ssl_context(trust_env=False)
        again, _ = await _connected(Way(way.host, way.port, public, way.proxy), patience)
        is_public = again is not None
        if again:
            again.abort()
    return {"certificate": certificate, "is_public": is_public}


async def _connected(way: Way, patience: float) -> tuple[Wire | None, ssl.SSLError | None]:
    """Return a connection, or the TLS error. Raises _UnreachableError."""
    try:
        async with asyncio.timeout(patience):
            return await way.connect(), None
    except TimeoutError:
        raise _UnreachableError("connect_problem", f"no connection within {patience:g} s") from None
    except (httpx.HTTPError, OSError) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                return None, cause
            cause = cause.__cause__ or cause.__context__
        why = refusal_of(error) or str(error) or type(error).__name__
        raise _UnreachableError("connect_problem", why) from None


async def _unverified(way: Way, patience: float) -> Certificate | None:
    """Return an untrusted certificate, to report its issuer; nothing is sent."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        wire, _ = await _connected(Way(way.host, way.port, unverified, way.proxy), patience)
        if wire is None:
            return None
        der = wire.certificate_der
        wire.abort()
        # `ssl` decodes only verified certificates, so this one is trusted for one connection.
        itself = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        itself.check_hostname = False
        itself.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | NO_TIME_CHECK
        itself.load_verify_locations(cadata=der)
        again, _ = await _connected(Way(way.host, way.port, itself, way.proxy), patience)
    except (_UnreachableError, ssl.SSLError, ValueError):
        return None
    if again is None:
        return None
    again.abort()
    return _read(again.certificate)


def _read(decoded: Mapping[str, Any]) -> Certificate | None:
    if not decoded:
        return None
    issuer = {key: value for part in decoded.get("issuer", ()) for key, value in part}
    names = tuple(value for _, value in decoded.get("subjectAltName", ()))
    told = [issuer.get(key) for key in ("organizationName", "commonName")]
    return Certificate(
        issuer=", ".join(filter(None, told)) or "an authority without a name",
        ends=float(ssl.cert_time_to_seconds(decoded["notAfter"])),
        names=names,
    )
