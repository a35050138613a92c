"""When a connection is kept, and when it is closed."""

import asyncio

import httpx
import pytest

from tests.custody.asking import VAULT_ID, make_client


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
