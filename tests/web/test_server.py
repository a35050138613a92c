"""Serving over real connections."""

import asyncio
import signal
import socket

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from exporter.web.address import ListenAddress
from exporter.web.server import serving


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


def url_of(listener: socket.socket) -> str:
    return f"http://{ListenAddress(*listener.getsockname()[:2])}/"


def test_an_app_is_served_while_the_block_runs() -> None:
    async def ask() -> tuple[httpx.Response, httpx.Response]:
        with ListenAddress("127.0.0.1", 0).listen() as listener:
            url = url_of(listener)
            async with serving(hello, listener), httpx.AsyncClient() as client:
                got, head = await client.get(url), await client.head(url)
            with pytest.raises(httpx.ConnectError):
                await asyncio.to_thread(httpx.get, url)
            return got, head

    got, head = asyncio.run(ask())
    assert (got.status_code, got.text) == (200, "hello")
    assert (head.status_code, head.text, head.headers["content-length"]) == (200, "", "5")
    assert "server" not in got.headers


def test_a_scrape_finds_its_connection_still_open() -> None:
    async def ports() -> set[int]:
        found = set()

        async def note_port(scope: Scope, receive: Receive, send: Send) -> None:
            found.add(scope["client"][1])
            await hello(scope, receive, send)

        with ListenAddress("127.0.0.1", 0).listen() as listener:
            async with serving(note_port, listener), httpx.AsyncClient() as client:
                for _ in range(3):
                    await client.get(url_of(listener))
        return found

    assert len(asyncio.run(ports())) == 1


def test_signals_stay_the_business_of_the_process() -> None:
    async def check() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        with ListenAddress("127.0.0.1", 0).listen() as listener:
            async with serving(hello, listener), httpx.AsyncClient() as client:
                await client.get(url_of(listener))
                after = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        assert after == before

    asyncio.run(check())


def test_the_task_that_is_lent_runs_as_long_as_the_server() -> None:
    async def check() -> None:
        with ListenAddress("127.0.0.1", 0).listen() as listener:
            async with serving(hello, listener) as server, httpx.AsyncClient() as client:
                await client.get(url_of(listener))
                assert not server.done()
            assert server.done()

    asyncio.run(check())


def test_clients_that_never_finish_their_request_do_not_hold_up_the_end() -> None:
    async def check() -> None:
        with ListenAddress("127.0.0.1", 0).listen() as listener:
            async with serving(hello, listener), httpx.AsyncClient() as client:
                silent = socket.create_connection(listener.getsockname())
                halfway = socket.create_connection(listener.getsockname())
                halfway.sendall(b"GET / HTTP/1.1\r\nhost:")
                # Their connections were accepted before this one.
                await client.get(url_of(listener))
        silent.close()
        halfway.close()

    async def with_deadline() -> None:
        async with asyncio.timeout(10):
            await check()

    asyncio.run(with_deadline())


def test_what_is_no_http_is_refused_and_the_others_are_served() -> None:
    async def check() -> tuple[bytes, int]:
        with ListenAddress("127.0.0.1", 0).listen() as listener:
            async with serving(hello, listener), httpx.AsyncClient() as client:
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
                refused = await reader.read()
                writer.close()
                return refused, (await client.get(url_of(listener))).status_code

    refused, status = asyncio.run(check())
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert status == 200
