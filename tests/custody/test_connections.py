"""The HTTP client of the API, and where the way to it leads."""

import asyncio

import httpx
import pytest

from exporter import __version__
from exporter.custody.connections import LOCATION, http_client, way_to
from tests.custody.asking import BASE_URL, NO_TRUST


@pytest.mark.parametrize(
    ("base_url", "port", "is_encrypted"),
    [
        ("https://api.example", 443, True),
        ("https://api.example:8443", 8443, True),
        ("http://api.example", 80, False),
        ("http://api.example:8080", 8080, False),
    ],
)
def test_the_way_leads_to_the_port_of_the_address_or_of_its_scheme(
    base_url: str, port: int, *, is_encrypted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    way = way_to(base_url, NO_TRUST)
    assert (way.host, way.port, way.proxy) == ("api.example", port, None)
    assert way.tls is (NO_TRUST if is_encrypted else None)


def asked(*answers: httpx.Response) -> tuple[list[httpx.Request], list[httpx.Response]]:
    """Ask once for each of `answers`; return what was sent and what came of it."""
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return answers[len(sent) - 1]

    async def use() -> list[httpx.Response]:
        async with http_client(BASE_URL, httpx.MockTransport(handle)) as client:
            return [await client.get("/v0") for _ in answers]

    return sent, asyncio.run(use())


def test_a_request_says_who_asks_and_what_can_be_read() -> None:
    (request,), _ = asked(httpx.Response(200))
    assert str(request.url) == f"{BASE_URL}/v0"
    assert {
        name: request.headers[name] for name in ("accept", "accept-encoding", "user-agent")
    } == {
        "accept": "application/json, application/problem+json",
        "accept-encoding": "gzip",
        "user-agent": f"kraken-custody-exporter/{__version__}",
    }
    assert set(request.extensions["timeout"].values()) == {None}


def test_cookies_are_not_kept() -> None:
    (_, second), _ = asked(
        httpx.Response(200, headers={"set-cookie": "gateway=1; Path=/"}), httpx.Response(200)
    )
    assert "cookie" not in second.headers


@pytest.mark.parametrize("location", ["/elsewhere", "http://[", "https://api.example/v0"])
def test_a_redirect_is_not_followed_and_its_target_is_kept(location: str) -> None:
    sent, (response,) = asked(httpx.Response(302, headers={"location": location}))
    assert len(sent) == 1
    assert response.status_code == 302
    assert "location" not in response.headers
    assert response.extensions[LOCATION] == location


def test_without_a_redirect_there_is_nothing_aside() -> None:
    _, (response,) = asked(httpx.Response(200))
    assert LOCATION not in response.extensions


def test_nothing_of_the_environment_is_for_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read a password for the API's host from a file of curl's."""
    monkeypatch.setenv("https_proxy", "http://nonsense:port")
    (request,), _ = asked(httpx.Response(200))
    assert "authorization" not in request.headers
    assert not http_client(BASE_URL, httpx.MockTransport(lambda _: httpx.Response(200))).trust_env
