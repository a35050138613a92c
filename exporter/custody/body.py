"""Reads response bodies, compressed or not, without ever holding more of them than the limits."""

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import httpx

GZIP: Final = 16 + zlib.MAX_WBITS
MOST_MEMBERS: Final = 1000
"""Maximum members of one gzip body. A server may begin one at each flush; a thousand empty ones take 20 KB."""

PIECE_BYTES: Final = 256 * 1024
"""Maximum bytes decompressed at a time, while other tasks wait."""

_MEMBER_BEGINS: Final = 0x1F
_PADDING: Final = b"\0"


class BodyTooLargeError(Exception):
    """The body is longer than the limit, compressed or after decompression."""


class NoRoomError(Exception):
    """All bodies that are being read exceed their common limit."""


class BodyEncodingError(Exception):
    """The body is not in the encoding that its headers name, or in one that was not requested."""


class Room:
    """The memory shared by the bodies of all requests in flight.

    size: maximum bytes of all bodies together.
    taken: bytes in use.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes room for one body; all of it is released on exit.

        It takes a number of bytes, and raises NoRoomError if fewer are left: bodies that wait for each other's room
        would wait for ever.
        """
        mine = 0

        def take(count: int) -> None:
            nonlocal mine
            if self.taken + count > self.size:
                raise NoRoomError
            self.taken += count
            mine += count

        try:
            yield take
        finally:
            self.taken -= mine


class _Decoder(Protocol):
    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, after all decoded bytes of the previous ones were read."""

    def read(self) -> bytes:
        """Return the next decoded bytes, at most PIECE_BYTES; empty if there are no more."""

    def finish(self) -> None:
        """Raise BodyEncodingError if the end is missing."""


class _Identity:
    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        self._rest = chunk

    def read(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest

    def finish(self) -> None:
        pass


class _Gzip:
    """A series of members (RFC 1952, 2.2), each of which zeros may follow, as gzip(1) accepts them.

    httpx would decompress a whole chunk at once: 64 KiB from a hostile server would become 64 MiB here.
    """

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP)
        self._members = 1
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        self._rest = chunk

    def read(self) -> bytes:
        # zlib may hold back output after taking all input, but only before the end: the checksum is still to come.
        while self._rest:
            if self._member.eof:
                self._rest = self._rest.lstrip(_PADDING)
                if not self._rest:
                    break
                self._begin_member(self._rest[0])
            try:
                decoded = self._member.decompress(self._rest, PIECE_BYTES)
            except zlib.error as error:
                raise BodyEncodingError(f"gzip: {error}") from None
            is_over = self._member.eof
            self._rest = self._member.unused_data if is_over else self._member.unconsumed_tail
            if decoded:
                return decoded
        return b""

    def _begin_member(self, first: int) -> None:
        if first != _MEMBER_BEGINS:
            raise BodyEncodingError("gzip: has trailing data")
        if self._members == MOST_MEMBERS:
            raise BodyEncodingError(f"gzip: has more than {MOST_MEMBERS} members")
        self._member = zlib.decompressobj(GZIP)
        self._members += 1

    def finish(self) -> None:
        if not self._member.eof:
            raise BodyEncodingError("gzip: is truncated")


_DECODERS: Final[dict[str, type[_Decoder]]] = {
    "": _Identity,
    "identity": _Identity,
    "gzip": _Gzip,
    "x-gzip": _Gzip,  # the same (RFC 9110, 8.4.1.3)
}


async def read_body(response: httpx.Response, limit: int, take: Callable[[int], None]) -> bytearray:
    """Return the decoded body of a streamed `response`.

    take: takes room for a number of bytes (see `Room.place`). Raises BodyTooLargeError as soon as the body has more
        than `limit` bytes, or twice as many compressed; also NoRoomError, BodyEncodingError and httpx's errors.
    """
    encoding = response.headers.get("content-encoding", "").strip()
    new_decoder = _DECODERS.get(encoding.lower())
    if new_decoder is None:
        # As received: a secret changed to lower case would not be found and hidden.
        raise BodyEncodingError(f"content-encoding {encoding} was not requested")
    decoder = new_decoder()
    body = bytearray()
    received = 0
    async for chunk in stream_of(response):
        received += len(chunk)
        # Padding and empty members could go on for ever without adding to the body.
        if received > 2 * limit:
            raise BodyTooLargeError
        decoder.feed(chunk)
        while decoded := decoder.read():
            if len(body) + len(decoded) > limit:
                raise BodyTooLargeError
            take(len(decoded))
            body += decoded
            if len(decoded) == PIECE_BYTES:
                # Many bodies may be decompressed at the same time.
                await asyncio.sleep(0)
    decoder.finish()
    return body


def stream_of(response: httpx.Response) -> httpx.AsyncByteStream:
    """Return the stream of an unread response, which does without what `httpx.Response` does around it."""
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - an asynchronous transport made it
    return response.stream
