"""When an httpx client is replaced, and when it is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from exporter.custody.connections import Connections
from tests.custody.asking import VAULT_ID, make_client


class Factory:
    """Makes clients whose requests never end, and keeps them."""

    def __init__(self) -> None:
        self.made: list[httpx.AsyncClient] = []

    def __call__(self) -> httpx.AsyncClient:
        async def silence(_request: httpx.Request) -> httpx.Response:
            return await asyncio.Future()

        client = httpx.AsyncClient(transport=httpx.MockTransport(silence))
        self.made.append(client)
        return client

    @property
    def closed(self) -> list[bool]:
        return [client.is_closed for client in self.made]


@asynccontextmanager
async def borrowing(connections: Connections) -> AsyncIterator[asyncio.Task[None]]:
    """A task that has borrowed the client, and uses it until cancelled."""

    async def use() -> None:
        async with connections.borrow() as client:
            borrowed.set()
            await client.get("https://api.kraken.test/")

    borrowed = asyncio.Event()
    task = asyncio.create_task(use())
    await borrowed.wait()
    yield task
    await cancel(task)


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_client_is_lent_again_and_again() -> None:
    async def use() -> None:
        factory = Factory()
        connections = Connections(factory)
        for _ in range(3):
            async with connections.borrow() as client:
                assert client is factory.made[0]
        assert factory.closed == [False]
        await connections.close()
        assert factory.closed == [True]

    asyncio.run(use())


@pytest.mark.parametrize("error", [httpx.ReadError("reset"), ValueError("mine")], ids=repr)
def test_a_client_stays_when_a_request_fails(error: Exception) -> None:
    async def use() -> None:
        factory = Factory()
        connections = Connections(factory)
        with pytest.raises(type(error)):
            async with connections.borrow():
                raise error
        assert factory.closed == [False]
        await connections.close()

    asyncio.run(use())


@pytest.mark.parametrize("error", [TimeoutError, asyncio.CancelledError])
def test_a_client_is_replaced_and_closed_when_a_request_is_cancelled(
    error: type[BaseException],
) -> None:
    async def use() -> None:
        factory = Factory()
        connections = Connections(factory)
        with pytest.raises(error):
            async with connections.borrow():
                raise error
        assert factory.closed == [True, False]
        async with connections.borrow() as client:
            assert client is factory.made[1]
        await connections.close()
        assert factory.closed == [True, True]

    asyncio.run(use())


def test_a_replaced_client_is_closed_when_its_last_user_is_done() -> None:
    async def use() -> None:
        factory = Factory()
        connections = Connections(factory)
        async with borrowing(connections) as first, borrowing(connections) as second:
            await cancel(second)
            assert factory.closed == [False, False]
            await cancel(first)
            assert factory.closed == [True, False]
        assert len(factory.made) == 2, "whoever is cancelled on an old client replaces nothing"
        await connections.close()

    asyncio.run(use())


def test_closing_waits_for_the_last_user() -> None:
    async def use() -> None:
        factory = Factory()
        connections = Connections(factory)
        async with borrowing(connections) as task:
            await connections.close()
            assert factory.closed == [False]
            await cancel(task)
        assert factory.closed == [True], "and nothing takes its place"

    asyncio.run(use())


class Stubborn(httpx.AsyncBaseTransport):
    """A transport whose peer does not answer the closing."""

    async def aclose(self) -> None:
        await asyncio.Future()


def test_closing_does_not_wait_for_a_silent_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.custody.connections.CLOSING_SECONDS", 0)

    async def use() -> None:
        connections = Connections(lambda: httpx.AsyncClient(transport=Stubborn()))
        await connections.close()

    asyncio.run(use())


class Silent(httpx.AsyncBaseTransport):
    """Takes a request and never answers."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request
        self.arrived.set()
        return await asyncio.Future()


def test_a_request_that_is_cancelled_from_outside_is_observed_and_no_failure() -> None:
    async def use() -> None:
        silent, statuses = Silent(), []
        client = make_client(silent, observe=lambda exchange: statuses.append(exchange.status))
        asking = asyncio.create_task(client.vault_asset_balances(VAULT_ID))
        await silent.arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert statuses == [None]
        await client.close()

    asyncio.run(use())
