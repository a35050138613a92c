"""The connections of clients: which of them are idle, and which is closed if there are too many."""

import asyncio
import ipaddress
from collections import Counter
from typing import Protocol

from exporter.web.access.control import Access
from exporter.web.limits import Limits


def network_of(transport: asyncio.BaseTransport) -> str:
    """Return the network of a client, which shares its limits: an IPv4 address, or an IPv6 /64."""
    host, *_ = transport.get_extra_info("peername") or ("",)
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        # It has left before its address could be read.
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        # A listener for both families shows IPv4 clients like this.
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


class Client(Protocol):
    """A connection as others see it. is_queueing: whether it waits for a password check. network: of the client."""

    transport: asyncio.Transport
    network: str
    is_queueing: bool

    def shutdown(self) -> None:
        """Close, because the server stops."""


class Clients:
    """The connections of a server. open: all of them."""

    def __init__(self, limits: Limits, access: Access) -> None:
        self.limits = limits
        self.access = access
        self.open = set[Client]()
        # Those idle longest first.
        self._waiting: dict[Client, None] = {}
        self._connections_of = Counter[str]()

    def comes(self, client: Client) -> None:
        """Count a new connection, which waits for its client; close another one if there are too many."""
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
        """Record that a connection is idle from now on: for a request, for its client to read, or for its turn."""
        self.waits_no_more(client)
        self._waiting[client] = None

    def waits_no_more(self, client: Client) -> None:
        """Record that an answer is being made for a connection, or that its client reads again."""
        self._waiting.pop(client, None)

    def make_room(self) -> bool:
        """Close the connection idle longest of the client with the most; return whether there was one.

        So a client that opens ever more connections closes only its own. One that waits for a password check is not
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
