"""Unread bytes show, in whichever buffer they are."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import httpx
import pytest

from exporter.custody import wire
from exporter.custody.client import refusal_of
from exporter.custody.environment import trust
from exporter.custody.wire import MOST_UNREAD_BYTES, PIECE_BYTES, Wire
from tests.custody.servers import Certificate, closed_port, make_certificate

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@cache
def trusting(file: Path) -> ssl.SSLContext:
    """Trust it, and all public authorities, which takes long to read."""
    return trust(file)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Wire, socket.socket]]:
    """A connection, and its other end, which a test drives while the event loop is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = await wire.connect(*listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            yield made, peer
        made.abort()
        await asyncio.sleep(0)


class Peer(asyncio.Transport):
    """The other end of a connection that is in memory only; encrypted."""

    def __init__(self, made: Wire, context: ssl.SSLContext) -> None:
        super().__init__()
        self._wire = made
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self.is_open_for_more = True
        made.connection_made(self)

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self._in.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.send(self._out.read())

    def send(self, encrypted: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._wire.data_received, encrypted)

    def encrypted(self, plain: bytes) -> bytes:
        self._tls.write(plain)
        return self._out.read()

    def pause_reading(self) -> None:
        self.is_open_for_more = False

    def resume_reading(self) -> None:
        self.is_open_for_more = True

    def abort(self) -> None:
        pass


def context_of(certificate: Certificate, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.file.with_name("key.pem"))
    context.minimum_version = context.maximum_version = version
    return context


async def encrypted_pair(certificate: Certificate, version: ssl.TLSVersion) -> tuple[Wire, Peer]:
    made = Wire()
    peer = Peer(made, context_of(certificate, version))
    await made.start_tls(trusting(certificate.file), "127.0.0.1")
    # After the handshake come session tickets, which are not data.
    await asyncio.sleep(0)
    assert made.unread == 0
    return made, peer


def test_bytes_in_the_socket_show() -> None:
    async def use() -> None:
        async with connected() as (made, peer):
            await made.settle()
            assert made.unread == 0
            peer.send(b"unasked")
            assert made.unread == 0, "the event loop has not read it yet"
            await made.settle()
            assert (made.unread, made.beginning) == (7, b"unasked")

    asyncio.run(use())


def test_a_connection_that_was_closed_shows_its_end_and_nothing_unread() -> None:
    async def use() -> None:
        async with connected() as (made, peer):
            peer.shutdown(socket.SHUT_WR)
            await made.settle()
            assert (made.unread, made.has_ended) == (0, True)
            assert await made.read() == b""

    asyncio.run(use())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_part_of_a_tls_record_shows(certificate: Certificate, version: ssl.TLSVersion) -> None:
    async def use() -> None:
        made, peer = await encrypted_pair(certificate, version)
        record = peer.encrypted(b"unasked")
        for end in (1, 4, 5, len(record) - 1):
            made, peer = await encrypted_pair(certificate, version)
            record = peer.encrypted(b"unasked")
            made.data_received(record[:end])
            assert (made.unread, made.beginning) == (end, b"")
            made.data_received(record[end:])
            assert (made.unread, made.beginning) == (7, b"unasked")

    asyncio.run(use())


@pytest.mark.parametrize("version", VERSIONS)
def test_decrypted_bytes_show(certificate: Certificate, version: ssl.TLSVersion) -> None:
    async def use() -> None:
        made, peer = await encrypted_pair(certificate, version)
        made.data_received(peer.encrypted(b"answer") + peer.encrypted(b"unasked"))
        assert made.unread == 13
        assert await made.read() == b"answerunasked"
        assert made.unread == 0

    asyncio.run(use())


def test_the_certificate_of_the_peer_is_known_and_none_without_tls(
    certificate: Certificate,
) -> None:
    async def main() -> None:
        made, _ = await encrypted_pair(certificate, ssl.TLSVersion.TLSv1_3)
        der = ssl.PEM_cert_to_DER_cert(certificate.file.read_text())
        assert made.certificate_der == der
        assert made.certificate["subjectAltName"] == (("IP Address", "127.0.0.1"),)
        assert (Wire().certificate, Wire().certificate_der) == ({}, b"")

    asyncio.run(main())


def test_an_incomplete_record_calls_nothing(certificate: Certificate) -> None:
    """It may be a session ticket's."""

    async def use() -> None:
        made, peer = await encrypted_pair(certificate, ssl.TLSVersion.TLSv1_3)
        record, called = peer.encrypted(b"unasked"), []
        made.unread_arrived = lambda: called.append(made.unread)
        made.data_received(record[:-1])
        assert called == []
        made.data_received(record[-1:])
        assert called == [7]

    asyncio.run(use())


def test_a_fast_sender_is_held_up_until_what_has_arrived_is_read(certificate: Certificate) -> None:
    async def use() -> None:
        made, peer = await encrypted_pair(certificate, ssl.TLSVersion.TLSv1_3)
        sent = bytes(range(256)) * (MOST_UNREAD_BYTES // 256 + 1)
        made.data_received(peer.encrypted(sent))
        assert not peer.is_open_for_more
        received = await made.read(2 * PIECE_BYTES)
        assert received == sent[: 2 * PIECE_BYTES]
        while len(received) < len(sent):
            piece = await made.read()
            assert len(piece) <= PIECE_BYTES
            received += piece
        assert received == sent
        assert peer.is_open_for_more

    asyncio.run(use())


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\x99\x03\x03\x00\x01x"],
)
def test_bytes_other_than_tls_fail_at_once(garbage: bytes) -> None:
    async def use() -> None:
        async with connected() as (made, peer):
            peer.send(garbage)
            with pytest.raises(httpx.ConnectError, match="SSL"):
                await made.start_tls(trust(None), "127.0.0.1")

    asyncio.run(use())


def test_an_unreachable_address_delays_the_next_by_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first address never answers, the second refuses, the third connects."""
    monkeypatch.setattr(wire, "HEAD_START_SECONDS", 0.0)

    async def use() -> None:
        loop = asyncio.get_running_loop()
        cancelled = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            family = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
            silent, refused = ("192.0.2.1", 443), ("127.0.0.1", closed_port())
            answer = [(*family, where) for where in (silent, refused, listener.getsockname())]
            connect = loop.sock_connect

            async def sock_connect(sock: socket.socket, where: tuple[str, int]) -> None:
                if where == silent:
                    try:
                        await asyncio.Future()
                    except asyncio.CancelledError:
                        cancelled.append(sock)
                        raise
                await connect(sock, where)

            async def getaddrinfo(*_query: object, **_options: object) -> object:
                return answer

            monkeypatch.setattr(loop, "sock_connect", sock_connect)
            monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
            made = await wire.connect("api.kraken.test", 443)
            made.abort()
            (left,) = cancelled
            assert left.fileno() == -1, "its socket is closed"
            await asyncio.sleep(0)

    asyncio.run(use())


def test_families_of_addresses_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    given = [(six, 1), (six, 2), (six, 3), (four, 4)]
    assert wire._by_turns(given) == [(six, 1), (four, 4), (six, 2), (six, 3)]


def test_a_connection_comes_from_the_address_that_is_configured() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            made = await wire.connect("127.0.0.1", listener.getsockname()[1], "127.0.0.7")
            peer, address = listener.accept()
            made.abort()
            peer.close()
        assert address[0] == "127.0.0.7"

    asyncio.run(main())


@pytest.mark.parametrize("local_address", ["203.0.113.7", "2001:db8::7"])
def test_an_address_that_this_machine_does_not_have_is_named(local_address: str) -> None:
    async def main() -> None:
        host = "::1" if ":" in local_address else "127.0.0.1"
        with pytest.raises(httpx.ConnectError) as caught:
            await wire.connect(host, 9, local_address)
        problem = f"cannot send from {local_address} (api.local_address): "
        assert problem in str(caught.value)
        # What logs and pages show.
        assert refusal_of(caught.value).startswith(problem)

    asyncio.run(main())
