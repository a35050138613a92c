"""The transport of one credential: one request at a time on a connection, and no response for another request."""

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from functools import partial
from typing import Final

import httpx
from msgspec import Struct

from exporter.custody import wire
from exporter.custody.http1 import Response, written
from exporter.custody.keeping import Trust, idle_seconds
from exporter.custody.wire import Wire

LONG_PIECE_BYTES: Final = 64 * 1024
"""Maximum bytes read at once of a body without chunks: there is nothing to parse between them."""
STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)")

OUT_OF_STEP_SECONDS: Final = 10.0
"""How long responses on a connection may have been matched to the wrong request before a surplus one shows it."""

ON_SEND: Final = "on_send"
"""Extension of a request: called when it is about to be sent to the API."""
REQUEST_TAG: Final = "request_tag"
"""Extension of a request: its tag, which says what it is for."""


class Find(Struct, frozen=True):
    """Unrequested bytes on a connection.

    after: tag of the last request. suspects: tags of the requests whose answers may belong to others. size: number of
    bytes that had arrived. status: of the response that they begin with, None if they begin with something else or are
    still encrypted.
    """

    after: Hashable
    suspects: tuple[Hashable, ...]
    size: int
    status: int | None


class UnsolicitedAnswerError(httpx.RemoteProtocolError):
    """More than one response arrived, so it is unknown which one answers the request."""


class Way(Struct):
    """How to connect to the API.

    tls: None for plain HTTP.
    proxy: tunnels to the API, with the same trusted certificates; None for a direct connection.
    local_address: to connect from, None for the system's choice.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy: httpx.Proxy | None = None
    local_address: str | None = None

    async def connect(self) -> Wire:
        """Return a new connection. Raises httpx.ConnectError and httpx.ProxyError."""
        if self.proxy is None:
            connected = await wire.connect(self.host, self.port, self.local_address)
        else:
            assert self.tls is not None  # noqa: S101 - only this machine is asked in plain, and never through a proxy
            connected = await _tunnel(
                self.proxy, self.tls, self.host, self.port, self.local_address
            )
        try:
            if self.tls:
                await connected.start_tls(self.tls, self.host)
        except BaseException:
            connected.abort()
            raise
        return connected


class _Connection:
    """A connection and its requests.

    made_at: in seconds of the transport's clock, like all times. is_for_one: whether it carries only one request. tag:
    of the last request. response: to the last request. given: tags of delivered answers, and when. kept_until: the end
    of its idle time; a timer alone would stop while the machine sleeps.
    """

    def __init__(self, wire: Wire, made_at: float, *, is_for_one: bool) -> None:
        self.wire = wire
        self.made_at = made_at
        self.is_for_one = is_for_one
        self.tag: Hashable = None
        self.given: list[tuple[float, Hashable]] = []
        self.response: Response
        self.kept_until = 0.0

    async def ask(self, request: httpx.Request) -> Response:
        """Send `request`; return its response, whose head was read. Raises httpx.TransportError."""
        self.tag = request.extensions.get(REQUEST_TAG)
        self.wire.write(written(request.method, request.url.raw_path, request.headers.raw))
        self.response = Response()
        await _head(self.wire, self.response)
        return self.response

    async def piece(self) -> bytes:
        """Return the next bytes of the response's body, b"" at its end. Raises httpx.TransportError."""
        response = self.response
        while True:
            if response.has_chunks and response.has_rest:
                # Others wait for a piece of chunks at the most.
                await asyncio.sleep(0)
            if (piece := response.read_body()) or response.is_whole:
                return piece
            if not response.has_rest:
                response.receive(await self.wire.read(LONG_PIECE_BYTES))

    @property
    def is_ready(self) -> bool:
        """Whether HTTP allows another request on it and it is still connected."""
        return self.response.is_keepable and not self.wire.has_ended

    def unsolicited(self, now: float) -> Find | None:
        """Return unrequested bytes that have arrived, or None."""
        rest = self.response.rest
        size = len(rest) + self.wire.unread
        if not size:
            return None
        status = STATUS_LINE.match(rest + self.wire.beginning)
        since = min(now - OUT_OF_STEP_SECONDS, self.given[-1][0] if self.given else now)
        suspects = tuple(tag for at, tag in self.given if at >= since)
        return Find(self.tag, suspects, size, int(status[1]) if status else None)

    def close(self) -> None:
        self.wire.abort()


class Transport(httpx.AsyncBaseTransport):
    """The connections of one credential.

    connect: opens a new one (`Way.connect`).
    clock: returns seconds that continue while the machine sleeps.
    found: called with each find.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Wire]],
        clock: Callable[[], float],
        found: Callable[[Find], None],
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._found = found
        self._trust = Trust()
        self._idle: list[_Connection] = []
        # What recent answers in doubt were for: the next requests for these use a new connection.
        self._suspects: set[Hashable] = set()
        self._is_closed = False
        # One for all idle connections, as each request would need another.
        self._expiry: asyncio.TimerHandle | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; return its response with an unread body. Raises httpx.TransportError."""
        tag = request.extensions.get(REQUEST_TAG)
        connection = None
        if tag not in self._suspects:
            connection = await self._kept()
        if connection is None:
            connection = await self._new(is_for_one=tag in self._suspects)
        try:
            request.extensions.get(ON_SEND, _nothing)()
            response = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(connection, self._read),
        )

    async def aclose(self) -> None:
        """Close the connections; one with a request in flight is closed when that ends."""
        self._is_closed = True
        self._close_idle()
        # asyncio closes the sockets in the next iteration of the loop.
        await asyncio.sleep(0)

    async def _kept(self) -> _Connection | None:
        """Return an idle connection without unread bytes, or None."""
        while self._idle:
            connection = self._idle.pop()
            try:
                connection.wire.unread_arrived = None
                await connection.wire.settle()
            except BaseException:
                connection.close()
                raise
            now = self._clock()
            find = connection.unsolicited(now)
            if not find and connection.is_ready and now < connection.kept_until:
                return connection
            connection.close()
            if find:
                self._report(find)
        return None

    async def _new(self, *, is_for_one: bool) -> _Connection:
        connected = await self._connect()
        if connected.unread:
            connected.abort()
            raise httpx.RemoteProtocolError("the server answered before a request was sent")
        now = self._clock()
        return _Connection(connected, now, is_for_one=is_for_one or not self._trust.keeps(now))

    async def _read(self, connection: _Connection) -> None:
        """Keep or close a connection whose response was read to its end. Raises UnsolicitedAnswerError."""
        if connection.is_for_one:
            self._suspects.discard(connection.tag)
            connection.close()
            return
        await connection.wire.settle()
        now = self._clock()
        if find := connection.unsolicited(now):
            connection.close()
            self._report(find)
            raise UnsolicitedAnswerError("the server sent more than its answer")
        connection.given.append((now, connection.tag))
        seconds = idle_seconds(connection.made_at, connection.response.status, now)
        is_wanted = seconds and self._trust.keeps(now) and not self._is_closed
        if not (is_wanted and connection.is_ready):
            connection.close()
            return
        connection.kept_until = now + seconds
        connection.wire.unread_arrived = partial(self._leave, connection)
        self._idle.append(connection)
        self._await_expiry(seconds)

    def _await_expiry(self, seconds: float) -> None:
        if self._expiry is None:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(seconds, self._leave_expired)

    def _leave_expired(self) -> None:
        self._expiry, now = None, self._clock()
        for connection in [it for it in self._idle if it.kept_until <= now]:
            self._leave(connection)
        if self._idle:
            self._await_expiry(min(it.kept_until for it in self._idle) - now)

    def _leave(self, connection: _Connection) -> None:
        """Close an idle connection that has expired or ended, or on which something arrives."""
        self._idle.remove(connection)
        connection.close()
        if find := connection.unsolicited(self._clock()):
            self._report(find)

    def _report(self, find: Find) -> None:
        now = self._clock()
        self._trust.found(now)
        if not self._trust.keeps(now):
            self._close_idle()
        self._suspects.update((find.after, *find.suspects))
        self._found(find)

    def _close_idle(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        if self._expiry:
            self._expiry.cancel()
            self._expiry = None


class _Body(httpx.AsyncByteStream):
    """The body of a response. read: called at its end; otherwise the connection is closed."""

    def __init__(
        self, connection: _Connection, read: Callable[[_Connection], Awaitable[None]]
    ) -> None:
        self._connection = connection
        self._read = read
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if piece := await self._connection.piece():
            return piece
        await self._read(self._connection)
        self._is_over = True
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if not self._is_over:
            self._connection.close()


def _nothing() -> None:
    pass


async def _head(connected: Wire, response: Response) -> None:
    """Read the head of `response`. Raises httpx.TransportError."""
    while not response.read_head():
        response.receive(await connected.read(LONG_PIECE_BYTES))


async def _tunnel(
    proxy: httpx.Proxy, tls: ssl.SSLContext, host: str, port: int, local_address: str | None
) -> Wire:
    """Return a connection to `host` through `proxy`. Raises httpx.ConnectError and httpx.ProxyError."""
    is_encrypted = proxy.url.scheme == "https"
    proxy_host = proxy.url.raw_host.decode("ascii")
    proxy_port = proxy.url.port or (443 if is_encrypted else 80)
    connected = await wire.connect(proxy_host, proxy_port, local_address)
    try:
        if is_encrypted:
            await connected.start_tls(tls, proxy_host)
        await _ask_for_tunnel(connected, proxy, wire.authority(host, port))
    except BaseException:
        connected.abort()
        raise
    return connected


async def _ask_for_tunnel(connected: Wire, proxy: httpx.Proxy, target: str) -> None:
    headers = [(b"host", target.encode()), (b"accept", b"*/*")]
    if proxy.raw_auth:
        credentials = base64.b64encode(b":".join(proxy.raw_auth))
        headers.append((b"proxy-authorization", b"Basic " + credentials))
    connected.write(written("CONNECT", target.encode(), headers))
    response = Response()
    await _head(connected, response)
    if response.status >= 300:
        reason = response.reason.decode("ascii", errors="ignore")
        raise httpx.ProxyError(f"{response.status} {reason}")
    if response.rest or connected.unread:
        raise httpx.ProxyError("the proxy sent more than its answer")
