import asyncio
import signal
import socket
from email.utils import parsedate_to_datetime
from threading import enumerate as threads

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from exporter.simulator import moods
from exporter.simulator.server import SimulatorThread, serve
from exporter.web.address import ListenError
from tests.simulator.calling import (
    NOON,
    ORGANIZATION,
    VAULT,
    Caller,
    make_simulator,
    organization_path,
    vault_path,
)


def test_balances_are_served_over_http() -> None:
    simulator = make_simulator()
    caller = Caller(simulator)

    async def ask() -> tuple[httpx.Response, httpx.Response]:
        async with (
            serve(simulator.app) as base_url,
            httpx.AsyncClient(base_url=base_url, verify=False) as client,
        ):
            # encoded by hand: the wire form is what is signed
            target = organization_path() + "?quote_asset=USD"
            return (
                await client.get(target, headers=caller.headers(target)),
                await client.get(vault_path(), headers=caller.headers(vault_path())),
            )

    organization, vault = asyncio.run(ask())
    assert organization.json() == ORGANIZATION.balance(NOON)
    assert len(vault.json()) == len(VAULT.holdings)
    assert parsedate_to_datetime(vault.headers["date"])
    assert "server" not in vault.headers


def test_signals_stay_with_the_program_that_embeds_the_server() -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    async def check() -> None:
        before = handlers()
        async with serve(make_simulator().app):
            assert handlers() == before

    asyncio.run(check())


def test_the_port_is_free_again_afterwards() -> None:
    async def port() -> int:
        async with serve(make_simulator().app) as base_url:
            return httpx.URL(base_url).port or 0

    with socket.create_server(("127.0.0.1", asyncio.run(port()))):
        pass


def test_a_taken_port_is_an_error_and_not_an_exit() -> None:
    async def start(port: int) -> None:
        async with serve(make_simulator().app, port=port):
            pytest.fail("two servers on one port")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match="in use"):
            asyncio.run(start(port))
        with (
            pytest.raises(ListenError, match="in use"),
            SimulatorThread(make_simulator().app, port=port),
        ):
            pytest.fail("two servers on one port")


def test_an_error_inside_the_context_passes_through() -> None:
    async def fail() -> None:
        async with serve(make_simulator().app):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(fail())


def test_a_client_that_gives_up_is_no_longer_in_flight() -> None:
    simulator = make_simulator(moods={VAULT.id: moods.times(1, moods.slow(3600))})
    caller = Caller(simulator)

    async def give_up_then_ask() -> int:
        async with (
            serve(simulator.app) as base_url,
            httpx.AsyncClient(base_url=base_url, verify=False) as client,
        ):
            with pytest.raises(httpx.ReadTimeout):
                await client.get(vault_path(), headers=caller.headers(vault_path()), timeout=0.1)
            answer = await client.get(vault_path(), headers=caller.headers(vault_path()))
            return answer.status_code

    assert asyncio.run(give_up_then_ask()) == 200
    assert simulator.guard.arrivals == 2


def test_a_mood_can_break_the_connection() -> None:
    async def torn(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"[", "more_body": True})

    simulator = make_simulator(moods={VAULT.id: moods.always(torn)})

    async def ask() -> None:
        async with (
            serve(simulator.app) as base_url,
            httpx.AsyncClient(base_url=base_url, verify=False) as client,
        ):
            headers = Caller(simulator).headers(vault_path())
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(vault_path(), headers=headers)

    asyncio.run(ask())


def test_a_stop_does_not_wait_for_a_slow_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def leave_in_the_middle() -> None:
        arrived = asyncio.Event()

        async def mood(request: Request) -> None:
            arrived.set()
            await moods.slow(3600)(request)

        simulator = make_simulator(default_mood=mood)
        async with httpx.AsyncClient(verify=False) as client, serve(simulator.app) as base_url:
            headers = Caller(simulator).headers(vault_path())
            asking = asyncio.create_task(client.get(base_url + vault_path(), headers=headers))
            async with asyncio.timeout(5):
                await arrived.wait()
        async with asyncio.timeout(5):
            await asyncio.wait({asking})
        assert asking.exception() or asking.result().status_code == 500

    asyncio.run(leave_in_the_middle())
    assert "timeout graceful shutdown exceeded" not in caplog.text


def test_a_forwarded_address_does_not_escape_the_rate_limit() -> None:
    simulator = make_simulator(limit=1)
    caller = Caller(simulator)

    def ask(base_url: str, address: str) -> int:
        headers = caller.headers(vault_path()) | {"x-forwarded-for": address}
        return httpx.get(base_url + vault_path(), headers=headers, verify=False).status_code

    with SimulatorThread(simulator.app) as base_url:
        assert [ask(base_url, "10.0.0.1"), ask(base_url, "10.0.0.2")] == [200, 429]


def test_a_thread_serves_and_ends() -> None:
    simulator = make_simulator()
    with SimulatorThread(simulator.app) as base_url:
        url = base_url + vault_path()
        answer = httpx.get(url, headers=Caller(simulator).headers(vault_path()), verify=False)
    assert answer.status_code == 200
    assert "custody-simulator" not in {thread.name for thread in threads()}
