"""The routes: metrics, pages, JSON, health and readiness. None of them touches the network."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from exporter.events import RECENT, SUBJECTS, RecentEvents, Subject
from exporter.metrics.exposition import Exposition, compressed
from exporter.metrics.negotiation import accepts_gzip, negotiate
from exporter.resources import RESOURCES
from exporter.status.model import Status
from exporter.threads import Worker
from exporter.web.balances import MistakenQueryError, Wanted, balances_csv, balances_json
from exporter.web.events_json import events_json
from exporter.web.formatting import rfc3339
from exporter.web.package_files import package_files
from exporter.web.pages import EVENTS, Pages
from exporter.web.row import name_in_path
from exporter.web.runbooks import FOLDER, runbooks
from exporter.web.targets_json import targets_json
from exporter.web.view import View, page_of

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
CSV: Final = "text/csv; charset=utf-8; header=present"
STATIC_FILES: Final = {
    "/static/icon.svg": "image/svg+xml",
    "/static/pages.css": "text/css; charset=utf-8",
    "/static/refresh.js": "text/javascript; charset=utf-8",
    "/static/target.js": "text/javascript; charset=utf-8",
    "/static/balances.schema.json": "application/schema+json",
    "/static/events.schema.json": "application/schema+json",
    "/static/targets.schema.json": "application/schema+json",
}


Made = str | bytes | Iterator[bytes] | None
"""The body of a response, in pieces if it may be long; None for 404."""


class PollRequest(Protocol):
    """The outcome of a request for polls."""

    @property
    def is_in_vain(self) -> bool:
        """Whether nothing that was requested may be polled now."""

    def lines(self) -> Iterable[str]:
        """Yield the outcome, for people."""


class Exporter(Protocol):
    """What the site shows and triggers."""

    @property
    def is_ready(self) -> bool:
        """Whether polling has begun, or this process is a standby that waits."""

    @property
    def is_active(self) -> bool:
        """Whether this process polls, and is not a standby."""

    def trouble(self) -> str | None:
        """Return why polling makes no progress, None while it does."""

    def exposition(self) -> Exposition:
        """Return the current exposition."""

    def look(self) -> Callable[[], Status]:
        """Take a snapshot; return a function that builds the status from it, in any thread."""

    async def poll_now(self, ids: Collection[str]) -> PollRequest | None:
        """Poll these targets as soon as possible, or all that need it if `ids` is empty; None for an unknown id."""


class Site:
    """The HTTP endpoints of an exporter.

    reload: reloads the configuration and returns its mistakes, if any; None if reloading over HTTP is disabled.
    events: recent events.
    """

    def __init__(
        self,
        exporter: Exporter,
        telemetry_path: str,
        *,
        reload: Callable[[], Awaitable[str | None]] | None = None,
        events: RecentEvents = RECENT,
    ) -> None:
        self._exporter = exporter
        self._telemetry_path = telemetry_path
        self._reload_configuration = reload
        self._events = events
        self._pages = Pages(telemetry_path)
        self._static_files = package_files("exporter.web", "static")
        # Pages with thousands of targets take a while to render. One thread, however many clients there are.
        self._maker = Worker("pages")

    def app(self) -> Starlette:
        """Return the ASGI application. GET routes answer HEAD as well; anything else is 404 or 405."""
        app = Starlette(
            routes=[
                Route("/", self._status),
                *(
                    Route(f"{resource.folder}{{id:path}}", functools.partial(self._target, kind))
                    for kind, resource in RESOURCES.items()
                ),
                Route("/help", self._help),
                Route(FOLDER.rstrip("/"), self._runbooks),
                Route(FOLDER, self._runbooks),
                Route(f"{FOLDER}{{name}}", self._runbook),
                Route(EVENTS, self._events_page),
                Route("/api/v1/events", self._events_json),
                Route("/api/v1/targets", self._targets),
                Route("/api/v1/balances", self._balances),
                *(Route(path, self._static) for path in STATIC_FILES),
                Route(self._telemetry_path, self._metrics),
                Route("/-/healthy", self._healthy),
                Route("/-/ready", self._ready),
                Route("/-/reload", self._reload, methods=["POST"]),
                Route("/-/poll", self._poll, methods=["POST"]),
            ]
        )
        # A redirect would lead to the host that the client sent.
        app.router.redirect_slashes = False
        return app

    async def _metrics(self, request: Request) -> Response:
        exposition = self._exporter.exposition()
        format_ = negotiate(_header(request, "accept"))
        gzip = accepts_gzip(_header(request, "accept-encoding"))
        headers = {"content-type": format_.value, "vary": "accept, accept-encoding"}
        if gzip:
            headers["content-encoding"] = "gzip"
            pieces = await exposition.gzip(format_)
            headers["content-length"] = str(sum(map(len, pieces)))
            return _WholeResponse(_in_turns(pieces), headers=headers)
        return _WholeResponse(_in_turns(exposition.plain(format_)), headers=headers)

    async def _status(self, request: Request) -> Response:
        look, view = self._exporter.look(), View.of(request.query_params)
        return await self._made(request, HTML, lambda: self._pages.status(look(), view))

    async def _target(self, kind: str, request: Request) -> Response:
        look, sought = self._exporter.look(), (kind, request.path_params["id"])
        page = page_of(request.query_params)

        def make() -> str | None:
            status = look()
            for target in status.targets:
                of = target.known.target
                if (of.kind, name_in_path(of)) == sought:
                    return self._pages.target(status, target, page)
            return None

        missing = functools.partial(self._pages.not_found, request.scope["path"])
        return await self._made(request, HTML, make, missing)

    async def _help(self, request: Request) -> Response:
        return await self._made(request, HTML, self._pages.help)

    async def _runbooks(self, request: Request) -> Response:
        return await self._made(request, HTML, self._pages.runbooks)

    async def _runbook(self, request: Request) -> Response:
        # The name is looked up among the known runbooks, never in the file system.
        found = runbooks().get(request.path_params["name"])
        missing = functools.partial(self._pages.no_runbook, request.scope["path"])
        return await self._made(
            request, HTML, lambda: found and self._pages.runbook(found), missing
        )

    async def _targets(self, request: Request) -> Response:
        look, view = self._exporter.look(), View.of(request.query_params)
        return await self._made(request, JSON, lambda: targets_json(look(), view))

    async def _events_page(self, request: Request) -> Response:
        subject = _subject(request)
        return await self._made(request, HTML, lambda: self._pages.events(self._events, subject))

    async def _events_json(self, request: Request) -> Response:
        subject = _subject(request)
        return await self._made(request, JSON, lambda: events_json(self._events, subject))

    async def _balances(self, request: Request) -> Response:
        try:
            wanted = Wanted.of(request.query_params, _header(request, "accept"))
        except MistakenQueryError as error:
            mistake = {"status": "error", "errorType": "bad_data", "error": str(error)}
            return JSONResponse(mistake, 400)
        look = self._exporter.look()
        if wanted.format == "json":
            return self._streamed(request, lambda: balances_json(look(), wanted), JSON)
        name = f"balances-{rfc3339(time.time())[:19].replace(':', '')}Z.csv"
        response = self._streamed(request, lambda: balances_csv(look(), wanted), CSV)
        response.headers["content-disposition"] = f'attachment; filename="{name}"'
        return response

    async def _static(self, request: Request) -> Response:
        path = request.scope["path"]
        content = self._static_files[path.removeprefix("/static/")]
        return await self._made(request, STATIC_FILES[path], lambda: content)

    async def _healthy(self, _request: Request) -> Response:
        if trouble := self._exporter.trouble():
            return PlainTextResponse(f"Unhealthy: {trouble}.\n", 503)
        return PlainTextResponse(f"Healthy: {self._activity('polling is in progress')}.\n")

    async def _ready(self, _request: Request) -> Response:
        if not self._exporter.is_ready:
            return PlainTextResponse("Not ready: polling has not begun.\n", 503)
        return PlainTextResponse(f"Ready: {self._activity('polling has begun')}.\n")

    def _activity(self, polling: str) -> str:
        return polling if self._exporter.is_active else "standby, waiting for the lease"

    async def _reload(self, _request: Request) -> Response:
        if self._reload_configuration is None:
            return PlainTextResponse(
                "Reload over HTTP is disabled: start with --web.enable-lifecycle, or send SIGHUP.\n",
                403,
            )
        if problem := await self._reload_configuration():
            return PlainTextResponse(f"Not reloaded, nothing changed.\n{problem}\n", 500)
        return PlainTextResponse("Reloaded.\n")

    async def _poll(self, request: Request) -> Response:
        """Poll one target, or all that are failing or paused, as soon as possible."""
        if self._reload_configuration is None:
            text = "Polling on demand is disabled: start with --web.enable-lifecycle.\n"
            return PlainTextResponse(text, 403)
        ids = request.query_params.getlist("target")
        requested = await self._exporter.poll_now(ids)
        if requested is None:
            text = "No target has this id; /api/v1/targets lists all.\n"
            return PlainTextResponse(text, 404)
        text = "".join(f"{line}\n" for line in requested.lines())
        # Too Many Requests: nothing that was requested may be polled now.
        return PlainTextResponse(text, 429 if requested.is_in_vain else 200)

    def _streamed(
        self, request: Request, make: Callable[[], Iterator[bytes]], content_type: str
    ) -> Response:
        """Stream the pieces that `make` yields, each only when the client has read those before it.

        They are made outside the event loop. All balances of 20,000 vaults are too much to hold in memory at once.
        """
        is_gzip = accepts_gzip(_header(request, "accept-encoding"))
        headers = {"content-type": content_type, "vary": "accept, accept-encoding"}
        if is_gzip:
            headers["content-encoding"] = "gzip"

        def pieces() -> Iterator[bytes]:
            yield from compressed(make()) if is_gzip else make()

        return StreamingResponse(self._made_on(pieces()), headers=headers)

    async def _made_on(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while (piece := await loop.run_in_executor(self._maker, next, pieces, None)) is not None:
            yield piece

    async def _made(
        self,
        request: Request,
        content_type: str,
        make: Callable[[], Made],
        missing: Callable[[], str] = str,
    ) -> Response:
        """Respond with the result of `make`, called outside the event loop, compressed if the client accepts it.

        missing: makes the body of a 404 if `make` returns None.
        """
        is_gzip = accepts_gzip(_header(request, "accept-encoding"))
        loop = asyncio.get_running_loop()
        content, status_code = await loop.run_in_executor(
            self._maker, _content, make, missing, is_gzip
        )
        headers = {"content-type": content_type, "vary": "accept-encoding"}
        if is_gzip:
            headers["content-encoding"] = "gzip"
        headers["content-length"] = str(sum(map(len, content)))
        return _WholeResponse(_in_turns(content), status_code, headers)


class _WholeResponse(StreamingResponse):
    """Sends an existing body in pieces, without a task that waits for the client to disconnect.

    Such a task needs anyio's backend, which takes 1.4 MiB and 20 ms of the time from a start to the first scrape.
    """

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await self.stream_response(send)


def _content(
    make: Callable[[], Made],
    missing: Callable[[], str],
    is_gzip: bool,  # noqa: FBT001 - an executor passes no names
) -> tuple[list[bytes], int]:
    made, status_code = make(), 200
    if made is None:
        made, status_code = missing(), 404
    if isinstance(made, str):
        made = made.encode()
    pieces = [made] if isinstance(made, bytes) else made
    return list(compressed(pieces) if is_gzip else pieces), status_code


async def _in_turns(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield `chunks`, and let the poller run after each: with a fast client, sending alone never yields."""
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


def _subject(request: Request) -> Subject | None:
    """Return the requested subject of events; an unknown one is ignored."""
    requested = request.query_params.get("subject")
    return next((subject for subject in SUBJECTS if subject == requested), None)


def _header(request: Request, name: str) -> str:
    """Return a list-valued header, also if it comes on several lines (RFC 9110, 5.3)."""
    return ",".join(request.headers.getlist(name))
