"""Unsolicited answers, over every kind of connection: no vault gets another's balances."""

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest

from exporter.custody import keeping
from exporter.custody.errors import CustodyError, Delivery, Reaction
from exporter.custody.http1 import MOST_INTERIM_ANSWERS
from exporter.custody.transport import LONG_PIECE_BYTES, Find, Transport
from exporter.custody.wire import PIECE_BYTES, Wire
from tests.custody.asking import NO_TRUST, Client, failure, make_client
from tests.custody.servers import Certificate, make_certificate, serving
from tests.custody.test_way_to_the_api import port_of, proxy_to
from tests.custody.vaults import VAULTS, Api, Misdeed, amount, balances, body, held, response
from tests.simulator.calling import Clock

HOST: Final = "api.kraken.test"
WAYS: Final = ("plain", "TLS 1.2", "TLS 1.3", "a proxy", "a proxy with TLS")
FIRST, SECOND, THIRD, _ = VAULTS
SPANISH: Final = '{"é": "ñandú"}'.encode()

IN_ONE_PIECE: Final = {
    "the answer twice": lambda vault: balances(vault) * 2,
    "another's answer after it": lambda vault: balances(vault) + balances(FIRST),
    "half of another's answer after it": lambda vault: balances(vault) + balances(FIRST)[:30],
    "a 408": lambda vault: balances(vault) + response(b"", "408 Request Timeout"),
    "a 400 with close": lambda v: balances(v) + response(b"", "400 Bad", "connection: close"),
    "a 429 after it": lambda vault: balances(vault) + response(b"{}", "429 Too Many Requests"),
    "an interim answer after it": lambda vault: balances(vault) + b"HTTP/1.1 100 Continue\r\n\r\n",
    "an empty line after it": lambda vault: balances(vault) + b"\r\n",
    "a 204 with a body": lambda vault: response(body(vault), "204 No Content"),
    "a 304 with a body": lambda vault: response(body(vault), "304 Not Modified"),
    "a length that counts characters": lambda _vault: response(SPANISH, length=len(SPANISH) - 3),
    "more chunks than it has": lambda _vault: (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    ),
}
"""What a gateway sends instead of the answer for a vault, all at once."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    directory = tmp_path_factory.mktemp("certificate")
    return make_certificate(directory, name=f"DNS:{HOST},IP:127.0.0.1")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep connections from timing out because this machine is busy."""
    monkeypatch.setattr(keeping, "LONGEST_IDLE_SECONDS", 3600.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - of what is no coroutine
            await asyncio.sleep(0.001)


def about(after: str, *doubtful: str) -> tuple[object, object]:
    """Return what a find reports about these vaults."""
    return ("vault", after), tuple(("vault", vault) for vault in doubtful)


@dataclass
class Caller:
    """Sends requests as the poller does, and records the answers.

    shown: by vault, the last amount. finds: as they come.
    """

    client: Client
    finds: list[Find]
    shown: dict[str, str] = field(default_factory=dict)
    errors: list[CustodyError] = field(default_factory=list)

    async def ask(self, vault: str) -> None:
        try:
            self.shown[vault] = held(await self.client.vault_asset_balances(vault))
        except CustodyError as error:
            self.errors.append(error)

    async def ask_all(self) -> None:
        for vault in VAULTS:
            await self.ask(vault)

    async def find(self, number: int = 1) -> Find:
        """Wait, without a request, for the find of this number."""
        await until(lambda: len(self.finds) >= number)
        return self.finds[number - 1]

    @property
    def false(self) -> set[str]:
        """Return the vaults that show an amount that they do not hold."""
        return {vault for vault, it in self.shown.items() if it != amount(vault)}


Calling = Callable[..., Any]


@pytest.fixture(params=WAYS)
def calling(
    request: pytest.FixtureRequest, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> Calling:
    """Yield a caller of an API over one of the ways."""
    way: str = request.param

    @asynccontextmanager
    async def call(api: Api, **options: Any) -> AsyncIterator[Caller]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file, certificate.file.with_name("key.pem"))
        if way == "TLS 1.2":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        is_plain, is_by_proxy = way == "plain", "proxy" in way
        async with serving(api, None if is_plain else context) as address:
            proxy = proxy_to(port_of(address), [])
            async with serving(proxy, context if "with TLS" in way else None) as proxy_address:
                monkeypatch.setenv("https_proxy", proxy_address)
                base_url = f"https://{HOST}" if is_by_proxy else address
                finds: list[Find] = []
                tls = NO_TRUST if is_plain else ssl.create_default_context(cafile=certificate.file)
                client = make_client(base_url, tls=tls, found=finds.append, **options)
                yield Caller(client, finds)
                await client.close()

    return call


def sending(made: Callable[[str], bytes]) -> Misdeed:
    async def misdeed(api: Api, vault: bytes, writer: asyncio.StreamWriter) -> None:
        del api
        writer.write(made(vault.decode()))

    return misdeed


def answering_after(go: asyncio.Event) -> Misdeed:
    async def misdeed(api: Api, vault: bytes, writer: asyncio.StreamWriter) -> None:
        del api
        await go.wait()
        writer.write(balances(vault.decode()))

    return misdeed


def test_a_connection_is_kept_while_nothing_unsolicited_arrives(calling: Calling) -> None:
    async def use() -> None:
        api = Api()
        async with calling(api) as caller:
            for _ in range(3):
                await caller.ask_all()
            assert (caller.false, caller.errors, caller.finds) == (set(), [], [])
        assert [number for _, number in api.asked] == [1] * 12

    asyncio.run(use())


@pytest.mark.no_cover
@pytest.mark.parametrize("what", IN_ONE_PIECE)
def test_an_answer_with_more_after_it_is_discarded_and_requested_again_elsewhere(
    calling: Calling, what: str
) -> None:
    async def use() -> None:
        api = Api(sending(IN_ONE_PIECE[what]))
        async with calling(api) as caller:
            await caller.ask_all()
            assert caller.false == set()
            assert set(caller.shown) == set(VAULTS) - {SECOND}
            (error,) = caller.errors
            assert (error.type, error.reaction) == ("transport/protocol", Reaction.AGAIN)
            assert error.delivery is Delivery.ANSWERED
            (find,) = caller.finds
            assert (find.after, find.suspects) == about(SECOND, FIRST)
            await caller.ask(SECOND)
            await caller.ask(FIRST)
            assert (caller.false, set(caller.shown)) == (set(), set(VAULTS))
        assert [number for _, number in api.asked] == [1, 1, 2, 2, 3, 4]

    asyncio.run(use())


@pytest.mark.parametrize("status", ["200 OK", "408 Request Timeout", "400 Bad Request"])
def test_bytes_on_an_idle_connection_are_found_at_once_and_make_the_last_answer_doubtful(
    calling: Calling, status: str
) -> None:
    async def use() -> None:
        go = asyncio.Event()

        async def late(api: Api, vault: bytes, writer: asyncio.StreamWriter) -> None:
            del api
            writer.write(balances(vault.decode()))
            await writer.drain()
            await go.wait()
            writer.write(response(body(FIRST), status))

        async with calling(Api(late)) as caller:
            await caller.ask(FIRST)
            await caller.ask(SECOND)
            assert caller.finds == []
            go.set()
            find = await caller.find()
            assert (find.after, find.suspects) == about(SECOND, FIRST, SECOND)
            assert find.status == int(status.split(maxsplit=1)[0])
            await caller.ask_all()
            assert (caller.false, caller.errors) == (set(), [])

    asyncio.run(use())


def test_an_answer_that_comes_just_before_the_right_one_is_doubted_when_that_comes(
    calling: Calling,
) -> None:
    async def use() -> None:
        go = asyncio.Event()

        async def ahead(api: Api, vault: bytes, writer: asyncio.StreamWriter) -> None:
            del api
            writer.write(balances(FIRST))
            await writer.drain()
            await go.wait()
            writer.write(balances(vault.decode()))

        api = Api(ahead)
        async with calling(api) as caller:
            await caller.ask(FIRST)
            await caller.ask(SECOND)
            assert caller.false == {SECOND}, "nobody can tell yet"
            go.set()
            find = await caller.find()
            assert (find.after, find.suspects) == about(SECOND, FIRST, SECOND)
            await caller.ask(SECOND)
            assert caller.false == set()
            await caller.ask_all()
            assert (caller.false, caller.errors) == (set(), [])
        assert [number for _, number in api.asked] == [1, 1, 2, 3, 4, 4, 4]

    asyncio.run(use())


@pytest.mark.parametrize(
    ("seconds", "doubtful"), [(10.0, (FIRST, SECOND, THIRD)), (10.1, (SECOND, THIRD))]
)
def test_every_answer_that_may_be_out_of_step_is_doubted(
    seconds: float, doubtful: tuple[str, ...], calling: Calling
) -> None:
    """After one unsolicited answer, each request gets the answer to the previous one."""

    async def use() -> None:
        go, clock = asyncio.Event(), Clock(0.0)

        async def ahead(api: Api, vault: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(balances(FIRST))
            await api.readers[-1].readuntil(b"\r\n\r\n")
            writer.write(balances(vault.decode()))
            await writer.drain()
            await go.wait()
            writer.write(balances(THIRD))

        async with calling(Api(ahead), monotonic=clock) as caller:
            await caller.ask(FIRST)
            clock.now = seconds
            await caller.ask(SECOND)
            await caller.ask(THIRD)
            assert caller.false == {SECOND, THIRD}, "nobody can tell yet"
            go.set()
            find = await caller.find()
            assert (find.after, find.suspects) == about(THIRD, *doubtful)
            for vault in doubtful:
                await caller.ask(vault)
            assert (caller.false, caller.errors) == (set(), [])

    asyncio.run(use())


def test_the_last_answer_is_doubted_however_long_ago_it_came(calling: Calling) -> None:
    async def use() -> None:
        api, clock = Api(), Clock(0.0)
        async with calling(api, monotonic=clock) as caller:
            await caller.ask(FIRST)
            clock.now = 1.0
            await caller.ask(THIRD)
            clock.now = 30.0
            api.writers[0].write(balances(FIRST))
            assert (await caller.find()).suspects == (("vault", THIRD),)

    asyncio.run(use())


def test_the_connections_of_a_gateway_that_repeats_everything_are_kept_no_longer(
    calling: Calling,
) -> None:
    async def use() -> None:
        clock = Clock(0.0)
        api = Api(sending(lambda vault: balances(vault) * 2), when=VAULTS)
        async with calling(api, monotonic=clock) as caller:
            for vault in VAULTS:
                await caller.ask(vault)
                await caller.ask(vault)
            assert (caller.false, set(caller.shown)) == (set(), set(VAULTS))
            assert len(caller.errors) == len(caller.finds) == 2
            assert [number for _, number in api.asked] == list(range(1, 9))
            clock.now = 3599.0
            await caller.ask_all()
            assert [number for _, number in api.asked[8:]] == [9, 10, 11, 12]
            clock.now = 3600.0
            await caller.ask_all()
            assert [number for _, number in api.asked[12:]] == [13] * 4
            assert caller.false == set()

    asyncio.run(use())


def test_a_connection_that_the_server_closed_is_not_a_find(calling: Calling) -> None:
    async def use() -> None:
        async def closing(api: Api, vault: bytes, writer: asyncio.StreamWriter) -> None:
            del api
            writer.write(balances(vault.decode()))
            await writer.drain()
            writer.close()

        api = Api(closing)
        async with calling(api) as caller:
            await caller.ask_all()
            assert (caller.false, caller.finds) == (set(), [])

    asyncio.run(use())


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Unavailable", "520 Unknown"])
def test_a_connection_is_not_kept_after_5xx(status: str) -> None:
    async def use() -> None:
        api = Api(sending(lambda _vault: response(b"{}", status)))
        async with serving(api) as base_url:
            client = make_client(base_url)
            caller = Caller(client, [])
            await caller.ask_all()
            await client.close()
        assert [number for _, number in api.asked] == [1, 1, 2, 2]

    asyncio.run(use())


def test_a_connection_is_kept_for_a_minute_however_busy_it_is() -> None:
    async def use() -> None:
        api, clock = Api(), Clock(0.0)
        async with serving(api) as base_url:
            client = make_client(base_url, monotonic=clock)
            caller = Caller(client, [])
            for clock.now in (0.0, 20.0, 40.0, 59.0, 60.0, 80.0, 119.0, 121.0):
                await caller.ask(FIRST)
            await client.close()
        assert [number for _, number in api.asked] == [1, 1, 1, 1, 2, 2, 2, 3]

    asyncio.run(use())


def test_a_connection_on_which_the_machine_slept_is_not_used_again() -> None:
    async def use() -> None:
        api, clock = Api(), Clock(0.0)
        async with serving(api) as base_url:
            client = make_client(base_url, monotonic=clock)
            caller = Caller(client, [])
            await caller.ask(FIRST)
            clock.now = 60.0
            await caller.ask(FIRST)
            await client.close()
        assert [number for _, number in api.asked] == [1, 2]

    asyncio.run(use())


def test_as_many_connections_are_kept_as_requests_were_in_flight() -> None:
    async def use() -> None:
        api = Api()
        async with serving(api) as base_url:
            client = make_client(base_url)
            caller = Caller(client, [])
            for _ in range(3):
                await asyncio.gather(*(caller.ask(vault) for vault in VAULTS))
            assert caller.false == set()
            await client.close()
        assert api.connections == len(VAULTS)

    asyncio.run(use())


def test_after_a_second_find_no_other_connection_is_kept_either() -> None:
    async def use() -> None:
        go = asyncio.Event()
        api = Api()
        async with serving(api) as base_url:
            finds: list[Find] = []
            caller = Caller(make_client(base_url, found=finds.append), finds)
            await asyncio.gather(*(caller.ask(vault) for vault in VAULTS))
            api.misdeed, api.when = answering_after(go), {FIRST}
            asking = asyncio.create_task(caller.ask(FIRST))
            await until(lambda: len(api.asked) == 5)
            busy = api.asked[-1][1]
            idle = {1, 2, 3, 4} - {busy}
            for number, count in zip(sorted(idle)[:2], (1, 2), strict=True):
                api.writers[number - 1].write(balances(SECOND))
                await caller.find(count)
            await until(lambda: api.left == idle)
            go.set()
            await asking
            await until(lambda: api.left == {1, 2, 3, 4})
            await caller.ask_all()
            await caller.client.close()
        assert [number for _, number in api.asked[5:]] == [5, 6, 7, 8]
        assert (caller.false, caller.errors) == (set(), [])

    asyncio.run(use())


@pytest.mark.parametrize("count", [MOST_INTERIM_ANSWERS, MOST_INTERIM_ANSWERS + 1])
def test_a_flood_of_interim_answers_is_a_failure(count: int) -> None:
    async def use() -> None:
        flood = b"HTTP/1.1 103 Early Hints\r\n\r\n" * count
        api = Api(sending(lambda vault: flood + balances(vault)), when=(FIRST,))
        async with serving(api) as base_url:
            client = make_client(base_url)
            caller = Caller(client, [])
            await caller.ask(FIRST)
            is_flood = count > MOST_INTERIM_ANSWERS
            assert (len(caller.errors), len(caller.shown)) == (is_flood, not is_flood)
            await caller.ask_all()
            assert caller.false == set()
            await client.close()

    asyncio.run(use())


def test_no_request_is_sent_to_a_server_that_speaks_first() -> None:
    async def connect() -> Wire:
        wire = Wire()
        Silent(wire)
        wire.data_received(balances(FIRST))
        return wire

    error = failure(Transport(connect, Clock(0.0), lambda _find: None))
    assert (error.type, error.delivery) == ("transport/protocol", Delivery.NEVER_SENT)


class Silent(asyncio.Transport):
    """A connection whose other end sends nothing more."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        wire.connection_made(self)

    def abort(self) -> None:
        pass


class Prompt(Silent):
    """A connection whose other end answers at once."""

    def __init__(self, wire: Wire, answer: bytes) -> None:
        super().__init__(wire)
        self._wire, self._answer = wire, answer

    def write(self, data: object) -> None:
        del data
        self._wire.data_received(self._answer)


THREE_PIECES = b" " * 3 * LONG_PIECE_BYTES


@pytest.mark.parametrize(
    ("framing", "body", "longest"),
    [
        (b"content-length: %d" % len(THREE_PIECES), THREE_PIECES, LONG_PIECE_BYTES),
        (b"connection: close", THREE_PIECES, LONG_PIECE_BYTES),
        (b"transfer-encoding: chunked", b"30000\r\n%b\r\n0\r\n\r\n" % THREE_PIECES, PIECE_BYTES),
    ],
    ids=["of known length", "up to the end", "in chunks"],
)
def test_only_a_body_without_chunks_is_read_in_long_pieces(
    framing: bytes, body: bytes, longest: int
) -> None:
    async def connect() -> Wire:
        wire = Wire()
        Prompt(wire, b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (framing, body))
        wire.has_ended = True
        return wire

    async def use() -> list[int]:
        transport = Transport(connect, Clock(0.0), lambda _find: None)
        request = httpx.Request("GET", "http://api.kraken.test/")
        response = await transport.handle_async_request(request)
        return [len(piece) async for piece in response.aiter_raw()]

    pieces = asyncio.run(use())
    assert sum(pieces) == len(THREE_PIECES)
    assert PIECE_BYTES / 2 < max(pieces) <= longest
    assert (max(pieces) > PIECE_BYTES) == (longest > PIECE_BYTES)


def test_bytes_in_the_socket_are_found_before_a_request_is_sent() -> None:
    async def use() -> None:
        api = Api()
        async with serving(api) as base_url:
            finds: list[Find] = []
            caller = Caller(make_client(base_url, found=finds.append), finds)
            await caller.ask(FIRST)
            number = api.writers[0].get_extra_info("socket").fileno()
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as server:
                server.send(balances(FIRST))
            # The event loop has had no turn to notice.
            await caller.ask(SECOND)
            assert (caller.false, caller.errors) == (set(), [])
            (find,) = finds
            assert (find.after, find.suspects, find.status) == (*about(FIRST, FIRST), 200)
            await caller.client.close()
        assert [number for _, number in api.asked] == [1, 2]

    asyncio.run(use())


class Late(asyncio.Transport):
    """A connection that answers at once, with more bytes in its socket afterwards."""

    def __init__(self, wire: Wire, answer: bytes, more: bytes) -> None:
        super().__init__()
        self._wire, self._answer, self._more = wire, answer, more
        self._near, self._far = socket.socketpair()
        asyncio.get_running_loop().add_reader(self._near, self._read)
        wire.connection_made(self)

    def _read(self) -> None:
        self._wire.data_received(self._near.recv(4096))

    def write(self, data: object) -> None:
        del data
        self._wire.data_received(self._answer)
        self._far.send(self._more)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._near if name == "socket" else default

    def abort(self) -> None:
        if self._near.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._near)
        self._near.close()
        self._far.close()


def test_bytes_in_the_socket_are_found_before_an_answer_is_returned() -> None:
    async def use() -> None:
        async def connect() -> Wire:
            wire = Wire()
            Late(wire, balances(FIRST), balances(SECOND))
            return wire

        finds: list[Find] = []
        client = make_client(Transport(connect, Clock(0.0), finds.append))
        caller = Caller(client, finds)
        await caller.ask(FIRST)
        assert (caller.shown, len(caller.errors)) == ({}, 1)
        assert [find.suspects for find in finds] == [()]
        await client.close()

    asyncio.run(use())


def test_a_client_that_is_closed_lets_a_request_in_flight_end_and_keeps_no_connection() -> None:
    async def use() -> None:
        go = asyncio.Event()
        api = Api(answering_after(go), when=(FIRST,))
        async with serving(api) as base_url:
            client = make_client(base_url)
            caller = Caller(client, [])
            asking = asyncio.create_task(caller.ask(FIRST))
            await api.requested.wait()
            await client.close()
            go.set()
            await asking
            assert caller.shown == {FIRST: amount(FIRST)}
            await until(lambda: api.left == {1})

    asyncio.run(use())


def test_answers_leave_nothing_to_the_garbage_collector(calling: Calling) -> None:
    """A collection takes longer than a request."""

    async def use() -> None:
        async with calling(Api()) as caller:
            await caller.ask_all()
            gc.collect()
            gc.disable()
            try:
                for _ in range(3):
                    await caller.ask_all()
                assert gc.collect() == 0
            finally:
                gc.enable()
            assert caller.errors == []

    asyncio.run(use())
