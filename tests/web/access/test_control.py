"""The guard between requests and the app, without a network."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from exporter.secret import Secret
from exporter.web.access.configuration import HttpServerConfig, RequestRateLimit, WebConfiguration
from exporter.web.access.control import Access
from exporter.web.access.headers import SECURITY
from exporter.web.access.host import OwnNames
from exporter.web.access.passwords import Passwords
from tests.web.access.files import HASH, PASSWORD

USERS = WebConfiguration(basic_auth_users={"alice": Secret[str](HASH), "böb": Secret[str](HASH)})
OPEN = WebConfiguration()
PATHS = (
    *("/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/targets", "/static/page.css", "/none"),
    "/runbooks/KrakenCustodyDefect",
)


@dataclass
class Guarded:
    """An app behind access control with variable configuration and clock. asked: how often the app was called."""

    configuration: WebConfiguration = OPEN
    now: float = 0.0
    asked: int = 0
    passwords: Passwords = field(default_factory=Passwords)

    def __post_init__(self) -> None:
        self._access = Access(
            lambda: self.configuration,
            names=OwnNames("custody-7", {"custody.example.org"}),
            passwords=self.passwords,
            monotonic=lambda: self.now,
        )

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        headers = {"x-frame-options": "ALLOWALL", "x-own": "kept"}
        await PlainTextResponse("hello", headers=headers)(scope, receive, send)

    def ask(
        self, path: str = "/", method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self._access.guarding(self._app))
            async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(answer())


def basic(user: str, password: bytes, scheme: str = "Basic") -> dict[str, str]:
    encoded = base64.b64encode(user.encode() + b":" + password).decode()
    return {"authorization": f"{scheme} {encoded}"}


@pytest.mark.parametrize("path", PATHS)
def test_with_users_configured_no_path_is_answered_without_a_password(path: str) -> None:
    """Health and readiness included, as in exporter-toolkit."""
    guarded = Guarded(USERS)
    answer = guarded.ask(path)
    assert (answer.status_code, answer.text) == (401, "Unauthorized\n")
    challenge = 'Basic realm="kraken-custody-exporter", charset="UTF-8"'
    assert answer.headers["www-authenticate"] == challenge
    assert guarded.asked == 0
    assert guarded.ask(path, headers=basic("alice", PASSWORD)).text == "hello"


@pytest.mark.parametrize(
    "headers",
    [
        basic("alice", PASSWORD),
        basic("böb", PASSWORD),
        basic("alice", PASSWORD, scheme="basic"),
        basic("alice", PASSWORD, scheme="BASIC"),
    ],
)
def test_the_right_password_is_accepted(headers: dict[str, str]) -> None:
    assert Guarded(USERS).ask(headers=headers).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        *(
            basic(user, password)["authorization"]
            for user, password in (
                ("alice", b"wrong"),
                ("alice", b""),
                ("alice ", PASSWORD),
                ("Alice", PASSWORD),
                ("carol", PASSWORD),
                ("", b""),
            )
        ),
        basic("alice", PASSWORD, scheme="Bearer")["authorization"],
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YWxpY2U=",  # alice
        "Basic /////w==",
        "Basic " + "A" * 10_000,
        "Basic " + base64.b64encode(b"alice:" + PASSWORD).decode()[:-1],
    ],
)
def test_any_other_user_or_password_is_refused(authorization: str) -> None:
    guarded = Guarded(USERS)
    assert guarded.ask(headers={"authorization": authorization}).status_code == 401
    assert guarded.asked == 0


def test_a_malformed_authorization_header_is_not_checked() -> None:
    def never(_password: bytes, _hashed: bytes) -> bool:
        raise AssertionError

    guarded = Guarded(USERS, passwords=Passwords(never))
    assert guarded.ask(headers={"authorization": "Basic YWxpY2U="}).status_code == 401


def test_users_can_be_added_and_removed() -> None:
    guarded = Guarded(OPEN)
    assert guarded.ask().status_code == 200
    guarded.configuration = USERS
    assert guarded.ask().status_code == 401
    guarded.configuration = OPEN
    assert guarded.ask().status_code == 200


def answers(guarded: Guarded, count: int) -> list[int]:
    return [guarded.ask().status_code for _ in range(count)]


def test_requests_above_the_rate_are_refused_on_every_path() -> None:
    guarded = Guarded(WebConfiguration(rate_limit=RequestRateLimit(interval=1.0, burst=2)))
    assert answers(guarded, 3) == [200, 200, 429]
    assert {guarded.ask(path).status_code for path in PATHS} == {429}
    guarded.now = 1.0
    assert answers(guarded, 2) == [200, 429]
    assert guarded.asked == 3


def test_the_rate_can_change_and_a_change_of_something_else_gives_nothing_away() -> None:
    guarded = Guarded(WebConfiguration(rate_limit=RequestRateLimit(interval=1.0, burst=2)))
    assert answers(guarded, 3) == [200, 200, 429]
    guarded.configuration = WebConfiguration(rate_limit=RequestRateLimit(interval=1.0, burst=2))
    assert answers(guarded, 1) == [429]
    guarded.configuration = WebConfiguration(rate_limit=RequestRateLimit(interval=1.0, burst=3))
    assert answers(guarded, 4) == [200, 200, 200, 429]
    guarded.configuration = OPEN
    assert answers(guarded, 4) == [200] * 4


def test_a_request_too_many_is_refused_before_its_password_is_looked_at() -> None:
    configuration = replace(USERS, rate_limit=RequestRateLimit(interval=1.0, burst=1))
    assert answers(Guarded(configuration), 2) == [401, 429]


EVERY_REFUSAL: list[tuple[int, WebConfiguration, dict[str, Any]]] = [
    (200, OPEN, {}),
    (400, OPEN, {"headers": {"host": "[]"}}),
    (401, USERS, {}),
    (403, OPEN, {"method": "POST", "headers": {"origin": "https://evil.example"}}),
    (421, OPEN, {"headers": {"host": "evil.example"}}),
    (429, WebConfiguration(rate_limit=RequestRateLimit(interval=1.0, burst=1)), {}),
]


@pytest.mark.parametrize(("status", "configuration", "request_"), EVERY_REFUSAL)
def test_every_answer_has_the_security_headers_once(
    status: int, configuration: WebConfiguration, request_: dict[str, Any]
) -> None:
    guarded = Guarded(configuration)
    if status == 429:
        guarded.ask()
    answer = guarded.ask(**request_)
    assert answer.status_code == status
    for name, value in SECURITY.items():
        assert answer.headers.get_list(name) == [value]
    assert "server" not in answer.headers


def test_the_security_headers_are_those_of_the_specification() -> None:
    assert SECURITY == {
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
            "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def test_headers_of_the_configuration_replace_the_exporters_own_or_come_with_them() -> None:
    headers = {
        "X-Frame-Options": "sameorigin",
        "Content-Security-Policy": "",
        "Strict-Transport-Security": "max-age=63072000",
    }
    answer = Guarded(WebConfiguration(http_server_config=HttpServerConfig(headers=headers))).ask()
    assert answer.headers.get_list("x-frame-options") == ["sameorigin"]
    assert answer.headers["content-security-policy"] == SECURITY["Content-Security-Policy"]
    assert answer.headers["strict-transport-security"] == "max-age=63072000"
    assert answer.headers["x-own"] == "kept"


def test_a_page_of_another_origin_changes_nothing() -> None:
    guarded = Guarded()
    evil = {"origin": "https://evil.example"}
    answer = guarded.ask("/-/reload", "POST", evil)
    assert answer.status_code == 403
    assert answer.text == "Refused: this request comes from a page of another origin.\n"
    assert guarded.asked == 0
    own = {"origin": "http://exporter"}
    assert guarded.ask("/-/reload", "POST", own).status_code == 200
    assert guarded.ask("/-/reload", "POST").status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_public_dns_name_is_refused_without_tls_and_passwords(path: str) -> None:
    guarded = Guarded()
    answer = guarded.ask(path, headers={"host": "evil.example:10063"})
    assert answer.status_code == 421
    assert "--web.allowed-host=evil.example," in answer.text
    assert guarded.asked == 0
    for host in ("127.0.0.1:10063", "custody-7.example.com", "Custody.example.org.:80", "", None):
        headers = {} if host is None else {"host": host}
        assert guarded.ask(path, headers=headers).status_code == 200


def test_behind_a_password_any_host_is_accepted() -> None:
    host = {"host": "custody.example"}
    assert Guarded(USERS).ask(headers=host | basic("alice", PASSWORD)).status_code == 200
    assert Guarded(USERS).ask(headers=host).status_code == 401


@pytest.mark.parametrize("configuration", [OPEN, USERS])
def test_a_malformed_host_is_a_bad_request_before_any_login(
    configuration: WebConfiguration,
) -> None:
    guarded = Guarded(configuration)
    answer = guarded.ask(headers={"host": "[]"})
    assert (answer.status_code, answer.text) == (400, "The Host header is malformed.\n")
    assert guarded.asked == 0
