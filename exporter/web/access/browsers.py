"""Tells what a browser was made to ask by a page of somebody else.

Reloading is not for such pages (cross-site request forgery). And where everybody who reaches the exporter gets an
answer, because only this machine can reach it, a page must not read balances under a name of its own that it lets point
at loopback (DNS rebinding): there it answers to addresses and `localhost` only, which nobody else can make point here.
"""

import ipaddress
import re
from typing import Final

from starlette.datastructures import Headers

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[^]]*)]|(?P<host>[^:]*))(?::[0-9]*)?")


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


def is_own_name(host: str, own: str) -> bool:
    """Whether a Host header names this machine in a way that nobody else can: an address, localhost, or `own`."""
    match = _HOST.fullmatch(host)
    if not match:
        return False
    name = (match["ipv6"] or match["host"]).lower()
    return name in ("localhost", own.lower()) or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
