"""The connections of one credential: an httpx client that is replaced whenever a request on it was cancelled.

httpx 0.28 has no deadline for a whole request, so one is set from outside, and its connection pool can lose a place
for good when a request is cancelled (encode/httpcore issues 1093 and 1094). A new client has all its places.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from exporter import __version__
from exporter.custody.environment import proxy_for

CLOSING_SECONDS = 1.0
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
    return httpx.AsyncClient(
        base_url=base_url,
        verify=tls,
        transport=transport,
        timeout=None,  # noqa: S113 - CustodyClient sets the limits of each request
        proxy=proxy_for(base_url),
        # httpx would read all of NO_PROXY, and fail where it does not know the form of an entry.
        trust_env=False,
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


async def _put_location_aside(response: httpx.Response) -> None:
    """Keep `Location` from httpx, which reads it even if it is not to follow it, and fails where it is no address."""
    if location := response.headers.pop("location", ""):
        response.extensions[LOCATION] = location
