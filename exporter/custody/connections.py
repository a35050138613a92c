"""The way to the API by settings and environment, and the HTTP client that uses it."""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from exporter import __version__
from exporter.custody.environment import proxy_for
from exporter.custody.transport import Way

LOCATION: Final = "location"
"""The extension of a response of `http_client` that holds its `Location`."""


def way_to(base_url: str, tls: ssl.SSLContext, local_address: str | None = None) -> Way:
    """Return the way to the API at `base_url`, from a local address if one is given.

    Raises EnvironmentMistakeError if the environment's proxy is not usable.
    """
    tls.set_alpn_protocols(["http/1.1"])
    url = httpx.URL(base_url)
    is_encrypted = url.scheme == "https"
    return Way(
        url.raw_host.decode("ascii"),
        url.port or (443 if is_encrypted else 80),
        tls if is_encrypted else None,
        proxy_for(base_url),
        local_address,
    )


def http_client(base_url: str, transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """Return a client for the API over `transport`: no redirects, no cookies."""
    return httpx.AsyncClient(
        base_url=base_url,
        transport=transport,
        timeout=None,  # noqa: S113 - CustodyClient sets one deadline for the whole request
        # httpx ignores the environment: the transport handles its proxy.
        trust_env=False,
        # The API has no cookies; a gateway's would be sent back, and their number is unbounded.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"response": [_put_location_aside]},
        headers={
            "accept": "application/json, application/problem+json",
            "accept-encoding": "gzip",
            "user-agent": f"kraken-custody-exporter/{__version__}",
        },
    )


async def _put_location_aside(response: httpx.Response) -> None:
    """Hide `Location` from httpx, which parses it even without following it, and fails if it is invalid."""
    if location := response.headers.pop("location", ""):
        response.extensions[LOCATION] = location
