"""The way to the API that the settings and the environment ask for, and the HTTP client that goes it."""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from exporter import __version__
from exporter.custody.environment import proxy_for
from exporter.custody.transport import Way

LOCATION: Final = "location"
"""Where a response of `http_client` has its `Location`, among its extensions."""


def way_to(base_url: str, tls: ssl.SSLContext, local_address: str | None = None) -> Way:
    """Return the way to the API at `base_url`, from an address of this machine where one is given.

    Raises EnvironmentMistakeError where the environment's proxy is none.
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
    """Return a client for the API that has `transport` carry its requests: no redirects, no cookies."""
    return httpx.AsyncClient(
        base_url=base_url,
        transport=transport,
        timeout=None,  # noqa: S113 - CustodyClient sets one deadline for the whole request
        # Nothing of the environment's is for httpx: its proxy is on the transport's way.
        trust_env=False,
        # The API has no cookies; those of a gateway would be sent back, and their number is not bounded.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"response": [_put_location_aside]},
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
