"""Decides whether a request is answered at all, before anything else looks at it."""

import base64
import binascii
import time
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.access.browsers import is_forged, is_own_name
from exporter.web.access.models import WebConfiguration
from exporter.web.access.passwords import Passwords, TooManyChecksError
from exporter.web.access.rate import TokenBucket
from exporter.web.access.tls import TlsServerConfig
from exporter.web.headers import HeaderPairs, security_headers, with_headers

_WRONG_NAME: Final = (
    "Without a password this exporter answers to an address or localhost only. To ask for it by another name, set one "
    "(--web.config.file), or have the proxy between send a Host header of 127.0.0.1.\n"
)
_CHALLENGE: Final = {"www-authenticate": 'Basic realm="kraken-custody-exporter", charset="UTF-8"'}


class Access:
    """Applies the web configuration that `current` returns, which may be another one at each request.

    loopback_name: what the address that is listened on is called, where only this machine can reach it; else None.
    wall: Unix seconds, which certificates of clients are held to.
    """

    def __init__(
        self,
        current: Callable[[], WebConfiguration] = WebConfiguration,
        *,
        loopback_name: str | None = None,
        passwords: Passwords | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._current = current
        self._loopback_name = loopback_name
        self._passwords = passwords or Passwords()
        self._monotonic = monotonic
        self.wall = wall
        self._bucket = TokenBucket.full(current().rate_limit, monotonic())

    @property
    def tls(self) -> TlsServerConfig | None:
        """How a new connection speaks TLS, if at all."""
        return self._current().tls_server_config

    @property
    def headers(self) -> HeaderPairs:
        """What every answer has."""
        return security_headers(self._current().http_server_config.headers)

    def guarding(self, app: ASGIApp) -> ASGIApp:
        """Return `app` with a guard before it (ASGI)."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            headers = self.headers

            async def send_with_headers(message: Message) -> None:
                await send(with_headers(message, headers))

            answer = await self._refusal(scope["method"], Headers(scope=scope)) or app
            await answer(scope, receive, send_with_headers)

        return guarded

    async def _refusal(self, method: str, headers: Headers) -> Response | None:
        current = self._current()
        return (
            self._refusal_of_page(method, headers, current)
            or self._refusal_by_rate(current)
            or await self._refusal_of_user(headers, current)
        )

    def _refusal_of_page(
        self, method: str, headers: Headers, current: WebConfiguration
    ) -> Response | None:
        # With TLS or a password, a name that only pretends to be this machine gets a browser nothing.
        is_open = not current.tls_server_config and not current.basic_auth_users
        host, own = headers.get("host"), self._loopback_name
        if is_open and host and own and not is_own_name(host, own):
            return PlainTextResponse(_WRONG_NAME, 421)
        if is_forged(method, headers):
            return PlainTextResponse("Refused: a page of another origin asks for this.\n", 403)
        return None

    def _refusal_by_rate(self, current: WebConfiguration) -> Response | None:
        if current.rate_limit != self._bucket.limit:
            self._bucket = TokenBucket.full(current.rate_limit, self._monotonic())
        if self._bucket.take(self._monotonic()):
            return None
        return PlainTextResponse("Too many requests, try again later.\n", 429)

    async def _refusal_of_user(
        self, headers: Headers, current: WebConfiguration
    ) -> Response | None:
        users = current.basic_auth_users
        if not users:
            return None
        credentials = _credentials(headers.get("authorization", ""))
        try:
            if credentials and await self._passwords.is_right(users, *credentials):
                return None
        except TooManyChecksError:
            return PlainTextResponse("Too many passwords to check, try again later.\n", 503)
        return PlainTextResponse("Unauthorized\n", 401, _CHALLENGE)


def _credentials(authorization: str) -> tuple[str, bytes] | None:
    """Return user and password of a header for basic authentication (RFC 7617), None where it is another one."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = decoded.partition(b":")
    if scheme.lower() != "basic" or not colon:
        return None
    return user.decode(errors="surrogateescape"), password
