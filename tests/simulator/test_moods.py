import asyncio

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from exporter.simulator import moods
from exporter.simulator.moods import Mood
from tests.simulator.calling import (
    ORGANIZATION,
    VAULT,
    Caller,
    make_simulator,
    organization_path,
    vault_path,
)


def ask(mood: Mood) -> httpx.Response:
    return Caller(make_simulator(moods={VAULT.id: mood})).get(vault_path())


@pytest.mark.parametrize(
    ("status", "name", "data"),
    [
        (500, "gateway/ReadUpstream", {}),
        (500, "Unknown", {"message": "Unhandled.", "core_error": "InternalError"}),
        (503, "gateway/Connect", None),
        (520, "Custom", None),
    ],
)
def test_a_problem_is_a_problem_document(
    status: int, name: str, data: dict[str, object] | None
) -> None:
    answer = ask(moods.problem(status, name, data))
    document = answer.json()
    assert answer.status_code == document["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"tag:kraken.com,2025:{name}"
    assert document["data"] == data
    assert document["title"]


def test_the_legacy_envelope_has_status_200_by_default() -> None:
    answer = ask(moods.legacy("EService:Unavailable", "WGeneral:Danger"))
    assert answer.status_code == 200
    assert answer.json() == {"error": ["EService:Unavailable", "WGeneral:Danger"]}
    assert ask(moods.legacy("EService:Unavailable", status=503)).status_code == 503


def test_a_page_is_html() -> None:
    answer = ask(moods.html(502))
    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")
    assert "502 Bad Gateway" in answer.text


@pytest.mark.parametrize(("seconds", "header"), [(7, "7"), (0.5, "0.5"), (None, None)])
def test_a_rate_limit_says_when_to_retry_if_configured(
    seconds: float | None, header: str | None
) -> None:
    answer = ask(moods.rate_limited(seconds))
    assert answer.status_code == 429
    assert answer.headers.get("retry-after") == header


def test_any_bytes_can_be_the_answer() -> None:
    answer = ask(moods.body(b"\xff{", "application/json"))
    assert (answer.status_code, answer.content) == (200, b"\xff{")
    assert answer.headers["content-type"] == "application/json"


def test_a_slow_answer_is_a_normal_one() -> None:
    assert ask(moods.slow(0.01)).json()[0]["asset"]


def test_a_slow_answer_ends_with_the_client_that_waits_for_it() -> None:
    simulator = make_simulator(default_mood=moods.slow(3600))
    caller = Caller(simulator)
    messages: list[Message] = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(_message: Message) -> None:
        """The client is gone."""

    scope = {
        "type": "http",
        "method": "GET",
        "path": vault_path(),
        "raw_path": vault_path().encode(),
        "query_string": b"",
        "headers": [
            (name.encode(), value.encode()) for name, value in caller.headers(vault_path()).items()
        ],
    }

    async def call() -> None:
        async with asyncio.timeout(5):
            await simulator.app(scope, receive, send)

    asyncio.run(call())


def test_only_the_first_requests_are_in_the_mood() -> None:
    caller = Caller(make_simulator(moods={VAULT.id: moods.times(2, moods.html(500))}))
    assert [caller.get(vault_path()).status_code for _ in range(4)] == [500, 500, 200, 200]


def test_a_specific_mood_overrides_the_default_one() -> None:
    simulator = make_simulator(
        moods={ORGANIZATION.id: moods.calm}, default_mood=moods.problem(503, "gateway/Connect")
    )
    caller = Caller(simulator)
    assert caller.get(organization_path()).status_code == 200
    assert caller.get(vault_path()).status_code == 503


def test_a_mood_can_be_any_asgi_app() -> None:
    async def teapot(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"short and stout"})

    answer = ask(moods.always(teapot))
    assert (answer.status_code, answer.text) == (418, "short and stout")


def test_a_mood_does_not_replace_the_checks() -> None:
    simulator = make_simulator(default_mood=moods.problem(503, "gateway/Connect"))
    assert Caller(simulator).get(vault_path(), {"api-key": "other"}).status_code == 401
