"""Ways for the simulator to misbehave, for tests and for the demo.

A mood takes a request and returns an answer that replaces the normal one, or None for the normal one. The answer is a
Starlette response or any ASGI app, such as one that breaks off.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain, repeat

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from exporter.simulator import answers
from exporter.simulator.guard import Guard

Mood = Callable[[Request], Awaitable[ASGIApp | None]]


def always(answer: ASGIApp) -> Mood:
    """Answer every request with `answer`."""

    async def mood(_request: Request) -> ASGIApp:
        return answer

    return mood


async def calm(_request: Request) -> None:
    """Answer normally."""


def problem(status: int, name: str, data: dict[str, object] | None = None) -> Mood:
    """Answer with a problem document of the type `tag:kraken.com,2025:<name>`."""
    return always(answers.problem(status, name, data))


def permission_denied() -> Mood:
    """Deny permission, as the API does for what the caller may not see and for what does not exist."""
    return always(answers.permission_denied())


def legacy(*entries: str, status: int = 200) -> Mood:
    """Answer with the envelope of the Spot API, such as `EService:Unavailable`."""
    return always(answers.legacy(*entries, status=status))


def rate_limited(retry_after: float | None) -> Mood:
    """Answer 429 with `Retry-After` in seconds, without that header for None."""
    return always(answers.rate_limited(retry_after))


def html(status: int) -> Mood:
    """Answer with a page, as a proxy in front of the API would."""
    return always(answers.html(status))


def challenge_page(status: int = 403) -> Mood:
    """Answer with a challenge page, as Cloudflare does."""
    return always(answers.challenge_page(status))


def another_program(guard: Guard, ahead: int = 1) -> Mood:
    """Let another program use the key just before each request, with a nonce that is this far ahead.

    For `front`, so that it comes before nonces are checked.
    """

    async def mood(request: Request) -> None:
        if nonce := request.headers.get("api-nonce"):
            guard.use_nonce(request.headers["api-key"], int(nonce) + ahead)

    return mood


def body(content: bytes, content_type: str, status: int = 200) -> Mood:
    """Answer with these bytes, whatever they are."""
    return always(Response(content, status, media_type=content_type))


def slow(seconds: float) -> Mood:
    """Answer normally, but only after `seconds`, or never if the client has disconnected by then."""

    async def mood(request: Request) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # Ends with the client, so that an abandoned request no longer counts as in flight.
                while (await request.receive())["type"] != "http.disconnect":
                    pass

    return mood


def times(count: int, mood: Mood) -> Mood:
    """Apply `mood` to the first `count` requests; answer normally from then on."""
    moods = chain(repeat(mood, count), repeat(calm))

    async def limited(request: Request) -> ASGIApp | None:
        return await next(moods)(request)

    return limited
