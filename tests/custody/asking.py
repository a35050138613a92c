"""A custody client whose network is a function, and answers for that function."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import pytest

from exporter.config import Secrets
from exporter.custody.auth import KeyAuth, Nonce, secret_texts
from exporter.custody.classify import Classifier
from exporter.custody.client import CustodyClient, Exchange, Reading, Surroundings
from exporter.custody.connections import HttpApi, way_to
from exporter.custody.errors import Cleaner, CustodyError
from exporter.custody.transport import Transport
from exporter.resources.organization_balances import OrganizationBalance, request
from exporter.resources.target import Target
from exporter.resources.vault_balances import Requester, VaultBalances
from exporter.secret import Secret
from tests.simulator.calling import NOON, Clock

Returned = TypeVar("Returned")
Handler = Callable[[httpx.Request], httpx.Response]

BASE_URL = "https://api.kraken.test"
# Tests search for these markers in everything that people may see.
SECRETS = Secrets(
    api_key=Secret("MARKEDKEY/3f9c51"),
    api_secret=Secret(b"a marked secret of an API key"),
)
ORGANIZATION_ID = "ABCD EFGH IJKL MNOP"
VAULT_ID = "VABCDEF234567A"
NO_TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def trust_nobody(_ca_file: Path | None) -> ssl.SSLContext:
    """Do not load certificates, which takes longer than most tests."""
    return NO_TRUST


class Body(httpx.AsyncByteStream):
    """A body that arrives in these pieces; an exception among them breaks it off there."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            self.taken += 1
            yield piece


def answer(
    document: object = (), status: int = 200, headers: dict[str, str] | None = None
) -> httpx.Response:
    """An answer with `document` as JSON, or as its body where it is bytes."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return httpx.Response(status, headers=headers, stream=Body(body))


class Api:
    """Gives the answers in turn, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = iter(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        given = next(self._answers)
        if isinstance(given, Exception):
            raise given
        return given

    @property
    def queries(self) -> list[str]:
        return [request.url.query.decode() for request in self.requests]


def no_one(exchange: Exchange) -> None:
    """Observe nothing."""
    del exchange


class Client(CustodyClient):
    """A client for the two resources whose answers tests know."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._requester = Requester()

    async def vault_asset_balances(self, vault_id: str) -> VaultBalances:
        return cast("VaultBalances", await self.ask(self._requester(target("vault", vault_id))))

    async def organization_balances(self, organization_id: str) -> OrganizationBalance:
        asked = request(target("organization", organization_id))
        return cast("OrganizationBalance", await self.ask(asked))


def target(kind: str, id_: str) -> Target:
    return Target(kind, id_, "acme", "", 60.0, "treasury")


def make_client(network: Handler | httpx.AsyncBaseTransport | str, **options: Any) -> Client:
    """A client that asks `network`: a function, a transport, or a real server's base URL."""
    secrets = options.pop("secrets", SECRETS)
    tls = options.pop("tls", NO_TRUST)
    found = options.pop("found", lambda _find: None)
    clock = options.setdefault("monotonic", Clock(0.0))
    base_url = BASE_URL
    if isinstance(network, str):
        base_url = network
        transport: httpx.AsyncBaseTransport = Transport(way_to(network, tls).connect, clock, found)
    elif isinstance(network, httpx.AsyncBaseTransport):
        transport = network
    else:
        transport = httpx.MockTransport(network)
    surroundings: dict[str, Any] = {
        "timeout": 30.0,
        "id_format": "spaced",
        "classifier": Classifier(),
        "observe": no_one,
        "reading": Reading(),
        "wall": Clock(NOON),
    }
    return Client(
        HttpApi(base_url, transport),
        KeyAuth(secrets, Nonce("nanoseconds", lambda: int(NOON) * 10**9), lambda: NOON),
        Cleaner(*secret_texts(secrets)),
        Surroundings(**surroundings | options),
    )


def run(client: Client, ask: Callable[[Client], Awaitable[Returned]]) -> Returned:
    """Run `ask` with the client, and close it."""

    async def use() -> Returned:
        try:
            return await ask(client)
        finally:
            await client.close()

    return asyncio.run(use())


def ask_vault(network: Handler | httpx.AsyncBaseTransport | str, **options: Any) -> VaultBalances:
    """Request the balances of a vault once."""
    return run(make_client(network, **options), lambda it: it.vault_asset_balances(VAULT_ID))


def failure(network: Handler | httpx.AsyncBaseTransport | str, **options: Any) -> CustodyError:
    """Request the balances of a vault once, and return the failure."""
    with pytest.raises(CustodyError) as caught:
        ask_vault(network, **options)
    return caught.value


async def failure_of(asked: Awaitable[object]) -> CustodyError:
    with pytest.raises(CustodyError) as caught:
        await asked
    return caught.value


def problem(name: str, **members: object) -> dict[str, object]:
    """A problem document as Kraken documents it."""
    return {
        "type": f"tag:kraken.com,2025:{name}",
        "status": 500,
        "title": "A title",
        "data": {},
    } | members
