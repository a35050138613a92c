"""Reads the bodies of answers without ever holding more of them than the limits, compressed or not."""

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import httpx

GZIP: Final = 16 + zlib.MAX_WBITS
MOST_MEMBERS: Final = 1000
"""Of one gzip body. An honest server may begin one for each piece it flushes; a thousand empty ones take 20 KB."""

PIECE_BYTES: Final = 256 * 1024
"""What is decompressed at once, while others wait."""

_MEMBER_BEGINS: Final = 0x1F
_PADDING: Final = b"\0"


class BodyTooLargeError(Exception):
    """The body is longer than the limit, compressed or after decompression."""


class NoRoomError(Exception):
    """All bodies that are being read are longer than they may be together."""


class BodyEncodingError(Exception):
    """The body is not in the encoding that its headers name, or in one that was not asked for."""


class Room:
    """The memory that the bodies of all requests under way share.

    size: bytes that they may have together. taken: that they have now.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[Callable[[int], None]]:
        """Lend what takes room for one body; on leaving, all of it is given back.

        It takes a number of bytes, and raises NoRoomError where there are not so many left: waiting for those that
        other bodies have would never end where each of them waits too.
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
        """Take the next bytes of the body; all that was there before has been read."""

    def read(self) -> bytes:
        """Return the next PIECE_BYTES at the most of what they stand for; nothing where that was all."""

    def finish(self) -> None:
        """Raise BodyEncodingError where the end is missing."""


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
    """Members one after the other (RFC 1952, 2.2), with zeros behind each, as gzip(1) takes them.

    httpx would decompress a whole chunk at once, so that 64 KiB from a hostile server become 64 MiB here.
    """

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP)
        self._members = 1
        self._rest = b""
        # zlib may have taken all bytes, and still keep some of what they stand for.
        self._has_more = False

    def feed(self, chunk: bytes) -> None:
        self._rest = chunk

    def read(self) -> bytes:
        while self._rest or self._has_more:
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
            self._has_more = not is_over and len(decoded) == PIECE_BYTES
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

    take: takes room for so many bytes of it (see `Room.place`). Raises BodyTooLargeError as soon as it has more than
    `limit` bytes, or twice as many compressed; NoRoomError, BodyEncodingError, or httpx's own errors.
    """
    encoding = response.headers.get("content-encoding", "").strip()
    new_decoder = _DECODERS.get(encoding.lower())
    if new_decoder is None:
        # As it was written: a secret in lower case would not be found and left out.
        raise BodyEncodingError(f"content-encoding {encoding} was not requested")
    decoder = new_decoder()
    body = bytearray()
    received = 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        # Padding and empty members may go on for ever without a byte for the body.
        if received > 2 * limit:
            raise BodyTooLargeError
        decoder.feed(chunk)
        while decoded := decoder.read():
            if len(body) + len(decoded) > limit:
                raise BodyTooLargeError
            take(len(decoded))
            body += decoded
            if len(decoded) == PIECE_BYTES:
                # Many bodies may unfold at the same time.
                await asyncio.sleep(0)
    decoder.finish()
    return body
