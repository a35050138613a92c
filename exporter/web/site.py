"""The routes: metrics, health, readiness and the landing page. None of them touches the network."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from exporter import __version__
from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import accepts_gzip, negotiate
from exporter.metrics.store import Store
from exporter.polling.poller import Poller

if TYPE_CHECKING:
    from jinja2 import Environment


class Site:
    """Answers from what the exporter knows.

    registry: the exporter's own metrics. reload: reloads the configuration and returns what is wrong with it, if
    anything; None where nobody may do that over HTTP.
    """

    def __init__(
        self,
        store: Store,
        registry: CollectorRegistry,
        poller: Poller,
        telemetry_path: str,
        *,
        reload: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        self._reload_configuration = reload
        self.store = store
        self.registry = registry
        self._exposition = Exposition(store, registry)
        self.poller = poller
        self.telemetry_path = telemetry_path

    def app(self) -> Starlette:
        """Return the ASGI application. GET routes answer HEAD as well; anything else is 404 or 405."""
        app = Starlette(
            routes=[
                Route("/", self._landing),
                Route(self.telemetry_path, self._metrics),
                Route("/-/healthy", self._healthy),
                Route("/-/ready", self._ready),
                Route("/-/reload", self._reload, methods=["POST"]),
            ]
        )
        # A redirect would be to whatever host the client named.
        app.router.redirect_slashes = False
        return app

    async def _metrics(self, request: Request) -> Response:
        self.poller.withdraw_stale()
        format_ = negotiate(_header(request, "accept"))
        gzip = accepts_gzip(_header(request, "accept-encoding"))
        headers = {"content-type": format_.value, "vary": "accept, accept-encoding"}
        if gzip:
            headers["content-encoding"] = "gzip"
            compressed = await self._exposition.gzip(format_)
            headers["content-length"] = str(sum(map(len, compressed)))
            return StreamingResponse(_in_turns(compressed), headers=headers)
        return StreamingResponse(_in_turns(self._exposition.plain(format_)), headers=headers)

    async def _healthy(self, _request: Request) -> Response:
        if trouble := self.poller.trouble():
            return PlainTextResponse(f"Unhealthy: {trouble}.\n", 503)
        return PlainTextResponse("Healthy: polling goes on.\n")

    async def _ready(self, _request: Request) -> Response:
        if not self.poller.has_begun:
            return PlainTextResponse("Not ready: polling has not begun.\n", 503)
        return PlainTextResponse("Ready: polling has begun.\n")

    async def _reload(self, _request: Request) -> Response:
        if self._reload_configuration is None:
            return PlainTextResponse(
                "Reloading over HTTP is off: start with --web.enable-lifecycle, or send SIGHUP.\n",
                403,
            )
        if problem := await self._reload_configuration():
            return PlainTextResponse(f"Nothing was changed.\n{problem}\n", 500)
        return PlainTextResponse("Reloaded.\n")

    async def _landing(self, _request: Request) -> Response:
        self.poller.withdraw_stale()
        states = list(self.store.states())
        failing = sum(state.failure is not None for state in states)
        waiting = sum(not state.polls for state in states)
        landing = _templates().get_template("landing.html")
        page = landing.render(
            version=__version__,
            telemetry_path=self.telemetry_path,
            series=self.store.series,
            trouble=self.poller.trouble(),
            targets={
                "up": len(states) - failing - waiting,
                "failing": failing,
                "waiting": waiting,
            },
        )
        return HTMLResponse(page)


async def _in_turns(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield `chunks`, and let the poller have its turn after each: to a quick client sending alone never waits."""
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


def _header(request: Request, name: str) -> str:
    """Return a header that is a list, also where it comes on several lines (RFC 9110, 5.3)."""
    return ",".join(request.headers.getlist(name))


@functools.cache
def _templates() -> "Environment":
    # Not before somebody looks at a page: a start would take a tenth longer, and most daemons never show one.
    from jinja2 import Environment, PackageLoader  # noqa: PLC0415

    return Environment(loader=PackageLoader("exporter.web"), autoescape=True)
