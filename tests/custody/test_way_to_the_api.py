"""A key is sent only to the configured host, whatever an answer, a proxy or the environment says."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from exporter.custody.environment import trust
from exporter.custody.errors import CustodyError, Delivery, Reaction
from tests.custody.asking import SECRETS, VAULT_ID, failure, failure_of, make_client
from tests.custody.servers import (
    Certificate,
    Script,
    closed_port,
    make_certificate,
    saying,
    serving,
)

HOST = "api.kraken.test"
EMPTY_VAULT = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"
API_KEY = SECRETS.api_key.get_secret_value().encode()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"), name=f"DNS:{HOST}")


def heads_of(heads: list[bytes], script: Script) -> Script:
    """Keep the first request head of each connection, and let `script` answer it."""

    async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        again = asyncio.StreamReader()
        again.feed_data(head)
        await script(again, writer)

    return kept


def proxy_to(port: int, asked: list[bytes]) -> Script:
    """A proxy that records what it is asked, and connects to this port whatever that is."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        there, thither = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(thither):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(copy(reader, thither), copy(there, writer))

    return script


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def names(head: bytes) -> set[bytes]:
    """Return the names of the headers."""
    return {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:] if line}


@pytest.mark.parametrize("file", ["no file", "a file"])
def test_the_api_must_have_a_certificate_for_its_name_and_tls_of_today(
    file: str, certificate: Certificate
) -> None:
    context = trust(None if file == "no file" else certificate.file)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("header", ["location", "refresh", "content-location", "alt-svc", "link"])
def test_redirects_are_not_followed(status: int, header: str) -> None:
    heard: list[bytes] = []

    async def ask() -> CustodyError:
        async with serving(heads_of(heard, saying(EMPTY_VAULT))) as elsewhere:
            pointing = (
                f"HTTP/1.1 {status} Moved\r\n{header}: {elsewhere}/\r\ncontent-length: 0\r\n\r\n"
            )
            async with serving(saying(pointing.encode())) as base_url:
                client = make_client(base_url)
                error = await failure_of(client.vault_asset_balances(VAULT_ID))
                await client.close()
                return error

    error = asyncio.run(ask())
    assert (error.type, error.reaction) == (f"http/{status}", Reaction.SLOW_DOWN)
    assert heard == []


def test_a_proxy_gets_its_own_password_and_nothing_of_the_key(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_proxy: list[bytes] = []
    at_the_api: list[bytes] = []

    async def ask() -> None:
        api = heads_of(at_the_api, saying(EMPTY_VAULT))
        async with serving(api, certificate.context) as api_url:
            proxy = proxy_to(port_of(api_url), at_the_proxy)
            async with serving(proxy) as proxy_url:
                monkeypatch.setenv(
                    "https_proxy", proxy_url.replace("http://", "http://user:MARKER@")
                )
                client = make_client(f"https://{HOST}", tls=trust(certificate.file))
                assert (await client.vault_asset_balances(VAULT_ID)).rows == ()
                await client.close()

    asyncio.run(ask())
    (asked,), (received,) = at_the_proxy, at_the_api
    assert asked.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n".encode())
    assert names(asked) == {b"host", b"accept", b"proxy-authorization"}
    assert names(received) == {
        b"host",
        b"accept",
        b"accept-encoding",
        b"connection",
        b"user-agent",
        b"api-key",
        b"api-nonce",
        b"api-sign",
    }
    assert f"host: {HOST}\r\n".encode() in received.lower()
    assert API_KEY in received


def test_a_proxy_that_answers_in_the_place_of_the_api_gets_nothing(
    tmp_path: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificate is for the right name, but its issuer is not trusted."""
    false = make_certificate(tmp_path, name=f"DNS:{HOST}")
    heads: list[bytes] = []

    async def ask() -> CustodyError:
        async with (
            serving(heads_of(heads, saying(EMPTY_VAULT)), false.context) as false_url,
            serving(proxy_to(port_of(false_url), [])) as proxy_url,
        ):
            monkeypatch.setenv("https_proxy", proxy_url)
            client = make_client(f"https://{HOST}", tls=trust(certificate.file))
            error = await failure_of(client.vault_asset_balances(VAULT_ID))
            await client.close()
            return error

    error = asyncio.run(ask())
    assert (error.type, error.delivery) == ("transport/tls", Delivery.NEVER_SENT)
    assert heads == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refused_connection_is_told_in_the_words_of_the_system_with_its_address(
    host: str,
) -> None:
    """Even if the name has several addresses, and all refuse."""
    port = closed_port()
    error = failure(f"http://{host}:{port}")
    assert error.type == "transport/connect"
    assert error.message == f"Connection refused ({host}:{port})"


def test_a_name_that_does_not_exist_is_reported() -> None:
    error = failure("https://nowhere.invalid")
    assert error.type == "transport/connect"
    # What else the resolver may say depends on the network of this machine.
    assert "name" in error.message.lower()


def test_with_a_proxy_configured_nothing_bypasses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    port = closed_port()
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    error = failure(f"https://{HOST}")
    assert (error.type, error.delivery) == ("transport/connect", Delivery.NEVER_SENT)
    # Of the proxy. Resolving the API's name would have failed with another message.
    assert error.message == f"Connection refused (127.0.0.1:{port})"


def test_a_proxy_is_looked_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://nowhere.invalid:{closed_port()}")
    error = failure(f"https://{HOST}")
    assert error.type == "transport/connect"
    assert "name" in error.message.lower()


def test_a_password_in_netrc_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("default login user password MARKER\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    heads: list[bytes] = []

    async def ask() -> None:
        async with serving(heads_of(heads, saying(EMPTY_VAULT))) as base_url:
            client = make_client(base_url)
            await client.vault_asset_balances(VAULT_ID)
            await client.close()

    asyncio.run(ask())
    assert b"authorization" not in names(heads[0])
