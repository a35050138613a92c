"""An API of four vaults that hold 1, 2, 3 and 4 BTC, behind a gateway that sends more than it was asked for."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable

from exporter.resources.vault_balances import VaultBalances

VAULTS = ("VAAAAAAAAAAAAA", "VBBBBBBBBBBBBC", "VCCCCCCCCCCCCE", "VDDDDDDDDDDDDG")
ASKED = re.compile(rb"/vaults/([^/]+)/")

Misdeed = Callable[["Api", bytes, asyncio.StreamWriter], Awaitable[None]]


def amount(vault: str) -> str:
    """Return the amount that a vault holds."""
    return f"{VAULTS.index(vault) + 1}.5"


def body(vault: str) -> bytes:
    amounts = {
        "balance": amount(vault),
        "spot": amount(vault),
        "hold": "0",
        "available": amount(vault),
    }
    return json.dumps([{"asset": "BTC", "asset_class": "currency", **amounts}]).encode()


def response(
    content: bytes, status: str = "200 OK", *headers: str, length: int | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(content) if length is None else length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + content


def balances(vault: str) -> bytes:
    return response(body(vault))


def held(answer: VaultBalances) -> str:
    (row,) = answer.rows
    return str(row.balance)


class Api:
    """Answers each request correctly, except the first for each vault in `when`, which `misdeed` answers.

    connections: how many were made. asked: the vault of each request, with the number of its connection. requested: set
    by a request. left: the connections that the client has closed. readers, writers: of all connections, in order.
    """

    def __init__(self, misdeed: Misdeed | None = None, when: tuple[str, ...] = VAULTS[1:2]) -> None:
        self.misdeed = misdeed
        self.when = set(when)
        self.connections = 0
        self.asked: list[tuple[str, int]] = []
        self.requested = asyncio.Event()
        self.left: set[int] = set()
        self.readers: list[asyncio.StreamReader] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self.readers.append(reader)
        self.writers.append(writer)
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                self.left.add(number)
                return
            found = ASKED.search(head)
            if found is None:
                writer.write(response(b"{}", "404 Not Found"))
                continue
            vault = found[1].decode()
            self.asked.append((vault, number))
            self.requested.set()
            if self.misdeed and vault in self.when:
                self.when.discard(vault)
                await self.misdeed(self, vault.encode(), writer)
            else:
                writer.write(balances(vault))
            await writer.drain()
