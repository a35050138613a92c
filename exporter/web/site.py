"""The routes: metrics, health, readiness and the landing page. None of them touches the network."""

import asyncio
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.metrics.exposition import accepts_gzip, body, negotiate, pieces
from exporter.metrics.store import Store
from exporter.polling.poller import Poller


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages show. registry: the exporter's own metrics."""

    store: Store
    registry: CollectorRegistry
    poller: Poller
    telemetry_path: str

    def app(self) -> Starlette:
        """Return the ASGI application. GET routes answer HEAD as well; anything else is 404 or 405."""
        return Starlette(
            routes=[
                Route("/", self._landing),
                Route(self.telemetry_path, self._metrics),
                Route("/-/healthy", self._healthy),
                Route("/-/ready", self._ready),
            ]
        )

    async def _metrics(self, request: Request) -> Response:
        format_ = negotiate(request.headers.get("accept", ""))
        gzip = accepts_gzip(request.headers.get("accept-encoding", ""))
        headers = {"content-type": format_.value, "vary": "accept, accept-encoding"}
        if gzip:
            headers["content-encoding"] = "gzip"
        parts = pieces(self.store, self.registry, format_)
        # Joining and compressing takes long for many series, and polling must not notice.
        content = await asyncio.to_thread(body, parts, gzip=gzip)
        return Response(content, headers=headers)

    async def _healthy(self, _request: Request) -> Response:
        if trouble := self.poller.trouble():
            return PlainTextResponse(f"Unhealthy: {trouble}.\n", 503)
        return PlainTextResponse("Healthy: polling goes on.\n")

    async def _ready(self, _request: Request) -> Response:
        if not self.poller.has_begun:
            return PlainTextResponse("Not ready: polling has not begun.\n", 503)
        return PlainTextResponse("Ready: polling has begun.\n")

    async def _landing(self, _request: Request) -> Response:
        states = list(self.store.states())
        failing = sum(state.failure is not None for state in states)
        waiting = sum(not state.polls for state in states)
        page = _TEMPLATES.get_template("landing.html").render(
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


_TEMPLATES = Environment(loader=PackageLoader("exporter.web"), autoescape=True)
