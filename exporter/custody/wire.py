"""The bytes of one connection: TCP with any number of TLS layers, read as soon as they arrive.

All unread bytes are in one place, `Wire.unread`, rather than in a socket, a TLS library and a parser.
"""

import asyncio
import itertools
import os
import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import httpx

PIECE_BYTES: Final = 8 * 1024
"""Maximum bytes of one read, unless more are asked for: parsing many tiny chunks must not block the event loop."""
MOST_UNREAD_BYTES: Final = 256 * 1024
HEAD_START_SECONDS: Final = 0.25
"""Delay before the next address is tried as well (RFC 8305, section 5)."""
RECORD_HEAD: Final = struct.Struct("!BBBH")
RECORD_KINDS: Final = range(20, 25)
LONGEST_RECORD: Final = 2**14 + 2048
"""RFC 5246, section 6.2.3; RFC 8446 allows less."""


class Wire(asyncio.Protocol):
    """A connection as a stream of bytes.

    unread_arrived: called when bytes arrive, or the connection ends, without a read waiting; None to find out later.
    has_ended: whether nothing more can arrive.
    """

    def __init__(self) -> None:
        self.unread_arrived: Callable[[], None] | None = None
        self.has_ended = False
        self._layers: list[_Tls] = []
        self._received = bytearray()
        self._error: Exception | None = None
        self._change_awaited: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._is_paused = False

    @property
    def _open(self) -> asyncio.Transport:
        assert self._transport is not None  # noqa: S101 - `connect` returns it connected
        return self._transport

    @property
    def unread(self) -> int:
        """The number of unread bytes, including those of an incomplete TLS record."""
        unread = len(self._received)
        for layer in self._layers:
            unread += len(layer.partial)
        return unread

    @property
    def beginning(self) -> bytes:
        """The first unread bytes, as far as they are decrypted."""
        return bytes(self._received[:PIECE_BYTES])

    @property
    def certificate(self) -> Mapping[str, Any]:
        """The peer's certificate as `ssl` decodes it; empty without a verified one."""
        return self._layers[-1].certificate() if self._layers else {}

    @property
    def certificate_der(self) -> bytes:
        """The peer's certificate in DER, verified or not."""
        return self._layers[-1].certificate_der() if self._layers else b""

    async def settle(self) -> None:
        """Read what the operating system has already received for this connection."""
        # Readable may also mean a TLS session ticket or the end, so only reading in the event loop tells.
        while not (self.has_ended or self.unread) and _is_readable(self._open):  # noqa: ASYNC110 - a ticket changes nothing
            await asyncio.sleep(0)

    async def read(self, most: int = PIECE_BYTES) -> bytes:
        """Return the next bytes, at most `most`; b"" at the end. Raises httpx.ReadError."""
        while not self._received:
            if self._error:
                raise httpx.ReadError(str(self._error)) from self._error
            if self.has_ended:
                return b""
            await self._change()
        piece = bytes(self._received[:most])
        del self._received[:most]
        if self._is_paused and len(self._received) < MOST_UNREAD_BYTES:
            self._is_paused = False
            self._open.resume_reading()
        return piece

    def write(self, data: bytes) -> None:
        """Send `data`; a connection that has broken is noticed by the next `read`."""
        (self._layers[-1].write if self._layers else self._open.write)(data)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Start TLS and verify that the peer is `host`. Raises httpx.ConnectError."""
        below = self._layers[-1].write if self._layers else self._open.write
        try:
            layer = _Tls(context, host, below)
        except ValueError as error:
            # A name that cannot be in a certificate.
            raise httpx.ConnectError(str(error)) from None
        self._layers.append(layer)
        self._decrypt(b"")
        while not layer.is_open:
            if self._error:
                raise httpx.ConnectError(str(self._error)) from self._error
            if self.has_ended:
                raise httpx.ConnectError("the connection was closed during the TLS handshake")
            await self._change()

    def abort(self) -> None:
        """Close the connection at once."""
        self.unread_arrived = None
        self._open.abort()

    async def _change(self) -> None:
        self._change_awaited = asyncio.get_running_loop().create_future()
        await self._change_awaited

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep asyncio's transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a stream socket has
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Decrypt and buffer what has arrived."""
        self._decrypt(data)
        if len(self._received) > MOST_UNREAD_BYTES and not self._is_paused:
            self._is_paused = True
            self._open.pause_reading()
        self._notice()

    def _decrypt(self, data: bytes) -> None:
        try:
            for layer in self._layers:
                data = layer.read(data)
                self.has_ended |= layer.has_ended
        except ssl.SSLError as error:
            self._error, self.has_ended = error, True
        else:
            self._received += data

    def eof_received(self) -> None:
        """Record the end, and let asyncio close the connection."""
        self.has_ended = True
        self._notice()

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the end, and what broke the connection."""
        self._error = self._error or exc
        self.has_ended = True
        self._notice()

    def _notice(self) -> None:
        if self._change_awaited and not self._change_awaited.done():
            self._change_awaited.set_result(None)
        # An incomplete TLS record may turn out to be a session ticket.
        if self.unread_arrived and (self._received or self.has_ended):
            self.unread_arrived()


class _Tls:
    """One layer of TLS, which is given complete records only: OpenSSL would buffer part of one out of sight.

    partial: the bytes of an incomplete record.
    is_open: whether the handshake is complete.
    has_ended: whether the peer has closed its side.
    """

    def __init__(self, context: ssl.SSLContext, host: str, send: Callable[[bytes], object]) -> None:
        self.partial = bytearray()
        self.is_open = False
        self.has_ended = False
        self._send = send
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def certificate(self) -> Mapping[str, Any]:
        return self._object.getpeercert() or {}

    def certificate_der(self) -> bytes:
        return self._object.getpeercert(binary_form=True) or b""

    def read(self, encrypted: bytes) -> bytes:
        """Return `encrypted` decrypted, as far as its records are complete. Raises ssl.SSLError."""
        self.partial += encrypted
        whole = _whole_records(self.partial)
        self._incoming.write(self.partial[:whole])
        del self.partial[:whole]
        plain = bytearray()
        try:
            if not self.is_open:
                self._object.do_handshake()
                self.is_open = True
            while piece := self._object.read(PIECE_BYTES):
                plain += piece
            self.has_ended = True
        except ssl.SSLWantReadError:
            pass
        finally:
            # Also after a failure: the alert that says why.
            self._flush()
        return bytes(plain)

    def write(self, plain: bytes) -> None:
        self._object.write(plain)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._send(self._outgoing.read())


def _whole_records(data: bytearray) -> int:
    """Return the length of the complete TLS records at the start of `data`; all of it if it is not TLS."""
    end = 0
    while len(data) >= end + RECORD_HEAD.size:
        kind, major, _, length = RECORD_HEAD.unpack_from(data, end)
        if kind not in RECORD_KINDS or major != 3 or length > LONGEST_RECORD:
            # OpenSSL reports what is wrong at once, rather than at a timeout.
            return len(data)
        if len(data) < end + RECORD_HEAD.size + length:
            break
        end += RECORD_HEAD.size + length
    return end


def _is_readable(transport: asyncio.Transport) -> bool:
    connection: socket.socket = transport.get_extra_info("socket")
    if connection.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


class LocalAddressError(OSError):
    """This machine cannot send from the configured address, which the message names; the system's does not."""


class UnreachableError(httpx.ConnectError):
    """No address of a host accepts a connection; the message names the host, a proxy's too, and says why."""


def _told(error: OSError | UnicodeError, host: str, port: int) -> str:
    if isinstance(error, LocalAddressError):
        return str(error.strerror)
    why = str(getattr(error, "strerror", None) or error)
    # A gaierror has other numbers. asyncio's words repeat the number and the address.
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        why = os.strerror(error.errno)
    # The reason first: a message that is too long is cut at its end.
    return f"{why} ({authority(host, port)})"


def authority(host: str, port: int) -> str:
    """Return a host and port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def connect(host: str, port: int, local_address: str | None = None) -> Wire:
    """Return a TCP connection to the first address of `host` that accepts one. Raises UnreachableError.

    local_address: of this machine, to connect from; only addresses of its family are tried.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_UNSPEC
    if local_address is not None:
        family = socket.AF_INET6 if ":" in local_address else socket.AF_INET
    try:
        addresses = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        connected = await _first_to_connect(_by_turns(addresses), local_address)
    # A name with an empty or too long label raises UnicodeError.
    except (OSError, UnicodeError) as error:
        raise UnreachableError(_told(error, host, port)) from error
    try:
        _, wire = await loop.create_connection(Wire, sock=connected)
    except BaseException:
        connected.close()
        raise
    return wire


def _by_turns(addresses: Iterable[Any]) -> list[Any]:
    """Return `addresses` with alternating families, so that one without a route delays little."""
    families: dict[int, list[Any]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


# asyncio's own (happy_eyeballs_delay) leaks a connected socket if cancelled at that moment, and before 3.12 reports
# only "Multiple exceptions" for several addresses, without error numbers.
async def _first_to_connect(addresses: Iterable[Any], local_address: str | None) -> socket.socket:
    attempts: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        for address in addresses:
            attempts.add(asyncio.create_task(_connect(address, local_address)))
            if connected := await _winner(attempts, errors, HEAD_START_SECONDS):
                return connected
        while attempts:
            if connected := await _winner(attempts, errors, None):
                return connected
    finally:
        for attempt in attempts:
            attempt.cancel()
        for late in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(late, socket.socket):
                late.close()
    raise errors[0]


async def _winner(
    attempts: set[asyncio.Task[socket.socket]], errors: list[OSError], patience: float | None
) -> socket.socket | None:
    """Wait up to `patience` seconds until one of `attempts` ends; move the failed ones to `errors`."""
    done, _ = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    for attempt in done:
        attempts.remove(attempt)
        try:
            return attempt.result()
        except OSError as error:
            errors.append(error)
    return None


async def _connect(
    address: Any,  # noqa: ANN401 - what getaddrinfo returns, which has no type
    local_address: str | None,
) -> socket.socket:
    family, kind, protocol, _, where = address
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.setblocking(False)  # noqa: FBT003 - its only argument
        if local_address is not None:
            _bind(connecting, local_address)
        await asyncio.get_running_loop().sock_connect(connecting, where)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _bind(connecting: socket.socket, local_address: str) -> None:
    try:
        connecting.bind((local_address, 0))
    except OSError as error:
        problem = f"cannot send from {local_address} (api.local_address): {error.strerror}"
        raise LocalAddressError(error.errno, problem) from None
