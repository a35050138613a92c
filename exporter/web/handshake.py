"""A connection during its TLS handshake: it counts like any other, and has a deadline too.

asyncio could do the handshake itself, but would not show the connection before its end, and has one context for all.
Here each connection gets the context in force when it arrives, so that a new certificate needs no new server.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from starlette.types import ASGIApp

from exporter.logs import get_logger
from exporter.web.access.headers import bad_request
from exporter.web.access.tls import TlsServerConfig, refuse
from exporter.web.clients import Clients, network_of

_NO_TLS: Final = "Client sent an HTTP request to an HTTPS server."

log = get_logger()


class Handshake(asyncio.Protocol):
    """Becomes a connection that takes requests, or is closed."""

    transport: asyncio.Transport

    def __init__(
        self, clients: Clients, then: Callable[[ASGIApp | None], asyncio.Protocol]
    ) -> None:
        """Begin once there is a connection. then: creates its next protocol, given an app that answers, or None."""
        self._clients = clients
        self._then = then
        self.network = ""
        self.is_queueing = False
        self._early = bytearray()
        # The event loop itself keeps no task alive.
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; asyncio calls this."""
        self.transport = cast("asyncio.Transport", transport)
        self.network = network_of(transport)
        self._clients.comes(self)
        if self.transport.is_closing():
            # There was no room. asyncio would wait for the end of a handshake that can no longer begin.
            self._leave()
        else:
            self._task = asyncio.create_task(self._shake_hands())

    def data_received(self, data: bytes) -> None:
        """Keep what a client sends together with the end of its handshake; asyncio calls this."""
        self._early += data

    def shutdown(self) -> None:
        """Close, because the server stops."""
        self.transport.abort()

    async def _shake_hands(self) -> None:
        # Whether there is TLS does not change after the start.
        access = self._clients.access
        tls = cast("TlsServerConfig", access.tls)
        secured = await self._secured(tls)
        self._leave()
        if secured is None:
            self.transport.abort()
        else:
            problem = tls.problem_with(secured.get_extra_info("peercert"), access.wall())
            if problem:
                self._tell(problem)
            self._hand_over(secured, access.refusing(problem) if problem else None)

    async def _secured(self, tls: TlsServerConfig) -> asyncio.Transport | None:
        """Return the TLS transport; None if the handshake fails, takes too long, or the client leaves."""
        limits = self._clients.limits
        refuse.set(self._refuse)
        try:
            return await asyncio.get_running_loop().start_tls(
                self.transport,
                self,
                tls.context,
                server_side=True,
                ssl_handshake_timeout=limits.read_timeout,
                # It runs while the client reads the rest of its last answer.
                ssl_shutdown_timeout=limits.write_timeout,
            )
        # All mistakes of clients are OSErrors, including those of ssl.
        except OSError as error:
            self._tell(str(error) or type(error).__name__)
            return None

    def _refuse(self, error: ssl.SSLError, alert: bytes) -> None:
        if error.reason == "HTTP_REQUEST":
            # As Go's servers do, so that Prometheus's target page shows more than a closed connection.
            alert = bad_request(_NO_TLS, self._clients.access.headers)
        self.transport.write(alert)

    def _leave(self) -> None:
        self._clients.goes(self)

    def _tell(self, problem: str) -> None:
        # Only at this level: clients could fill the disk with it.
        client, *_ = self.transport.get_extra_info("peername") or ("",)
        log.debug("tls_handshake_failed", client=client, problem=problem)

    def _hand_over(self, secured: asyncio.Transport, app: ASGIApp | None) -> None:
        connection = self._then(app)
        secured.set_protocol(connection)
        connection.connection_made(secured)
        if self._early:
            connection.data_received(bytes(self._early))
