"""The connections of one credential: an httpx client that is replaced whenever a request on it was cancelled.

httpx 0.28 has no deadline for a whole request, so one is set from outside, and its connection pool can lose a place
for good when a request is cancelled (encode/httpcore issues 1093 and 1094). A new client has all its places.
"""

import asyncio
import contextlib
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import httpx

from exporter import __version__

CLOSING_SECONDS = 1.0
PROXY_VARIABLES: Final = "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or NO_PROXY in the environment"
LOCATION: Final = "location"
"""Where a response of `http_client` has its `Location`, among its extensions."""


@dataclass(slots=True, eq=False)
class _Lease:
    client: httpx.AsyncClient
    users: int = 0


class Connections:
    """Lends the client to requests; up to as many at once as its pool has places."""

    def __init__(self, new_client: Callable[[], httpx.AsyncClient]) -> None:
        self._new_client = new_client
        self._current = _Lease(new_client())
        self._is_closed = False

    @contextlib.asynccontextmanager
    async def borrow(self) -> AsyncIterator[httpx.AsyncClient]:
        """Lend the client; a cancellation or TimeoutError that passes through here replaces it."""
        lease = self._current
        lease.users += 1
        try:
            yield lease.client
        except (asyncio.CancelledError, TimeoutError):
            if self._lends(lease):
                self._current = _Lease(self._new_client())
            raise
        finally:
            lease.users -= 1
            # Others may still wait for an answer on the client that was replaced: the last one closes it.
            if not self._lends(lease) and not lease.users:
                await _close(lease.client)

    def _lends(self, lease: _Lease) -> bool:
        return lease is self._current and not self._is_closed

    async def close(self) -> None:
        """Close all connections, each as soon as nobody uses it."""
        self._is_closed = True
        if not self._current.users:
            await _close(self._current.client)


async def _close(client: httpx.AsyncClient) -> None:
    """Close `client`, but never wait long for a peer that does not answer: its connections go with the process."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError, OSError):
        async with asyncio.timeout(CLOSING_SECONDS):
            await client.aclose()


class EnvironmentMistakeError(Exception):
    """A variable of the environment, or a file, keeps connections from being made; the message says which and why."""


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS settings for the API: the usual roots (or SSL_CERT_FILE's), and those in `ca_file`.

    Raises EnvironmentMistakeError where they cannot be read.
    """
    try:
        context = httpx.create_ssl_context()
    except OSError as error:
        raise EnvironmentMistakeError(
            f"SSL_CERT_FILE or SSL_CERT_DIR in the environment: {error.strerror or error}"
        ) from None
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    except OSError as error:
        raise EnvironmentMistakeError(f"{ca_file}: {error.strerror or error}") from None
    return context


def http_client(
    base_url: str,
    tls: ssl.SSLContext,
    max_in_flight: int,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Return a client for the API: HTTP/1.1, no redirects, as many connections as requests may be in flight.

    transport: what carries the requests, None for the real network. Raises EnvironmentMistakeError where the
    environment names a proxy that is none.
    """
    try:
        return _http_client(base_url, tls, max_in_flight, transport)
    # httpx's own words repeat what may be a part of the proxy's password.
    except ImportError:
        raise EnvironmentMistakeError(
            f"{PROXY_VARIABLES}: SOCKS is not supported: name an HTTP proxy, as http://HOST:PORT"
        ) from None
    except (ValueError, httpx.InvalidURL):
        raise EnvironmentMistakeError(
            f"{PROXY_VARIABLES}: is no proxy's address: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, "
            "with special characters of the password percent-encoded"
        ) from None


def _http_client(
    base_url: str,
    tls: ssl.SSLContext,
    max_in_flight: int,
    transport: httpx.AsyncBaseTransport | None,
) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=base_url,
        verify=tls,
        transport=transport,
        timeout=None,  # noqa: S113 - CustodyClient sets the limits of each request
        # A proxy from the environment is for the way out, and would not reach this machine's own simulator.
        trust_env=not is_loopback(urlsplit(base_url).hostname or ""),
        # The API has no cookies; those of a gateway would be sent back, and their number is not bounded.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"response": [_put_location_aside]},
        limits=httpx.Limits(max_connections=max_in_flight, max_keepalive_connections=max_in_flight),
        headers={
            "accept": "application/json, application/problem+json",
            "accept-encoding": "gzip",
            "user-agent": f"kraken-custody-exporter/{__version__}",
        },
    )


def proxy_secrets() -> tuple[str, ...]:
    """Return the passwords of the environment's proxies, in each form in which a proxy may repeat one."""
    secrets: list[str] = []
    for address in getproxies().values():
        with contextlib.suppress(ValueError):
            url = urlsplit(address if "://" in address else f"http://{address}")
            if url.password:
                user, password = unquote(url.username or ""), unquote(url.password)
                sent = b64encode(f"{user}:{password}".encode()).decode()
                secrets += [url.password, password, sent]
    return tuple(secrets)


async def _put_location_aside(response: httpx.Response) -> None:
    """Keep `Location` from httpx, which reads it even if it is not to follow it, and fails where it is no address."""
    if location := response.headers.pop("location", ""):
        response.extensions[LOCATION] = location


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without brackets) can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
