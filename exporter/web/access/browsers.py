"""Recognizes requests that a page of another origin made a browser send (cross-site request forgery)."""

from typing import Final

from starlette.datastructures import Headers

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


def is_forged(method: str, headers: Headers) -> bool:
    """Whether a request that could change something comes from a page of another origin.

    As Go's http.CrossOriginProtection tells it: browsers say where a request comes from, and other clients do not.
    """
    if method in _SAFE_METHODS:
        return False
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return (
        origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
    )
