"""Serving over real connections, also to careless and hostile clients."""

import asyncio
import base64
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.secret import Secret
from exporter.web.access.configuration import WebConfiguration
from exporter.web.access.control import Access
from exporter.web.access.headers import SECURITY
from exporter.web.access.passwords import Passwords
from exporter.web.address import ListenAddress
from exporter.web.server import serving
from tests.waiting import DEADLINE_SECONDS, until
from tests.web.access.files import HASH
from tests.web.clients import (
    GET,
    GET_ENDLESS,
    GET_LARGE,
    HEALTH,
    LARGE,
    POST,
    SOON,
    Address,
    Gate,
    Pages,
    ask,
    connected,
    hello,
    is_served,
    rest_of,
    send_slowly_until_cut,
    send_until_cut,
    served,
    time_passes,
)


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


def test_clients_that_never_finish_their_request_do_not_delay_a_stop() -> None:
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
        async with asyncio.timeout(DEADLINE_SECONDS):
            await check()

    asyncio.run(with_deadline())


def test_malformed_http_is_refused_and_others_are_served() -> None:
    async def check() -> tuple[bytes, int]:
        with ListenAddress("127.0.0.1", 0).listen() as listener:
            async with serving(hello, listener), httpx.AsyncClient() as client:
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                with closing(writer):
                    writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
                    refused = await reader.read()
                return refused, (await client.get(url_of(listener))).status_code

    refused, status = asyncio.run(check())
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert status == 200


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    """The address of an app whose clients have little time for their requests."""
    with served(read_timeout=SOON) as found:
        yield found


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\n", GET[:-2]])
def test_a_request_that_is_never_complete_is_given_up(sent: bytes, address: Address) -> None:
    with connected(address) as client:
        client.sendall(sent)
        assert rest_of(client) == b""
        assert is_served(address)


@pytest.mark.parametrize("head", [b"", GET[:-2] + b"x: "])
def test_bytes_now_and_then_do_not_keep_a_request_alive(head: bytes, address: Address) -> None:
    with connected(address) as client:
        client.sendall(head)
        send_slowly_until_cut(client, b"x")
        assert is_served(address)


@pytest.mark.parametrize("sent", [b"G", GET + b"G"], ids=["alone", "right after another"])
def test_a_further_request_has_no_more_time_than_the_first(sent: bytes, address: Address) -> None:
    with connected(address) as client:
        assert ask(client) == (200, b"hello")
        client.sendall(sent)
        assert rest_of(client).count(b"hello") == sent.count(GET)


def test_a_connection_may_be_idle_between_requests(address: Address) -> None:
    with connected(address) as client:
        assert ask(client) == (200, b"hello")
        with connected(address) as silent:
            assert rest_of(silent) == b""
        assert ask(client) == (200, b"hello")


def test_an_idle_connection_is_closed_after_its_timeout() -> None:
    with served(idle_timeout=SOON) as address, connected(address) as client:
        assert ask(client) == (200, b"hello")
        assert rest_of(client) == b""


def test_a_client_that_does_not_read_its_answer_is_cut_off_and_little_is_held_for_it() -> None:
    pages = Pages()
    with served(pages.app, write_timeout=SOON) as address, connected(address, 4096) as client:
        client.sendall(GET_ENDLESS)
        assert client.recv(1)
        with time_passes():
            until(lambda: pages.chunks and not pages.under_way)
        assert pages.chunks * len(pages.CHUNK) < len(LARGE), (
            "the kernel's buffers, and a chunk or so"
        )
        assert not rest_of(client).endswith(b"0\r\n\r\n"), "it must not look complete"
        assert is_served(address)


def test_a_client_that_reads_a_little_now_and_then_is_cut_off() -> None:
    pages = Pages()
    with served(pages.app, write_timeout=SOON) as address, connected(address, 4096) as client:
        client.sendall(GET_ENDLESS)
        with time_passes():
            until(lambda: client.recv(1024) and not pages.under_way)


@pytest.mark.parametrize("header", [b"", b"connection: close\r\n"])
def test_an_answer_that_the_app_has_handed_over_is_not_kept_for_ever(header: bytes) -> None:
    with (
        served(Pages().app, requests=1, write_timeout=SOON) as address,
        connected(address, 4096) as client,
    ):
        client.sendall(GET_LARGE[:-2] + header + b"\r\n")
        assert client.recv(1)
        with time_passes():
            until(lambda: is_served(address))
        assert len(rest_of(client)) < len(LARGE)


def test_further_requests_are_refused_while_as_many_as_may_be_are_under_way() -> None:
    gate = Gate()
    with served(gate.app, requests=2) as address, ExitStack() as clients:
        first, second, third = (clients.enter_context(connected(address)) for _ in range(3))
        first.sendall(GET)
        second.sendall(GET)
        until(lambda: gate.arrived == 2)
        assert ask(third) == (503, b"Limit of concurrent requests reached (2), try again later.\n")
        assert ask(third, HEALTH) == (200, b"hello"), "busy is not unhealthy"
        gate.opened.set()
        assert [ask(client, b"") for client in (first, second)] == [(200, b"hello")] * 2
        assert ask(third) == (200, b"hello")


def test_zero_means_no_limit_of_requests() -> None:
    gate = Gate()
    gate.opened.set()
    with served(gate.app, requests=0) as address:
        assert is_served(address)


def test_a_client_that_does_not_read_gives_way_to_a_new_request() -> None:
    with served(Pages().app, requests=1) as address, connected(address, 4096) as client:
        client.sendall(GET_LARGE)
        assert client.recv(1)
        until(lambda: is_served(address))
        assert len(rest_of(client)) < len(LARGE)


def test_the_client_that_has_not_read_for_longest_gives_way() -> None:
    pages = Pages()
    with served(pages.app, requests=2) as address, ExitStack() as clients:
        longest, shortest = (clients.enter_context(connected(address, 4096)) for _ in range(2))
        for number, client in enumerate((longest, shortest), 1):
            client.sendall(GET_ENDLESS)
            until(lambda number=number: pages.under_way == number)  # type: ignore[misc]  # mypy knows no default
            until(pages.stands_still)
        assert is_served(address)
        until(lambda: pages.under_way == 1)
        assert len(rest_of(longest)) < len(LARGE)
        assert shortest.recv(1)


def test_a_large_page_whose_client_resets_the_connection_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served(Pages().app) as address:
        for _ in range(20):
            with connected(address, 4096) as client:
                client.sendall(GET_LARGE)
                assert client.recv(1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert is_served(address)
    assert caplog.messages == []


def gets_in(address: Address) -> bool:
    try:
        return is_served(address)
    except ConnectionResetError:
        return False


@pytest.mark.parametrize(
    "limits", [{"requests": 4, "connections": 20}, {"requests": 0, "connections": 3}]
)
def test_clients_that_do_not_read_block_no_other_client(limits: dict[str, Any]) -> None:
    """A further client is served once the kernel's buffers are full: until then the answers seem to be read."""
    with served(Pages().app, **limits) as address, ExitStack() as clients:
        for _ in range(30):
            clients.enter_context(connected(address, 4096)).sendall(GET_LARGE)
            until(lambda: gets_in(address))


def test_a_client_with_many_connections_closes_its_own_by_a_further_one() -> None:
    with served(connections=4) as address, ExitStack() as clients:
        scraper = clients.enter_context(connected(address))
        assert ask(scraper) == (200, b"hello")
        for _ in range(20):
            with_many = clients.enter_context(connected(address, source="127.0.0.2"))
            assert ask(with_many) == (200, b"hello")
        assert ask(scraper) == (200, b"hello")


def test_a_connection_too_many_replaces_the_one_that_waits_longest() -> None:
    with served(connections=3) as address, ExitStack() as clients:
        longest, shorter, shortest = (clients.enter_context(connected(address)) for _ in range(3))
        for client in (longest, shorter, shortest):
            assert ask(client) == (200, b"hello")
        assert is_served(address)
        assert rest_of(longest) == b""
        assert ask(shorter) == ask(shortest) == (200, b"hello")


def test_a_request_under_way_is_not_given_up_for_a_new_connection() -> None:
    gate = Gate()
    with served(gate.app, connections=2) as address, ExitStack() as clients:
        client = clients.enter_context(connected(address))
        client.sendall(GET)
        until(lambda: gate.arrived == 1)
        idle = [clients.enter_context(connected(address)) for _ in range(20)]
        assert [rest_of(one) for one in idle[:-1]] == [b""] * 19
        gate.opened.set()
        assert ask(client, b"") == (200, b"hello")


def test_a_connection_too_many_is_closed_where_no_other_waits() -> None:
    gate = Gate()
    with served(gate.app, connections=1) as address, connected(address) as client:
        client.sendall(GET)
        until(lambda: gate.arrived == 1)
        with connected(address) as other:
            assert rest_of(other) == b""
        gate.opened.set()
        assert ask(client, b"") == (200, b"hello")


KIB = 1024
LARGE_HEADS = {
    "a header": GET[:-2] + b"x: " + b"y" * 32 * KIB + b"\r\n\r\n",
    "many headers": GET[:-2] + b"x: y\r\n" * (32 * KIB // 6) + b"\r\n",
    "a header without an end": GET[:-2] + b"x: " + b"y" * 32 * KIB,
    "a request line": b"GET /" + b"y" * 32 * KIB + b" HTTP/1.1\r\nhost: exporter\r\n\r\n",
    "a request line without an end": b"GET /" + b"y" * 32 * KIB,
    "a folded header": GET[:-2] + b"x: y\r\n" + b" y\r\n" * (32 * KIB // 4) + b"\r\n",
}


@pytest.mark.parametrize("kind", LARGE_HEADS)
def test_a_head_that_is_too_large_is_refused_whether_it_is_complete_or_not(
    kind: str, address: Address
) -> None:
    with connected(address) as client:
        client.sendall(LARGE_HEADS[kind])
        assert rest_of(client).startswith(b"HTTP/1.1 400 ")
        assert is_served(address)


def test_a_head_of_usual_size_is_served(address: Address) -> None:
    with connected(address) as client:
        cookie = b"cookie: " + b"y" * 15 * KIB
        assert ask(client, GET[:-2] + cookie + b"\r\n\r\n") == (200, b"hello")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(body)(scope, receive, send)


FRAMINGS = {
    "of a length": (b"content-length: 1000000000000\r\n\r\n", b"x" * KIB),
    "in chunks": (b"transfer-encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * KIB + b"\r\n"),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("app", [hello, echo])
def test_a_body_without_end_is_cut_off(app: ASGIApp, framing: str) -> None:
    head, data = FRAMINGS[framing]
    with served(app) as address, connected(address) as client:
        client.sendall(POST + head)
        send_until_cut(client, data)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_that_comes_slowly_does_not_keep_a_connection(
    framing: str, address: Address
) -> None:
    head, data = FRAMINGS[framing]
    with connected(address) as client:
        assert ask(client, POST + head) == (200, b"hello")
        send_slowly_until_cut(client, data[:100])


def test_an_app_does_not_wait_for_a_body_for_ever() -> None:
    with served(echo, write_timeout=SOON) as address, connected(address) as client:
        client.sendall(POST + b"content-length: 1000000\r\n\r\n")
        send_slowly_until_cut(client, b"x")


def test_a_body_of_usual_size_is_taken() -> None:
    body = b"x" * 10 * KIB
    head = POST + b"content-length: %d\r\n\r\n" % len(body)
    with served(echo) as address, connected(address) as client:
        assert ask(client, head + body) == (200, body)
        assert ask(client, POST + b"content-length: 2\r\n\r\nhi") == (200, b"hi")


MALFORMED = {
    "a chunk": POST + b"transfer-encoding: chunked\r\n\r\nno length\r\n",
    "a chunk after an answer": POST + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n",
    "a request line": b"GET\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": GET[:-2] + b"host: exporter\r\n\r\n",
    "a host that is no name": b"GET / HTTP/1.1\r\nhost: []\r\n\r\n",
    "a whole URL with a host that is no name": b"GET http://[]/ HTTP/1.1\r\nhost: exporter\r\n\r\n",
    "two lengths": POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
    "a length and chunks": POST
    + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    + GET,
    "a length": POST + b"content-length: -1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade": GET[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\nGET\r\n\r\n",
    "after a request": GET + b"GET\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_mistakes_of_clients_close_their_connection_and_are_not_logged(
    kind: str, caplog: pytest.LogCaptureFixture, address: Address
) -> None:
    with connected(address) as client:
        client.sendall(MALFORMED[kind])
        if kind == "a chunk after an answer":
            assert client.recv(1)
            client.sendall(b"no length\r\n")
        rest_of(client)
        assert is_served(address)
    assert caplog.messages == []


@pytest.mark.no_cover
def test_requests_that_do_not_wait_for_answers_are_answered_in_turn(address: Address) -> None:
    with connected(address) as client:
        client.sendall(GET * 1000)
        received = bytearray()
        while received.count(b"hello") < 1000:
            received += client.recv(1 << 20)
        assert received.count(b"HTTP/1.1 200 OK") == 1000


def test_endless_requests_whose_answers_are_not_read_are_cut_off() -> None:
    with (
        served(Pages().app, write_timeout=SOON) as address,
        connected(address, 4096) as client,
        time_passes(),
    ):
        send_until_cut(client, GET_LARGE)


def test_a_stop_does_not_wait_for_clients_that_read_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pages = Pages()
    with ExitStack() as clients:
        with served(pages.app) as address:
            for _ in range(5):
                clients.enter_context(connected(address, 4096)).sendall(GET_ENDLESS)
            until(lambda: pages.under_way == 5)
        assert pages.under_way == 0
    assert caplog.messages == []


def head_of(client: socket.socket, request: bytes) -> bytes:
    client.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(1 << 16)
    return received.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_client_that_has_ended_its_side_still_gets_its_answer(version: bytes) -> None:
    gate = Gate()
    with served(gate.app) as address, connected(address) as client:
        client.sendall(GET.replace(b"1.1", version))
        client.shutdown(socket.SHUT_WR)
        until(lambda: gate.arrived == 1)
        # The end of its side arrived before this request.
        with connected(address) as other:
            assert ask(other, HEALTH) == (200, b"hello")
        gate.opened.set()
        assert rest_of(client).endswith(b"hello")


@pytest.mark.parametrize(
    "sent", [b"", GET[:-2], POST + b"content-length: 1\r\n\r\n", GET + GET[:-2]]
)
def test_a_client_that_has_ended_its_side_before_its_request_did_is_closed(sent: bytes) -> None:
    with served(echo) as address, connected(address) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert rest_of(client).count(b"200 OK") <= 1


async def fails(_request: Request) -> Response:
    raise RuntimeError


def test_every_answer_has_the_security_headers_also_those_that_no_app_gave(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    users = WebConfiguration(basic_auth_users={"alice": Secret[str](HASH)})
    hosts = (b"host: []", b"host: evil.example", b"host: a\r\nhost: b")
    bad_hosts = [b"GET / HTTP/1.1\r\n" + host + b"\r\n\r\n" for host in hosts]
    with served(gate.app, requests=1) as address, ExitStack() as clients:
        under_way, *others = (clients.enter_context(connected(address)) for _ in range(7))
        under_way.sendall(GET)
        until(lambda: gate.arrived == 1)
        requests = (GET, HEALTH, b"GET\r\n\r\n", *bad_hosts)
        heads = [head_of(*asked) for asked in zip(others, requests, strict=True)]
        gate.opened.set()
    with served(Starlette(routes=[Route("/", fails)])) as address, connected(address) as client:
        heads.append(head_of(client, GET))
    broken = Access(lambda: users, passwords=Passwords(lambda *_: 1 / 0 > 1))
    with served(access=broken) as address, connected(address) as client:
        heads.append(head_of(client, with_password("any")))
    assert [head.split()[1] for head in heads] == b"503 200 400 400 421 400 500 500".split()
    for head in heads:
        for name, value in SECURITY.items():
            assert head.lower().count(f"\r\n{name}: {value}".lower().encode()) == 1
        assert b"\r\nserver:" not in head.lower()
    assert "RuntimeError" in caplog.text


def with_password(password: str) -> bytes:
    encoded = base64.b64encode(f"alice:{password}".encode())
    return GET[:-2] + b"authorization: Basic " + encoded + b"\r\n\r\n"


def test_clients_that_guess_passwords_displace_no_client_that_knows_one() -> None:
    checking = threading.Event()

    def check(password: bytes, _hashed: bytes) -> bool:
        if password == b"right":
            return True
        checking.wait(10)
        return False

    users = WebConfiguration(basic_auth_users={"alice": Secret[str](HASH)})
    access = Access(lambda: users, passwords=Passwords(check))

    with served(access=access, requests=1) as address, ExitStack() as clients:
        scraper = clients.enter_context(connected(address))
        assert ask(scraper, with_password("right")) == (200, b"hello")
        guessing = [clients.enter_context(connected(address)) for _ in range(10)]
        for number, client in enumerate(guessing):
            client.sendall(with_password(f"guess {number}"))
        assert ask(scraper, with_password("right")) == (200, b"hello")
        checking.set()
        assert [ask(client, b"")[0] for client in guessing] == [401] * 10


def test_guesses_on_every_connection_do_not_keep_out_another_client_with_a_right_password() -> None:
    one_more = threading.Semaphore(0)
    checked: list[bytes] = []

    def check(password: bytes, _hashed: bytes) -> bool:
        assert one_more.acquire(timeout=10)
        checked.append(password)
        return password == b"right"

    users = WebConfiguration(basic_auth_users={"alice": Secret[str](HASH)})
    access = Access(lambda: users, passwords=Passwords(check))
    with served(access=access, connections=20) as address, ExitStack() as clients:
        guessing = [
            clients.enter_context(connected(address, source="127.0.0.2")) for _ in range(20)
        ]
        for number, client in enumerate(guessing):
            client.sendall(with_password(f"guess {number}"))
        with connected(address) as scraper:
            scraper.sendall(with_password("right"))
            # The guess that is being checked, and perhaps the next one, whose turn it was when the scraper arrived.
            one_more.release(3)
            assert ask(scraper, b"") == (200, b"hello")
            assert checked.index(b"right") <= 2
        one_more.release(20)
