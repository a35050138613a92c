"""The way to the API by settings and environment, and the requests that take it."""

import functools
import ssl
from typing import Final

import httpx

from exporter import __version__
from exporter.custody.environment import proxy_for
from exporter.custody.transport import Way


def way_to(base_url: str, tls: ssl.SSLContext | None, local_address: str | None = None) -> Way:
    """Return the way to the API at `base_url`, from a local address if one is given.

    tls: None for plain HTTP.
    Raises EnvironmentMistakeError if the environment's proxy is not usable.
    """
    url = httpx.URL(base_url)
    is_encrypted = url.scheme == "https"
    if tls:
        tls.set_alpn_protocols(["http/1.1"])
    elif is_encrypted:
        # Without it, keys would be sent in plain text.
        raise ValueError(f"no TLS for {base_url}")
    return Way(
        url.raw_host.decode("ascii"),
        url.port or (443 if is_encrypted else 80),
        tls if is_encrypted else None,
        proxy_for(base_url),
        local_address,
    )


# As many targets as the documented budget reads every 76 s; parsing takes longer than everything else of a request.
_url: Final = functools.lru_cache(maxsize=512)(httpx.URL)


# Without it httpx would look through the headers for what a body needs.
_NO_BODY: Final = httpx.ByteStream(b"")


class HttpApi:
    """The API at `base_url`, over `transport`.

    httpx's client does for each request what is not wanted here, and takes longer than all else of HTTP: it follows
    redirects, keeps cookies, reads the environment, and parses a `Location` even without following it.
    """

    def __init__(self, base_url: str, transport: httpx.AsyncBaseTransport) -> None:
        self._origin = base_url.rstrip("/")
        self._transport = transport
        self._headers = httpx.Headers(
            {
                "host": httpx.URL(base_url).netloc.decode("ascii"),
                "accept": "application/json, application/problem+json",
                "accept-encoding": "gzip",
                "connection": "keep-alive",  # HTTP/1.0, which some proxies speak, closes without it
                "user-agent": f"kraken-custody-exporter/{__version__}",
            }
        )

    def request(self, target: str, extensions: dict[str, object]) -> httpx.Request:
        """Return a request for `target`, a path and perhaps a query."""
        url = _url(self._origin + target)
        return httpx.Request(
            "GET", url, headers=self._headers, stream=_NO_BODY, extensions=extensions
        )

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; return its response with an unread body, to be closed. Raises httpx.HTTPError."""
        return await self._transport.handle_async_request(request)

    async def close(self) -> None:
        """Close the connections, each as soon as it has no request in flight."""
        await self._transport.aclose()
