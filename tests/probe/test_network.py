"""What the connection to the API shows before a request: names and certificates of real servers on this machine."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from exporter.probe import way
from exporter.probe.contact import Contact, FirstContact
from exporter.probe.driver import Means
from exporter.probe.findings import Finding
from exporter.probe.network import Certificate, Network, look
from exporter.simulator.server import SimulatorThread
from exporter.threads import Loop
from tests.custody.servers import (
    Script,
    closed_port,
    make_certificate,
    saying,
    serving,
    silence,
)
from tests.custody.test_way_to_the_api import HOST, copy, heads_of, port_of, proxy_to
from tests.exporting import simulator
from tests.probe.contacting import Time, configured, settings_of

NOW = time.time()
OK = saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")


def clean(text: str, length: int) -> str:
    return text[:length]


async def see(
    base_url: str,
    ca_file: Path | None = None,
    patience: float = 5.0,
    local_address: str | None = None,
) -> Network:
    return await look(base_url, ca_file, local_address, patience, clean)


def seen(work: Callable[[], Awaitable[Network]]) -> Network:
    async def do() -> Network:
        return await work()

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(do())


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Inspecting Gateways Inc")


def tls_for(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def root_of(authority: trustme.CA, directory: Path) -> Path:
    file = directory / "root.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


def served(tls: ssl.SSLContext | None, ca_file: Path | None, heads: list[bytes]) -> Network:
    """Check a server on loopback, which records what it is asked."""

    async def work() -> Network:
        async with serving(heads_of(heads, OK), tls) as base_url:
            return await see(base_url, ca_file)

    return seen(work)


def through_a_proxy(
    tls: ssl.SSLContext, ca_file: Path | None, monkeypatch: pytest.MonkeyPatch
) -> Network:
    async def work() -> Network:
        async with (
            serving(OK, tls) as base_url,
            serving(proxy_to(port_of(base_url), [])) as proxy_url,
        ):
            monkeypatch.setenv("https_proxy", proxy_url.replace("http://", "http://user:MARKER@"))
            return await see(f"https://{HOST}", ca_file)

    return seen(work)


def test_a_local_api_needs_no_certificate() -> None:
    heads: list[bytes] = []
    network = served(None, None, heads)
    assert network == Network("127.0.0.1", addresses=("127.0.0.1",), is_encrypted=False)
    assert heads == []
    assert way.names(network).verdict == "ok"
    assert way.tls(network, NOW).evidence == ("not used: the API is on this machine",)


def test_a_certificate_is_reported_with_its_issuer_and_its_end(
    authority: trustme.CA, tmp_path: Path
) -> None:
    heads: list[bytes] = []
    network = served(tls_for(authority, "127.0.0.1"), root_of(authority, tmp_path), heads)
    assert network.is_open
    assert network.certificate
    assert "Inspecting Gateways Inc" in network.certificate.issuer
    assert network.certificate.ends > NOW
    assert heads == []


def test_an_authority_that_only_the_configuration_trusts_is_a_notice(
    authority: trustme.CA, tmp_path: Path
) -> None:
    network = served(tls_for(authority, "127.0.0.1"), root_of(authority, tmp_path), [])
    assert not network.is_public
    finding = way.tls(network, NOW)
    assert (finding.verdict, finding.cause) == ("notice", "tls_private_authority")
    assert "issued by Inspecting Gateways Inc" in finding.evidence[0]


def test_an_authority_that_only_the_environment_trusts_is_a_notice(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(root_of(authority, tmp_path)))
    network = served(tls_for(authority, "127.0.0.1"), None, [])
    assert network.is_open
    assert not network.is_public


def test_a_local_address_is_connected_from() -> None:
    async def work() -> Network:
        came = asyncio.get_running_loop().create_future()

        async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.set_result(writer.get_extra_info("peername")[0])

        async with serving(script) as base_url, asyncio.timeout(30):
            network = await see(base_url, local_address="127.0.0.2")
            assert await came == "127.0.0.2"
            return network

    assert seen(work).is_open


def test_a_proxy_that_intercepts_tls_is_reported_with_its_name(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = through_a_proxy(tls_for(authority, HOST), None, monkeypatch)
    assert not network.is_open
    finding = way.tls(network, NOW)
    assert (finding.verdict, finding.cause) == ("failed", "tls_intercepted")
    assert "issued by Inspecting Gateways Inc" in finding.evidence[1]
    assert "api.ca_file" in finding.advice
    assert "MARKER" not in repr((network, finding, way.names(network)))


def test_behind_a_proxy_the_proxy_is_looked_up(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = through_a_proxy(tls_for(authority, HOST), root_of(authority, tmp_path), monkeypatch)
    assert network.is_open
    assert way.names(network).evidence == (
        f"proxy {network.proxy}: 127.0.0.1",
        f"the proxy resolves {HOST}",
    )


def piped_to(port: int) -> Script:
    """Relay bytes to this port of this machine and back."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, thither = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(thither):
            await asyncio.gather(copy(reader, thither), copy(there, writer))

    return script


def test_the_whole_probe_goes_through_the_proxy(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = configured(
        api={"base_url": f"https://{HOST}", "ca_file": str(root_of(authority, tmp_path))}
    )
    clock, asked = Time(), list[bytes]()
    means = Means(monotonic=clock, boottime=clock, sleep=clock.sleep)

    async def contact() -> Contact:
        api = SimulatorThread(simulator(wall=time.time).app)
        with api as url:
            async with (
                serving(piped_to(port_of(url)), tls_for(authority, HOST)) as tls_url,
                serving(proxy_to(port_of(tls_url), asked)) as proxy_url,
            ):
                monkeypatch.setenv("https_proxy", proxy_url)
                return await FirstContact(settings_of(document), tmp_path, means).make()

    made = asyncio.run(contact())
    assert made.succeeded
    assert {
        step.name: step.finding.cause for step in made.steps if step.finding.verdict == "notice"
    } == {"tls": "tls_private_authority"}
    assert {head.split(b"\r\n")[0] for head in asked} == {f"CONNECT {HOST}:443 HTTP/1.1".encode()}


def test_a_certificate_for_another_name_is_reported(authority: trustme.CA, tmp_path: Path) -> None:
    network = served(tls_for(authority, "elsewhere.example"), root_of(authority, tmp_path), [])
    finding = way.tls(network, NOW)
    assert (finding.verdict, finding.cause) == ("failed", "tls_other_name")
    assert "valid for elsewhere.example" in finding.evidence


def test_an_expired_certificate_is_reported_with_its_issuer(
    authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    authority.issue_cert("127.0.0.1", not_after=yesterday).configure_cert(context)
    finding = way.tls(served(context, root_of(authority, tmp_path), []), NOW)
    assert finding.cause == "tls_expired"
    assert "issued by Inspecting Gateways Inc" in finding.evidence[1]


def test_a_self_signed_certificate_is_reported(tmp_path: Path) -> None:
    finding = way.tls(served(make_certificate(tmp_path).context, None, []), NOW)
    assert finding.cause == "tls_intercepted"
    assert "issued by test" in finding.evidence


def test_a_port_without_tls_is_reported() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async def work() -> Network:
        async with serving(plain) as base_url:
            return await see(base_url.replace("http:", "https:"))

    finding = way.tls(seen(work), NOW)
    assert (finding.verdict, finding.cause) == ("failed", "tls_failed")


def test_a_closed_port_is_reported() -> None:
    port = closed_port()

    async def work() -> Network:
        return await see(f"http://127.0.0.1:{port}")

    finding = way.tls(seen(work), NOW)
    refused = f"Connection refused (127.0.0.1:{port})"
    assert (finding.cause, finding.evidence) == ("not_connected", (refused,))


def test_a_server_that_does_not_greet_is_given_up() -> None:
    async def work() -> Network:
        async with serving(silence) as base_url:
            return await see(base_url.replace("http:", "https:"), patience=0.2)

    finding = way.tls(seen(work), NOW)
    assert (finding.cause, finding.evidence) == ("not_connected", ("no connection within 0.2 s",))


def test_a_proxy_that_requires_a_password_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> Network:
        denial = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
        async with serving(saying(denial)) as proxy_url:
            monkeypatch.setenv("https_proxy", proxy_url)
            return await see(f"https://{HOST}")

    finding = way.tls(seen(work), NOW)
    assert finding.evidence == ("407 Proxy Authentication Required",)
    assert "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT" in finding.advice


def test_an_unknown_host_name_is_reported() -> None:
    network = seen(lambda: see("https://nowhere.invalid"))
    assert network.name_problem.startswith("nowhere.invalid: ")
    assert way.names(network).cause == "name_unknown"
    assert way.tls(network, NOW).verdict == "skipped"


PUBLIC = Network(
    "api.example", addresses=("104.16.0.1",), certificate=Certificate("Big CA", NOW + 86_400)
)


@pytest.mark.parametrize(
    ("network", "verdict", "cause"),
    [
        (Network("h", addresses=("104.16.0.1", "2606:4700::1")), "ok", ""),
        (Network("h", addresses=("10.1.2.3",)), "notice", "private_address"),
        (Network("h", addresses=("10.1.2.3",), proxy="proxy:3128"), "ok", ""),
        (Network("h", addresses=("127.0.0.1",), is_encrypted=False), "ok", ""),
        (Network("h", proxy="proxy:3128", name_problem="proxy: unknown"), "failed", "name_unknown"),
    ],
)
def test_names_are_judged_by_their_addresses(network: Network, verdict: str, cause: str) -> None:
    finding = way.names(network)
    assert (finding.verdict, finding.cause) == (verdict, cause)


def test_an_unknown_name_is_that_of_the_proxy_if_there_is_one() -> None:
    unknown = Network("h", name_problem="unknown")
    assert "name of the API" in way.names(unknown).meaning
    assert "`api.base_url`" in way.names(unknown).advice
    behind = replace(unknown, proxy="proxy:3128")
    assert "name of the proxy" in way.names(behind).meaning
    assert "HTTPS_PROXY" in way.names(behind).advice


@pytest.mark.parametrize(
    ("network", "meaning", "advice"),
    [
        (Network("h"), "Cannot connect to h.", "Check the firewall"),
        (Network("h", proxy="p:1"), "Cannot connect through the proxy p:1 to h.", "A proxy"),
        (Network("h", is_encrypted=False), "Cannot connect to h.", "the server is running"),
    ],
)
def test_a_connection_that_fails_says_what_is_in_between(
    network: Network, meaning: str, advice: str
) -> None:
    finding = way.tls(replace(network, connect_problem="refused"), NOW)
    assert (finding.cause, finding.evidence) == ("not_connected", ("refused",))
    assert finding.meaning == meaning
    assert advice in finding.advice


def tls_of(code: int) -> Finding:
    refused = Network(
        "h", tls_problem="refused", tls_code=code, certificate=Certificate("X", 1.0, ("y",))
    )
    return way.tls(refused, NOW)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(18, "tls_intercepted"), (19, "tls_intercepted"), (20, "tls_intercepted"), (21, "tls_intercepted"),
     (10, "tls_expired"), (62, "tls_other_name"), (64, "tls_other_name"), (0, "tls_failed"), (67, "tls_failed")],
)  # fmt: skip
def test_a_refused_certificate_is_reported_with_openssls_reason(code: int, cause: str) -> None:
    finding = tls_of(code)
    names = ("valid for y",) if cause == "tls_other_name" else ()
    assert (finding.verdict, finding.cause) == ("failed", cause)
    assert finding.evidence == ("refused", "issued by X", *names)
    assert "Nothing was sent" in finding.meaning


def test_a_public_certificate_is_reported_with_its_remaining_days() -> None:
    (issuer, until) = way.tls(PUBLIC, NOW).evidence
    assert issuer == "issued by Big CA"
    assert until.endswith("(1 days)")
