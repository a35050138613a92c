"""Serving over TLS, also to clients whose handshake fails."""

import asyncio
import math
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from exporter.web.access.configuration import WebConfiguration
from exporter.web.access.control import Access
from exporter.web.access.headers import SECURITY
from exporter.web.clients import Clients
from exporter.web.handshake import Handshake
from exporter.web.limits import Limits
from tests.waiting import DEADLINE_SECONDS, until
from tests.web.access.files import read
from tests.web.certificates import Authority
from tests.web.clients import (
    GET,
    GET_ENDLESS,
    GET_LARGE,
    LARGE,
    SOON,
    Address,
    Gate,
    Pages,
    ask,
    connected,
    hello,
    is_served,
    rest_of,
    served,
    time_passes,
)

PAIR = {"cert_file": "server.pem", "key_file": "server-key.pem"}
CLIENTS = {"client_ca_file": "authority.pem", "client_auth_type": "RequireAndVerifyClientCert"}


class Site:
    """A directory with certificates, and the web configuration in force."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.authority.sign("127.0.0.1")
        self.trust = self.authority.trust()
        self.configuration = WebConfiguration()
        self.configure()

    def configure(self, **tls: Any) -> None:
        """Configure TLS with some more fields."""
        self.configuration = read(self.directory, {"tls_server_config": {**PAIR, **tls}})

    @property
    def access(self) -> Access:
        return Access(lambda: self.configuration)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def address(site: Site) -> Iterator[Address]:
    """The address of an app over TLS whose clients have little time for their requests."""
    with served(access=site.access, read_timeout=SOON) as found:
        yield found


def is_let_in(address: Address, trust: ssl.SSLContext) -> bool:
    """Whether a client gets an answer; with TLS 1.3 it learns of a refusal only when it waits for one."""
    try:
        with connected(address, trust=trust) as client:
            return ask(client)[0] == 200
    except (ssl.SSLError, ConnectionError):
        return False


async def scheme(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(Request(scope).url.scheme)(scope, receive, send)


def test_an_app_is_served_over_tls_and_knows_it(site: Site) -> None:
    site.trust.set_alpn_protocols(["h2", "http/1.1"])
    with (
        served(scheme, access=site.access) as address,
        connected(address, trust=site.trust) as client,
    ):
        assert isinstance(client, ssl.SSLSocket)
        assert (client.version(), client.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
        assert [ask(client), ask(client)] == [(200, b'"https"')] * 2


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
NO_HANDSHAKES = {
    "nothing": b"",
    "a byte": b"\x16",
    "half a hello": HELLO,
}
NO_TLS = {
    "a broken hello": HELLO + b"\0" * 512,
    "noise": bytes(range(256)) * 64,
}


@pytest.mark.parametrize("kind", NO_HANDSHAKES)
def test_a_client_with_a_stalled_handshake_is_cut_off_and_delays_no_other(
    kind: str, site: Site, address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(address) as client:
        client.sendall(NO_HANDSHAKES[kind])
        assert is_served(address, site.trust)
        assert rest_of(client) == b""
    assert caplog.messages == []


@pytest.mark.parametrize("kind", NO_TLS)
def test_plain_bytes_on_the_tls_port_are_cut_off_and_not_logged(
    kind: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with served(access=site.access) as address, connected(address) as client:
        client.sendall(NO_TLS[kind])
        assert b"HTTP/1.1 " not in rest_of(client)
        assert is_served(address, site.trust)
    assert caplog.messages == []


def test_after_its_handshake_a_client_has_no_more_time_than_without_tls(
    site: Site, address: Address
) -> None:
    with connected(address, trust=site.trust) as client:
        assert rest_of(client) == b""
        assert is_served(address, site.trust)


def test_a_client_that_leaves_in_its_handshake_is_forgotten(site: Site) -> None:
    with served(access=site.access, connections=2) as address:
        for _ in range(20):
            with connected(address) as client:
                client.sendall(HELLO)
        with ExitStack() as clients:
            known = [clients.enter_context(connected(address, trust=site.trust)) for _ in range(2)]
            assert [ask(client) for client in known] == [(200, b"hello")] * 2


def test_a_handshake_counts_as_a_connection_and_gives_way_to_a_new_one(site: Site) -> None:
    with served(access=site.access, connections=3) as address, ExitStack() as clients:
        longest, shorter, shortest = (clients.enter_context(connected(address)) for _ in range(3))
        assert is_served(address, site.trust)
        assert rest_of(longest) == b""
        # One that has disconnected makes room.
        assert is_served(address, site.trust)
        for client in (shorter, shortest):
            client.setblocking(False)  # noqa: FBT003 - the socket's own form
            with pytest.raises(BlockingIOError):
                client.recv(1)


def test_a_request_under_way_is_not_given_up_for_handshakes(site: Site) -> None:
    gate = Gate()
    with (
        served(gate.app, access=site.access, connections=2) as address,
        connected(address, trust=site.trust) as client,
        ExitStack() as clients,
    ):
        client.sendall(GET)
        until(lambda: gate.arrived == 1)
        silent = [clients.enter_context(connected(address)) for _ in range(20)]
        assert [rest_of(one) for one in silent[:-1]] == [b""] * 19
        gate.opened.set()
        assert ask(client, b"") == (200, b"hello")


class Plug(asyncio.Transport):
    """A transport that can only be closed."""

    def __init__(self) -> None:
        super().__init__()
        self._is_closing = False

    def abort(self) -> None:
        self._is_closing = True

    def is_closing(self) -> bool:
        return self._is_closing


def test_a_connection_that_finds_no_room_takes_none(site: Site) -> None:
    """asyncio does not end a handshake on a transport that was closed before it."""
    clients = Clients(Limits(connections=0), site.access)
    handshake = Handshake(clients, lambda _: asyncio.Protocol())
    handshake.connection_made(Plug())
    assert handshake.transport.is_closing()
    assert clients.open == set()


def test_a_stop_does_not_wait_for_handshakes(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as clients, served(access=site.access) as address:
        for data in NO_HANDSHAKES.values():
            clients.enter_context(connected(address)).sendall(data)
        assert is_served(address, site.trust)
    assert caplog.messages == []


def test_what_comes_with_the_end_of_the_handshake_is_not_lost(site: Site) -> None:
    with served(access=site.access) as address, connected(address) as client:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = site.trust.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")

        def when_readable(step: Callable[[], bytes | None]) -> bytes | None:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    client.sendall(outgoing.read())
                    incoming.write(client.recv(1 << 16))

        when_readable(tls.do_handshake)
        tls.write(GET)
        client.sendall(outgoing.read())
        received = bytearray()
        while not received.endswith(b"hello"):
            received += when_readable(tls.read) or b""


def test_a_client_without_a_required_certificate_is_refused(
    site: Site,
) -> None:
    site.configure(**CLIENTS)
    with served(access=site.access) as address:
        assert not is_let_in(address, site.trust)
        assert is_served(address, site.authority.trust("prometheus.example"))


def test_a_certificate_of_another_authority_is_refused(site: Site, tmp_path: Path) -> None:
    site.configure(**CLIENTS)
    other = Authority(tmp_path, "other").trust("prometheus.example")
    other.load_verify_locations(site.authority.file)
    with served(access=site.access) as address:
        assert not is_let_in(address, other)


def test_a_certificate_may_be_left_out_but_not_be_wrong_where_it_is_verified_if_given(
    site: Site, tmp_path: Path
) -> None:
    site.configure(**CLIENTS | {"client_auth_type": "VerifyClientCertIfGiven"})
    other = Authority(tmp_path, "other").trust("prometheus.example")
    other.load_verify_locations(site.authority.file)
    with served(access=site.access) as address:
        assert is_served(address, site.trust)
        assert is_served(address, site.authority.trust("prometheus.example"))
        assert not is_let_in(address, other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prometheus.example", True),
        ("10.0.0.1", True),
        ("2001:db8::1", True),
        ("prometheus@example.com", True),
        ("grafana.example", False),
        ("10.0.0.2", False),
    ],
)
def test_a_certificate_must_have_a_name_that_is_allowed(
    name: str, site: Site, *, expected: bool
) -> None:
    allowed = ["prometheus.example", "10.0.0.1", "2001:db8::1", "prometheus@example.com"]
    site.configure(**CLIENTS, client_allowed_sans=allowed)
    with served(access=site.access) as address:
        assert is_let_in(address, site.authority.trust(name)) is expected


def test_an_authority_between_is_trusted_without_the_one_above_it_and_its_sisters(
    site: Site, tmp_path: Path
) -> None:
    clients, others = (Authority(tmp_path, name, site.authority) for name in ("clients", "others"))
    site.configure(**CLIENTS | {"client_ca_file": "clients.pem"})
    with served(access=site.access) as address:
        for authority, expected in ((clients, True), (others, False), (site.authority, False)):
            trust = authority.trust("prometheus.example")
            trust.load_verify_locations(site.authority.file)
            assert is_let_in(address, trust) is expected


def test_a_certificate_whose_names_are_no_text_is_refused_like_any_other(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.configure(**CLIENTS)
    trust = site.authority.trust_with_names(b"\x30\x04\x82\x02\xff\xfe")
    with capture_logs() as events, served(access=site.access, connections=2) as address:
        assert not any(is_let_in(address, trust) for _ in range(5))
        # None of them still counts.
        with (
            connected(address, trust=site.authority.trust("prometheus.example")) as first,
            connected(address, trust=site.authority.trust("prometheus.example")) as second,
        ):
            assert [ask(first), ask(second)] == [(200, b"hello")] * 2
    assert {event["problem"] for event in events} == {"a name in the certificate is not text"}
    assert caplog.messages == []


@contextmanager
def taken_up_again(
    address: Address, trust: ssl.SSLContext, session: ssl.SSLSession | None
) -> Iterator[ssl.SSLSocket]:
    """Connect as a client that resumes a session."""
    with (
        socket.create_connection(address, DEADLINE_SECONDS) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as again,
    ):
        yield again


def session_that_can_be_taken_up_again(
    address: Address, trust: ssl.SSLContext
) -> ssl.SSLSession | None:
    with connected(address, trust=trust) as first:
        assert isinstance(first, ssl.SSLSocket)
        assert ask(first) == (200, b"hello")
        session = first.session
    with taken_up_again(address, trust, session) as again:
        assert again.session_reused
        assert ask(again) == (200, b"hello")
    return session


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_a_session_that_is_taken_up_again_does_not_outlive_the_certificate_that_it_began_with(
    version: str, site: Site
) -> None:
    site.configure(**CLIENTS, max_version=version)
    trust = site.authority.trust("prometheus.example")
    now = 0.0
    with served(access=Access(lambda: site.configuration, wall=lambda: now)) as address:
        session = session_that_can_be_taken_up_again(address, trust)
        now = math.inf
        with taken_up_again(address, trust, session) as again:
            assert ask(again) == (403, b"Refused: the certificate has expired.\n")
            assert rest_of(again) == b""


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_a_session_that_is_taken_up_again_is_held_to_the_names_that_are_allowed_now(
    version: str, site: Site
) -> None:
    policy = CLIENTS | {"client_allowed_sans": ["prometheus.example"], "max_version": version}
    site.configure(**policy)
    trust = site.authority.trust("prometheus.example")
    with served(access=site.access) as address:
        session = session_that_can_be_taken_up_again(address, trust)
        site.configure(**policy | {"client_allowed_sans": ["grafana.example"]})
        with taken_up_again(address, trust, session) as again:
            assert ask(again)[0] == 403
            assert rest_of(again) == b""


@contextmanager
def negotiated(site: Site, **tls: Any) -> Iterator[ssl.SSLSocket]:
    site.configure(**tls)
    with (
        served(access=site.access) as address,
        connected(address, trust=site.trust) as client,
    ):
        assert isinstance(client, ssl.SSLSocket)
        yield client


def test_the_newest_version_can_be_limited(site: Site) -> None:
    with negotiated(site, max_version="TLS12") as client:
        assert client.version() == "TLSv1.2"


def test_the_oldest_version_can_be_limited(site: Site) -> None:
    site.configure(min_version="TLS13")
    site.trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with served(access=site.access) as address:
        assert not is_let_in(address, site.trust)


@pytest.mark.parametrize("is_servers_order", [True, False])
def test_a_cipher_suite_is_chosen_by_the_order_of_the_server_or_of_the_client(
    site: Site, *, is_servers_order: bool
) -> None:
    curve = "ECDSA" if b"EC PRIVATE" in (site.directory / "server-key.pem").read_bytes() else "RSA"
    suites = [
        f"TLS_ECDHE_{curve}_WITH_AES_{bits}_GCM_SHA{sha}" for bits, sha in ((128, 256), (256, 384))
    ]
    site.trust.set_ciphers(f"ECDHE-{curve}-AES256-GCM-SHA384:ECDHE-{curve}-AES128-GCM-SHA256")
    with negotiated(
        site,
        max_version="TLS12",
        cipher_suites=suites,
        prefer_server_cipher_suites=is_servers_order,
    ) as client:
        chosen = client.cipher()
        assert chosen
        assert (
            chosen[0]
            == f"ECDHE-{curve}-AES{128 if is_servers_order else 256}-GCM-SHA{256 if is_servers_order else 384}"
        )


def test_a_client_that_knows_only_other_cipher_suites_is_refused(site: Site) -> None:
    site.configure(max_version="TLS12", cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"])
    site.trust.set_ciphers("ECDHE+AESGCM")
    with served(access=site.access) as address:
        assert not is_let_in(address, site.trust)


def test_a_client_that_knows_only_another_curve_is_refused(site: Site) -> None:
    site.configure(curve_preferences=["CurveP521"])
    site.trust.set_ecdh_curve("prime256v1")
    with served(access=site.access) as address:
        assert not is_let_in(address, site.trust)
        site.trust.set_ecdh_curve("secp521r1")
        assert is_served(address, site.trust)


def serial_number(client: socket.socket) -> object:
    assert isinstance(client, ssl.SSLSocket)
    certificate = client.getpeercert()
    assert certificate
    return certificate["serialNumber"]


def test_a_new_certificate_is_shown_to_new_connections_and_cuts_no_old_one(site: Site) -> None:
    gate = Gate()
    with (
        served(gate.app, access=site.access) as address,
        connected(address, trust=site.trust) as under_way,
        connected(address, trust=site.trust) as idle,
    ):
        under_way.sendall(GET)
        until(lambda: gate.arrived == 1)
        site.authority.sign("127.0.0.1")
        site.configure()
        with connected(address, trust=site.trust) as new:
            assert serial_number(new) != serial_number(under_way) == serial_number(idle)
        gate.opened.set()
        assert ask(under_way, b"") == ask(idle) == (200, b"hello")


def test_a_handshake_under_way_goes_on_with_the_certificate_that_it_began_with(site: Site) -> None:
    with served(access=site.access) as address, connected(address) as plain:
        assert is_served(address, site.trust), "its connection was accepted after the other"
        old = (site.directory / "server.pem").read_bytes()
        site.authority.sign("127.0.0.1")
        site.configure()
        with site.trust.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            shown = client.getpeercert(binary_form=True)
            assert shown
            assert ssl.DER_cert_to_PEM_cert(shown).encode() in old
            assert ask(client) == (200, b"hello")


def test_clients_whose_authority_is_no_longer_trusted_are_refused_from_then_on(site: Site) -> None:
    site.configure(**CLIENTS)
    trust = site.authority.trust("prometheus.example")
    with served(access=site.access) as address:
        assert is_served(address, trust)
        Authority(site.directory, "new")
        site.configure(**CLIENTS | {"client_ca_file": "new.pem"})
        assert not is_let_in(address, trust)


def test_a_client_that_does_not_read_its_answer_is_cut_off_and_little_is_held_for_it(
    site: Site,
) -> None:
    pages = Pages()
    with (
        served(pages.app, access=site.access, write_timeout=SOON) as address,
        connected(address, 4096, trust=site.trust) as client,
    ):
        client.sendall(GET_ENDLESS)
        assert client.recv(1)
        with time_passes():
            until(lambda: pages.chunks and not pages.under_way)
        assert pages.chunks * len(pages.CHUNK) < len(LARGE)
        assert not rest_of(client).endswith(b"0\r\n\r\n")
        assert is_served(address, site.trust)


@pytest.mark.parametrize("header", [b"", b"connection: close\r\n"])
def test_a_large_answer_arrives_whole(site: Site, header: bytes) -> None:
    with (
        served(Pages().app, access=site.access) as address,
        connected(address, 4096, trust=site.trust) as client,
    ):
        assert ask(client, GET_LARGE[:-2] + header + b"\r\n") == (200, LARGE)


def test_a_stop_does_not_wait_for_clients_that_read_nothing_or_do_not_close_tls(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    pages = Pages()
    with ExitStack() as clients:
        with served(pages.app, access=site.access) as address:
            for request in (GET_ENDLESS, GET_ENDLESS, GET, GET[:-2]):
                client = clients.enter_context(connected(address, 4096, trust=site.trust))
                client.sendall(request)
            until(lambda: pages.under_way == 2)
            closing = clients.enter_context(connected(address, 4096, trust=site.trust))
            closing.sendall(GET[:-2] + b"connection: close\r\n\r\n")
            assert closing.recv(1)
        assert pages.under_way == 0
    assert caplog.messages == []


def test_malformed_http_is_refused_with_the_security_headers(site: Site) -> None:
    with served(access=site.access) as address, connected(address, trust=site.trust) as client:
        client.sendall(b"GET\r\n\r\n")
        head, _, body = rest_of(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body == b"Invalid HTTP request received.\n"
    for name, value in SECURITY.items():
        assert f"{name.lower()}: {value}".encode() in head


def test_many_scrapers_at_once_are_served(site: Site) -> None:
    with served(access=site.access) as address:
        answers: list[bool] = []
        scrapers = [
            threading.Thread(target=lambda: answers.append(is_served(address, site.trust)))
            for _ in range(40)
        ]
        for scraper in scrapers:
            scraper.start()
        for scraper in scrapers:
            scraper.join()
    assert answers == [True] * 40


def test_why_a_client_was_refused_is_logged_at_level_debug(site: Site) -> None:
    site.configure(**CLIENTS, client_allowed_sans=["prometheus.example"])
    with capture_logs() as events, served(access=site.access) as address:
        for trust in (site.trust, site.authority.trust("grafana.example")):
            assert not is_let_in(address, trust)
        with connected(address) as client:
            client.sendall(GET)
            rest_of(client)
        with connected(address):
            pass
        assert is_served(address, site.authority.trust("prometheus.example"))
    problems = [event.pop("problem") for event in events]
    assert events == [
        {"event": "tls_handshake_failed", "log_level": "debug", "client": "127.0.0.1"}
    ] * len(problems)
    assert "peer did not return a certificate" in problems[0]
    assert problems[1] == "the certificate has none of the names in client_allowed_sans"
    assert "http request" in problems[2]


def alert_to(address: Address, trust: ssl.SSLContext) -> str:
    """Return OpenSSL's name of the alert that a client gets."""
    with pytest.raises(ssl.SSLError) as refused, connected(address, trust=trust) as client:
        client.recv(1)
    return str(refused.value.reason)


@pytest.mark.parametrize(
    ("version", "alert"),
    [("TLS12", "SSLV3_ALERT_HANDSHAKE_FAILURE"), ("TLS13", "TLSV13_ALERT_CERTIFICATE_REQUIRED")],
)
def test_a_client_without_a_certificate_gets_an_alert(version: str, alert: str, site: Site) -> None:
    site.configure(**CLIENTS, max_version=version)
    with served(access=site.access) as address:
        assert alert_to(address, site.trust) == alert


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_a_client_with_a_certificate_that_will_not_do_gets_an_alert(
    version: str, site: Site, tmp_path: Path
) -> None:
    site.configure(**CLIENTS, max_version=version)
    unknown = Authority(tmp_path, "other").trust("prometheus.example")
    unknown.load_verify_locations(site.authority.file)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = site.authority.trust("prometheus.example", not_after=yesterday)
    with served(access=site.access) as address:
        assert alert_to(address, unknown) == "TLSV1_ALERT_UNKNOWN_CA"
        assert alert_to(address, expired) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


def test_a_client_that_speaks_an_older_version_only_gets_an_alert(site: Site) -> None:
    site.configure(min_version="TLS13")
    site.trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with served(access=site.access) as address:
        assert alert_to(address, site.trust) == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_a_client_without_a_cipher_suite_in_common_gets_an_alert(site: Site) -> None:
    site.configure(max_version="TLS12", cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"])
    site.trust.set_ciphers("ECDHE+AESGCM")
    with served(access=site.access) as address:
        assert alert_to(address, site.trust) == "SSLV3_ALERT_HANDSHAKE_FAILURE"


@pytest.mark.parametrize("request_", [GET, GET_LARGE, b"POST /-/reload HTTP/1.1\r\n\r\n"])
def test_plain_http_gets_a_bad_request_with_the_headers_of_every_answer(
    request_: bytes, site: Site
) -> None:
    with served(access=site.access) as address, connected(address) as client:
        client.sendall(request_)
        head, _, body = rest_of(client).partition(b"\r\n\r\n")
        assert is_served(address, site.trust)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body == b"Client sent an HTTP request to an HTTPS server.\n"
    for name, value in SECURITY.items():
        assert f"\r\n{name.lower()}: {value}".encode() in head


def test_a_client_whose_certificate_has_no_allowed_name_is_reported_so_and_nothing_else(
    site: Site,
) -> None:
    asked = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope)
        await hello(scope, receive, send)

    site.configure(**CLIENTS, client_allowed_sans=["prometheus.example"])
    with (
        served(app, access=site.access) as address,
        connected(address, trust=site.authority.trust("grafana.example")) as client,
    ):
        client.sendall(GET * 2)
        head, _, body = rest_of(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ")
    assert body == b"Refused: the certificate has none of the names in client_allowed_sans.\n"
    for name, value in SECURITY.items():
        assert f"\r\n{name.lower()}: {value}".encode() in head
    assert asked == []
