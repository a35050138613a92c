"""Real connections over loopback, and every way in which one can fail."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config import Secrets
from exporter.custody.environment import trust
from exporter.custody.errors import CustodyError, Delivery, Reaction
from exporter.secret import Secret
from tests.custody.asking import VAULT_ID, failure, failure_of, make_client
from tests.custody.servers import (
    Certificate,
    Script,
    closed_port,
    make_certificate,
    reset,
    resetting_after,
    saying,
    serving,
    silence,
    trickle,
)
from tests.waiting import DEADLINE_SECONDS

Start = Callable[[], None]

SOON = 0.25
EMPTY_VAULT = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"
HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n["


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def failure_with(
    script: Script, server_tls: ssl.SSLContext | None = None, **options: object
) -> CustodyError:
    """Send one request to a server that does this; return the failure."""

    async def ask() -> CustodyError:
        async with serving(script, server_tls) as base_url:
            client = make_client(base_url, **options)
            error = await failure_of(client.vault_asset_balances(VAULT_ID))
            await client.close()
            return error

    return asyncio.run(ask())


def summary(error: CustodyError) -> tuple[str, Reaction, Delivery]:
    assert error.status is None
    assert error.message
    return error.type, error.reaction, error.delivery


@pytest.mark.parametrize(
    "script",
    [
        saying(),
        saying(HALF),
        saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[]"),
        saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnone\r\n"),
        saying(b"SSH-2.0-OpenSSH_9.9\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
        saying(b"HTTP/1.1 20 OK\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000 + b"\r\n\r\n[]"),
        resetting_after(b""),
        resetting_after(HALF),
    ],
    ids=[
        "closed before the answer",
        "closed within the body",
        "closed within a chunk",
        "a chunk without a length",
        "not HTTP",
        "a malformed header",
        "a malformed status",
        "an endless header",
        "reset before the answer",
        "reset within the body",
    ],
)
def test_a_connection_that_breaks_is_worth_another_try(script: Script) -> None:
    assert summary(failure_with(script)) == (
        "transport/protocol",
        Reaction.RETRY,
        Delivery.UNANSWERED,
    )


def test_a_refused_connection_used_no_slot() -> None:
    error = failure(f"http://127.0.0.1:{closed_port()}")
    assert summary(error) == ("transport/connect", Reaction.RETRY, Delivery.NEVER_SENT)


def test_a_name_that_is_not_found_used_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*_query: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    error = failure("https://api.kraken.test")
    assert summary(error) == ("transport/connect", Reaction.RETRY, Delivery.NEVER_SENT)
    assert error.message == "Name or service not known (api.kraken.test:443)"


@pytest.fixture
def start_clock(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Stop the time of event loops until this is called: on a busy machine a deadline could pass before."""

    def set_clock(seconds: Callable[[], float]) -> None:
        monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda _loop: seconds())

    def start() -> None:
        began = time.monotonic()
        set_clock(lambda: time.monotonic() - began)

    set_clock(lambda: 0.0)
    return start


@pytest.mark.parametrize("host", ["a..b", ".kraken.test", "a" * 64 + ".test"])
def test_a_name_that_cannot_be_one_used_no_slot(host: str) -> None:
    error = failure(f"https://{host}")
    assert summary(error) == ("transport/connect", Reaction.RETRY, Delivery.NEVER_SENT)


def test_a_key_that_no_header_can_carry_is_not_shown() -> None:
    key = Secret("MARKED\nKEY")
    error = failure_with(
        saying(EMPTY_VAULT), secrets=Secrets(key, Secret(b"a secret of an API key"))
    )
    assert summary(error) == ("transport/protocol", Reaction.RETRY, Delivery.UNANSWERED)
    assert "MARKED" not in error.message


@pytest.mark.parametrize("script", [silence, trickle])
def test_a_whole_request_has_one_deadline(script: Script, start_clock: Start) -> None:
    async def arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        reader.feed_data(head)
        start_clock()
        await script(reader, writer)

    error = failure_with(arrived, timeout=SOON)
    assert summary(error) == ("transport/timeout", Reaction.RETRY, Delivery.UNANSWERED)
    assert error.message == "no complete answer within 0.25 s"


def test_a_handshake_that_does_not_end_used_no_slot_and_leaves_no_socket_open(
    start_clock: Start,
) -> None:
    async def ask() -> CustodyError:
        gone = asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            start_clock()
            await silence(reader, writer)
            gone.set()

        async with serving(wait) as base_url:
            client = make_client(base_url.replace("http:", "https:"), timeout=SOON)
            error = await failure_of(client.vault_asset_balances(VAULT_ID))
            async with asyncio.timeout(DEADLINE_SECONDS):
                await gone.wait()
            await client.close()
            return error

    error = asyncio.run(ask())
    assert summary(error) == ("transport/timeout", Reaction.RETRY, Delivery.NEVER_SENT)


def test_requests_that_were_cut_short_leave_the_place_of_the_connection_free() -> None:
    answers = iter([silence, trickle, silence, saying(EMPTY_VAULT)])
    arrived = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await next(answers)(reader, writer)

    async def ask() -> None:
        async with serving(script) as base_url:
            client = make_client(base_url)
            for _ in range(3):
                arrived.clear()
                asking = asyncio.create_task(client.vault_asset_balances(VAULT_ID))
                await arrived.wait()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
            assert (await client.vault_asset_balances(VAULT_ID)).rows == ()
            await client.close()

    asyncio.run(ask())


def test_a_connection_is_used_again() -> None:
    connections = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(reader)
        while True:
            await saying(EMPTY_VAULT)(reader, writer)

    async def ask() -> None:
        async with serving(script) as base_url:
            client = make_client(base_url)
            for _ in range(3):
                await client.vault_asset_balances(VAULT_ID)
            await client.close()

    asyncio.run(ask())
    assert len(connections) == 1


def test_a_certificate_of_the_configured_file_is_trusted(certificate: Certificate) -> None:
    async def ask() -> None:
        async with serving(saying(EMPTY_VAULT), certificate.context) as base_url:
            client = make_client(base_url, tls=trust(certificate.file))
            assert (await client.vault_asset_balances(VAULT_ID)).rows == ()
            await client.close()

    asyncio.run(ask())


def test_an_unknown_certificate_is_refused_before_anything_is_sent(
    certificate: Certificate,
) -> None:
    error = failure_with(saying(EMPTY_VAULT), certificate.context, tls=trust(None))
    assert summary(error) == ("transport/tls", Reaction.WAIT, Delivery.NEVER_SENT)
    assert "certificate verify failed" in error.message


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    other = make_certificate(tmp_path, name="DNS:elsewhere.test")
    error = failure_with(saying(EMPTY_VAULT), other.context, tls=trust(other.file))
    assert summary(error) == ("transport/tls", Reaction.WAIT, Delivery.NEVER_SENT)


async def hello(reader: asyncio.StreamReader) -> None:
    """Read the beginning of a handshake."""
    await reader.read(1)


def encrypted(script: Script) -> CustodyError:
    """Send one encrypted request to a server that does this in plain text."""

    async def ask() -> CustodyError:
        async with serving(script) as base_url:
            client = make_client(base_url.replace("http:", "https:"))
            error = await failure_of(client.vault_asset_balances(VAULT_ID))
            await client.close()
            return error

    return asyncio.run(ask())


def test_a_server_without_tls_is_not_retried_at_once() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hello(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    assert summary(encrypted(plain)) == ("transport/tls", Reaction.WAIT, Delivery.NEVER_SENT)


def test_a_handshake_that_breaks_off_is_worth_another_try() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await hello(reader)

    async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hello(reader)
        reset(writer)

    for script in (close, abort):
        assert summary(encrypted(script)) == (
            "transport/connect",
            Reaction.RETRY,
            Delivery.NEVER_SENT,
        )


def test_garbage_within_an_encrypted_connection_is_a_failure_of_tls(
    certificate: Certificate,
) -> None:
    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with socket.fromfd(writer.get_extra_info("socket").fileno(), socket.AF_INET, 1) as raw:
            raw.send(b"\x17\x03\x03\x00\x10" + bytes(16))

    error = failure_with(garble, certificate.context, tls=trust(certificate.file))
    assert summary(error) == ("transport/tls", Reaction.WAIT, Delivery.UNANSWERED)


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_no_proxy_is_used_for_this_machine(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{closed_port()}")

    async def ask() -> None:
        async with serving(saying(EMPTY_VAULT)) as base_url:
            client = make_client(base_url)
            assert (await client.vault_asset_balances(VAULT_ID)).rows == ()
            await client.close()

    asyncio.run(ask())


@pytest.mark.parametrize("refusal", ["300 Multiple Choices", "403 Forbidden", "502 Bad Gateway"])
def test_a_proxy_is_used_for_the_api_and_may_refuse(
    refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        writer.write(f"HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()

    async def ask() -> CustodyError:
        async with serving(proxy) as proxy_url:
            monkeypatch.setenv("https_proxy", proxy_url)
            client = make_client("https://api.kraken.test")
            error = await failure_of(client.vault_asset_balances(VAULT_ID))
            await client.close()
            return error

    error = asyncio.run(ask())
    assert summary(error) == ("transport/connect", Reaction.RETRY, Delivery.NEVER_SENT)
    assert error.message == refusal
    assert asked == [b"CONNECT api.kraken.test:443 HTTP/1.1"]
