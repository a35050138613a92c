"""The connections of clients: which of them have to wait, and which ends where there are too many."""

import asyncio
import ipaddress
from collections import Counter
from typing import Protocol

from exporter.web.access.control import Access
from exporter.web.limits import Limits


def network_of(transport: asyncio.BaseTransport) -> str:
    """Return the network of a client, by which limits are shared: an IPv4 address, or an IPv6 /64."""
    host, *_ = transport.get_extra_info("peername") or ("",)
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        # It has left before anybody could see who it was.
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        # Where the listener takes both, this is how it shows clients that came with IPv4.
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


class Client(Protocol):
    """A connection as others see it. is_queueing: for a password to be checked. network: of the client."""

    transport: asyncio.Transport
    network: str
    is_queueing: bool

    def shutdown(self) -> None:
        """End, since the server does."""


class Clients:
    """The connections of a server. open: all of them."""

    def __init__(self, limits: Limits, access: Access) -> None:
        self.limits = limits
        self.access = access
        self.open = set[Client]()
        # The longest first.
        self._waiting: dict[Client, None] = {}
        self._connections_of = Counter[str]()

    def comes(self, client: Client) -> None:
        """Count a connection, which waits for its client, and close another one if it is one too many."""
        self.open.add(client)
        self._connections_of[client.network] += 1
        self.waits(client)
        if len(self.open) > self.limits.connections:
            self.make_room()

    def goes(self, client: Client) -> None:
        """Forget a connection."""
        self.open.discard(client)
        self.waits_no_more(client)
        self._connections_of[client.network] -= 1
        if not self._connections_of[client.network]:
            del self._connections_of[client.network]

    def waits(self, client: Client) -> None:
        """Note that a connection waits from now on: for its client to ask or to read, or for its turn."""
        self.waits_no_more(client)
        self._waiting[client] = None

    def waits_no_more(self, client: Client) -> None:
        """Record that an answer is being made for a connection, or that its client reads again."""
        self._waiting.pop(client, None)

    def make_room(self) -> bool:
        """Close the connection that has waited longest, of those of the client with most; return whether there was one.

        So a client without end of connections closes its own only. One that waits for a password to be checked is not
        closed for another one of the same client.
        """
        if not self._waiting:
            return False
        longest = max(
            self._waiting,
            key=lambda one: (self._connections_of[one.network], not one.is_queueing),
        )
        del self._waiting[longest]
        longest.transport.abort()
        return True
