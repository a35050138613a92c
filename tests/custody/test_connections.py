"""The requests to the API, and where they are sent."""

import asyncio

import httpx
import pytest

from exporter import __version__
from exporter.custody.connections import HttpApi, way_to
from tests.custody.asking import BASE_URL, NO_TRUST


def test_nothing_is_sent_in_plain_text_for_lack_of_tls() -> None:
    with pytest.raises(ValueError, match="no TLS for https:"):
        way_to("https://api.kraken.com", None)


@pytest.mark.parametrize(
    ("base_url", "port", "is_encrypted"),
    [
        ("https://api.example", 443, True),
        ("https://api.example:8443", 8443, True),
        ("http://api.example", 80, False),
        ("http://api.example:8080", 8080, False),
    ],
)
def test_requests_go_to_the_port_of_the_address_or_of_its_scheme(
    base_url: str, port: int, *, is_encrypted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    way = way_to(base_url, NO_TRUST)
    assert (way.host, way.port, way.proxy) == ("api.example", port, None)
    assert way.tls is (NO_TRUST if is_encrypted else None)


def asked(*answers: httpx.Response) -> tuple[list[httpx.Request], list[httpx.Response]]:
    """Send one request for each of `answers`; return the requests and the responses."""
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return answers[len(sent) - 1]

    async def use() -> list[httpx.Response]:
        api = HttpApi(BASE_URL, httpx.MockTransport(handle))
        requests = [api.request("/v0?limit=1", {"for": "a test"}) for _ in answers]
        came = [await api.send(request) for request in requests]
        await api.close()
        return came

    return sent, asyncio.run(use())


def test_a_request_has_a_user_agent_and_accepts_json_and_gzip() -> None:
    (request,), _ = asked(httpx.Response(200))
    assert request.method == "GET"
    assert str(request.url) == f"{BASE_URL}/v0?limit=1"
    assert dict(request.headers) == {
        "host": "api.kraken.test",
        "accept": "application/json, application/problem+json",
        "accept-encoding": "gzip",
        "connection": "keep-alive",
        "user-agent": f"kraken-custody-exporter/{__version__}",
    }
    assert request.extensions == {"for": "a test"}


def test_a_request_does_not_have_what_was_added_to_another() -> None:
    api = HttpApi(BASE_URL, httpx.MockTransport(lambda _: httpx.Response(200)))
    api.request("/v0", {}).headers["api-key"] = "a key"
    assert "api-key" not in api.request("/v0", {}).headers


@pytest.mark.parametrize(
    ("base_url", "host", "url"),
    [
        ("https://api.example/", "api.example", "https://api.example/v0"),
        ("https://api.example/custody/", "api.example", "https://api.example/custody/v0"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080/v0"),
        ("http://[::1]:8080", "[::1]:8080", "http://[::1]:8080/v0"),
    ],
)
def test_a_request_goes_to_the_base_url(base_url: str, host: str, url: str) -> None:
    request = HttpApi(base_url, httpx.MockTransport(lambda _: httpx.Response(200))).request(
        "/v0", {}
    )
    assert (request.headers["host"], str(request.url)) == (host, url)


def test_cookies_are_not_kept() -> None:
    (_, second), _ = asked(
        httpx.Response(200, headers={"set-cookie": "gateway=1; Path=/"}), httpx.Response(200)
    )
    assert "cookie" not in second.headers


@pytest.mark.parametrize("location", ["/elsewhere", "http://[", "https://api.example/v0"])
def test_a_redirect_is_not_followed(location: str) -> None:
    sent, (response,) = asked(httpx.Response(302, headers={"location": location}))
    assert len(sent) == 1
    assert (response.status_code, response.headers["location"]) == (302, location)


def test_the_environment_adds_nothing_to_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx's client would read a password for the API's host from netrc."""
    monkeypatch.setenv("https_proxy", "http://nonsense:port")
    (request,), _ = asked(httpx.Response(200))
    assert "authorization" not in request.headers
