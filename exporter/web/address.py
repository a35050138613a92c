"""The listen address, and the paths that are in use."""

import ipaddress
import re
import socket
from typing import Final, NamedTuple

BACKLOG: Final = 2048
RESERVED_PATHS: Final = (
    *("/", "/help", "/runbooks", "/events"),
    *("/api/v1/targets", "/api/v1/balances", "/api/v1/events"),
    *("/-/healthy", "/-/ready", "/-/reload", "/-/poll"),
)
RESERVED_FOLDERS: Final = (
    *("/vaults/", "/organizations/", "/vault-lists/", "/organization-lists/"),
    *("/pending-tasks/", "/whitelists/"),
    *("/runbooks/", "/static/"),
)

_FORM = re.compile(r"(?:\[(?P<ipv6>[^]]+)]|(?P<host>[A-Za-z0-9._-]*)):(?P<port>[0-9]{1,5})")


class ListenError(Exception):
    """The address is not available; the message says why and what to do."""


class ListenAddress(NamedTuple):
    """A host and a port to listen on.

    host: a name, or an address without brackets; empty for every interface.
    port: 0 for any free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Read `HOST:PORT`, `[IPv6]:PORT` or `:PORT`. Raises ValueError."""
        match = _FORM.fullmatch(text)
        if (
            not match
            or int(match["port"]) > 65535
            or (match["ipv6"] and not _is_ipv6(match["ipv6"]))
        ):
            raise ValueError(
                f"{text!r} is not HOST:PORT, such as 127.0.0.1:10063, [::1]:10063 or :10063"
            )
        return cls(match["ipv6"] or match["host"], int(match["port"]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def listen(self) -> socket.socket:
        """Return a listening socket, on IPv6 and IPv4 if the host is empty. Raises ListenError."""
        every = not self.host
        dual_stack = every and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual_stack or ":" in self.host else socket.AF_INET
        try:
            listener = socket.create_server(
                (self.host, self.port),
                family=family,
                dualstack_ipv6=dual_stack,
                backlog=BACKLOG,
            )
        except OSError as error:
            # create_server adds the address in its own format.
            reason, *_ = str(error.strerror or error).partition(" (while attempting")
            raise ListenError(
                f"cannot listen on {self}: {reason}; choose another address with --web.listen-address"
            ) from None
        # asyncio sets it only for its own sockets; without it each answer on a kept connection waits 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
