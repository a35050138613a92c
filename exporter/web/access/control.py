"""Decides whether a request is answered at all, before anything else looks at it."""

import base64
import binascii
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.access.configuration import RequestRateLimit, WebConfiguration
from exporter.web.access.headers import HeaderPairs, security_headers, with_headers
from exporter.web.access.host import OwnNames, host_of, in_origin_form
from exporter.web.access.passwords import CONNECTION, Asker, Passwords, Stranger
from exporter.web.access.tls import TlsServerConfig

_DEFECT: Final = PlainTextResponse("Internal Server Error\n", 500)
_CLOSE: Final = {"connection": "close"}
_CHALLENGE: Final = {"www-authenticate": 'Basic realm="kraken-custody-exporter", charset="UTF-8"'}
_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


class Access:
    """Applies the web configuration that `current` returns, which may change between requests.

    names: host names that it answers to if there is neither TLS nor a password.
    wall: returns Unix seconds, to check whether certificates of clients have expired.
    """

    def __init__(
        self,
        current: Callable[[], WebConfiguration] = WebConfiguration,
        *,
        names: OwnNames = OwnNames(),  # noqa: B008 - frozen
        passwords: Passwords | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._current = current
        self._names = names
        self._passwords = passwords or Passwords()
        self._monotonic = monotonic
        self.wall = wall
        self._bucket = TokenBucket.full(current().rate_limit, monotonic())

    @property
    def tls(self) -> TlsServerConfig | None:
        """The TLS settings for new connections, None without TLS."""
        return self._current().tls_server_config

    @property
    def headers(self) -> HeaderPairs:
        """The headers of every answer."""
        return security_headers(self._current().http_server_config.headers)

    def guarding(self, app: ASGIApp) -> ASGIApp:
        """Return `app` with a guard before it (ASGI)."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            send_with_headers = self._with_headers(send)
            asked = in_origin_form(scope)
            asker = asked.get("state", {}).get(CONNECTION, Stranger())
            headers = Headers(scope=asked)
            try:
                answer = await self._refusal(asked["method"], headers, asker) or app
            except Exception:
                # A defect: uvicorn logs it, and would answer without our headers. The app answers for its own.
                await _DEFECT(asked, receive, send_with_headers)
                raise
            await answer(asked, receive, send_with_headers)

        return guarded

    def refusing(self, problem: str) -> ASGIApp:
        """Return an ASGI app that refuses a client for its certificate after the handshake, too late for an alert."""
        refusal = PlainTextResponse(f"Refused: {problem}.\n", 403, _CLOSE)

        async def refused(scope: Scope, receive: Receive, send: Send) -> None:
            await refusal(scope, receive, self._with_headers(send))

        return refused

    def _with_headers(self, send: Send) -> Send:
        own = self.headers

        async def send_with_headers(message: Message) -> None:
            await send(with_headers(message, own))

        return send_with_headers

    async def _refusal(self, method: str, headers: Headers, asker: Asker) -> Response | None:
        current = self._current()
        return (
            _refusal_of_length(headers)
            or self._refusal_of_host(headers, current)
            or self._refusal_of_page(method, headers)
            or self._refusal_by_rate(current)
            or await self._refusal_of_user(headers, current, asker)
        )

    def _refusal_of_host(self, headers: Headers, current: WebConfiguration) -> Response | None:
        # HTTP/1.0 without Host, or an empty Host: no browser sends either.
        if not (header := headers.get("host")):
            return None
        if (host := host_of(header)) is None:
            return PlainTextResponse("The Host header is malformed.\n", 400, _CLOSE)
        # With TLS or a password, DNS rebinding gains nothing.
        if current.tls_server_config or current.basic_auth_users or host in self._names:
            return None
        problem = (
            f"Without TLS or a password this exporter does not answer to the name {host}, because a page in a browser "
            "could read balances by pointing its own name here. Start the exporter with "
            f"--web.allowed-host={host}, set a password (--web.config.file), or let the reverse proxy send "
            "Host: 127.0.0.1.\n"
        )
        return PlainTextResponse(problem, 421)

    def _refusal_of_page(self, method: str, headers: Headers) -> Response | None:
        if is_forged(method, headers):
            return PlainTextResponse(
                "Refused: this request comes from a page of another origin.\n", 403
            )
        return None

    def _refusal_by_rate(self, current: WebConfiguration) -> Response | None:
        if current.rate_limit != self._bucket.limit:
            self._bucket = TokenBucket.full(current.rate_limit, self._monotonic())
        if self._bucket.take(self._monotonic()):
            return None
        return PlainTextResponse("Too many requests, try again later.\n", 429)

    async def _refusal_of_user(
        self, headers: Headers, current: WebConfiguration, asker: Asker
    ) -> Response | None:
        users = current.basic_auth_users
        if not users:
            return None
        credentials = _credentials(headers.get("authorization", ""))
        if credentials and await self._passwords.is_right(users, *credentials, asker):
            return None
        return PlainTextResponse("Unauthorized\n", 401, _CHALLENGE)


def _refusal_of_length(headers: Headers) -> Response | None:
    # A proxy that believes the other of the two would take for a request what is a body here (RFC 9112, 6.1).
    if "content-length" in headers and "transfer-encoding" in headers:
        return PlainTextResponse(
            "Content-Length and Transfer-Encoding are mutually exclusive.\n", 400, _CLOSE
        )
    return None


def _credentials(authorization: str) -> tuple[str, bytes] | None:
    """Return user and password from a basic authentication header (RFC 7617), None for any other header."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = decoded.partition(b":")
    if scheme.lower() != "basic" or not colon:
        return None
    return user.decode(errors="surrogateescape"), password


def is_forged(method: str, headers: Headers) -> bool:
    """Whether a request that could change something comes from a page of another origin.

    Decided like Go's http.CrossOriginProtection: browsers send the origin of a request, and other clients do not.
    """
    if method in _SAFE_METHODS:
        return False
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return (
        origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
    )


class TokenBucket(Struct):
    """Holds at most `limit.burst` tokens and gets one more every `limit.interval`; each request takes one.

    tokens: their number at `at`, in monotonic seconds.
    """

    limit: RequestRateLimit
    tokens: float
    at: float

    @classmethod
    def full(cls, limit: RequestRateLimit, now: float) -> "TokenBucket":
        """Return a full bucket."""
        return cls(limit, limit.burst, now)

    def take(self, now: float) -> bool:
        """Take a token; return whether there was one."""
        if not self.limit.interval:
            return True
        earned = (now - self.at) / self.limit.interval
        self.tokens, self.at = min(self.limit.burst, self.tokens + earned), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
