"""The server's answers to bad requests, without and with a password, and the site that it serves."""

import base64
import contextlib
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Final

import bcrypt
import httpx
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from exporter.assembly import World
from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import Format
from exporter.secret import Secret
from exporter.web.access.configuration import WebConfiguration
from exporter.web.access.control import Access
from exporter.web.site import Site
from tests.custody.asking import trust_nobody
from tests.exporting import exporter_of, simulator
from tests.fuzzing.mutation import in_pieces
from tests.fuzzing.requests import PASSWORD, USER, accept, authorization, headers, request_line
from tests.fuzzing.surface import DefectError, Feed, Surface
from tests.fuzzing.wire import Wire, outcome

SCRIPT: Final = b"<script>"
FORMATS: Final = {format_.value.encode() for format_ in Format}


@contextlib.asynccontextmanager
async def _open_to_all() -> AsyncIterator[Feed]:
    async with _wire(Access()) as wire:
        chance = Random(0)

        async def feed(request: bytes) -> str:
            answers = await wire.say(in_pieces(request, chance))
            if SCRIPT in answers:
                raise DefectError("a script of the client's stands in a page")
            return outcome(answers)

        yield feed


@contextlib.asynccontextmanager
async def _scraped() -> AsyncIterator[Feed]:
    async with _wire(Access()) as wire:

        async def feed(request: bytes) -> str:
            answers = await wire.say([request])
            statuses = outcome(answers)
            if statuses == "200":
                type_ = answers.partition(b"content-type: ")[2].partition(b"\r\n")[0]
                if type_ not in FORMATS:
                    raise DefectError(f"content-type {type_!r}")
                statuses += f" {type_.decode().partition('; charset')[0]}"
            return statuses

        yield feed


@contextlib.asynccontextmanager
async def _with_password() -> AsyncIterator[Feed]:
    """The lowest bcrypt cost: the cost of checks is not tested here."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    configuration = WebConfiguration(basic_auth_users={USER: Secret[str](hashed)})
    async with _wire(Access(lambda: configuration)) as wire:

        async def feed(request: bytes) -> str:
            answers = await wire.say([request])
            statuses = outcome(answers)
            given = _given(request)
            if statuses not in ("400", "401") and given != f"{USER}:{PASSWORD}".encode():
                raise DefectError(f"answered {statuses} to {given!r}")
            if b"MARKER" in answers:
                raise DefectError("the password is in the answer")
            return statuses

        yield feed


def _given(request: bytes) -> bytes:
    """Return the credentials as the most lenient parser would."""
    value = request.partition(b"Authorization: ")[2].partition(b"\r\n")[0]
    with contextlib.suppress(ValueError):
        return base64.b64decode(value.strip().partition(b" ")[2])
    return b""


@contextlib.asynccontextmanager
async def _wire(access: Access) -> AsyncIterator[Wire]:
    """Yield a server without sockets."""
    async with Wire((await site()).app(), access).listening() as wire:
        yield wire


async def site() -> Site:
    """Return the site of an exporter that has polled everything once; a reload does nothing.

    Its clocks are stopped, so that it stays healthy however long the test runs.
    """
    stopped_at: list[float] = []
    transport = httpx.ASGITransport(simulator().app)

    def clock() -> float:
        return stopped_at[0] if stopped_at else time.monotonic()

    world = World(monotonic=clock, boottime=clock, transport=transport, trust=trust_nobody)
    exporter = exporter_of("http://127.0.0.1:1", world)
    with capture_logs():
        await exporter.poller.run_once(lambda _polled, _targets: None)
    stopped_at.append(time.monotonic())

    async def reload() -> None:
        pass

    # The exporter's own metrics are not tested here, and would take most of the time.
    exporter._exposition = Exposition(exporter.store, CollectorRegistry())
    return Site(exporter, "/metrics", reload=reload)


REQUEST_LINE: Final = Surface("request line", request_line, _open_to_all)
REQUEST_HEADERS: Final = Surface("headers", headers, _open_to_all)
ACCEPT: Final = Surface("Accept", accept, _scraped)
AUTHORIZATION: Final = Surface("Authorization", authorization, _with_password)
