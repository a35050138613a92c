"""Which names in the Host header the exporter answers to, as a guard against DNS rebinding.

A web page can let its own name resolve to any address, including this exporter's, and is then of the same origin. If
there is neither TLS nor a password, only the name distinguishes such a page from a scrape: public DNS can resolve it.
No name is looked up here.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    # Flags are read without the libraries.
    from starlette.types import Scope

PRIVATE_SUFFIXES: Final = (
    ".local",
    ".internal",
    ".svc",
    ".lan",
    ".localdomain",
    ".home.arpa",
    ".test",
    ".localhost",
)
"""Public DNS has no names under these (.cluster.local is one of .local): RFC 6761, 6762 and 8375, ICANN's reservation
of .internal, and common use."""
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"(?P<name>{_LABEL}(?:\.{_LABEL})*)\.?")
_HOST: Final = re.compile(
    rf"(?:\[(?P<ipv6>[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)]|{_NAME.pattern})(?::[0-9]{{0,5}})?"
)
_ABSOLUTE: Final = re.compile(rb"https?://(?P<authority>[^/]*)(?P<path>/.*)?", re.IGNORECASE)


def host_name(text: str) -> str:
    """Read the host name in a flag; return it in lower case, without a dot at its end. Raises ValueError."""
    match = _NAME.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a host name without a port, such as custody.example.org")
    return match["name"].lower()


def host_of(header: str) -> str | None:
    """Return the name or address in a Host header, in lower case; None if the header is malformed (RFC 9110, 7.2)."""
    match = _HOST.fullmatch(header)
    if not match or (match["ipv6"] and not _is_address(match["ipv6"])):
        return None
    return (match["ipv6"] or match["name"]).lower()


def in_origin_form(scope: "Scope") -> "Scope":
    """Return a request for a whole URL as one for a path: the URL's authority replaces Host (RFC 9112, 3.2.2)."""
    target = _ABSOLUTE.fullmatch(scope["raw_path"])
    if not target:
        return scope
    raw_path = target["path"] or b"/"
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope,
        "raw_path": raw_path,
        "path": unquote(raw_path.decode("ascii")),
        "headers": [(b"host", target["authority"]), *headers],
    }


class OwnNames:
    """The names that the exporter answers to if nothing else guards it.

    machine: this machine's host name; names whose first label it is are its own. allowed: further names, in lower case.
    """

    def __init__(self, machine: str = "", allowed: Collection[str] = ()) -> None:
        self.machine = machine
        self.allowed = allowed

    @classmethod
    def of(cls, machine: str, allowed: Iterable[str]) -> "OwnNames":
        """Return the names for a machine's host name, qualified or not, and the names that are configured."""
        return cls(machine.partition(".")[0].lower(), frozenset(allowed))

    def __contains__(self, host: str) -> bool:
        """Whether `host`, as host_of returns it, is a name that no page in a browser could have for this machine."""
        first, dot, _ = host.partition(".")
        return (
            not dot
            or _is_address(host)
            or host in self.allowed
            or host.endswith(PRIVATE_SUFFIXES)
            # Many machines have this name, so anyone can guess it.
            or (first == self.machine and first != "localhost")
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
