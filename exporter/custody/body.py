"""Reads the body of an answer without ever holding more of it than the limit, compressed or not."""

import zlib
from typing import Final, Protocol

import httpx

GZIP: Final = 16 + zlib.MAX_WBITS


class BodyTooLargeError(Exception):
    """The body is longer than the limit, after decompression."""


class BodyEncodingError(Exception):
    """The body is not in the encoding that its headers name, or in one that was not asked for."""


class _Decoder(Protocol):
    def decode(self, chunk: bytes, room: int) -> bytes:
        """Return what `chunk` adds to the body; of that, no more than `room` bytes need be right."""

    def finish(self) -> None:
        """Raise BodyEncodingError where the end is missing."""


class _Identity:
    def decode(self, chunk: bytes, room: int) -> bytes:
        del room
        return chunk

    def finish(self) -> None:
        pass


class _Gzip:
    """httpx would decompress a whole chunk at once, so that 64 KiB from a hostile server become 64 MiB here."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP)

    def decode(self, chunk: bytes, room: int) -> bytes:
        try:
            decoded = self._member.decompress(chunk, room)
        except zlib.error as error:
            raise BodyEncodingError(f"gzip: {error}") from None
        # zlib would collect whatever follows the end, however long it goes on.
        if self._member.unused_data:
            raise BodyEncodingError("gzip: goes on after its end")
        return decoded

    def finish(self) -> None:
        if not self._member.eof:
            raise BodyEncodingError("gzip: ends too early")


_DECODERS: Final[dict[str, type[_Decoder]]] = {"": _Identity, "identity": _Identity, "gzip": _Gzip}


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """Return the decoded body of a streamed `response`.

    Raises BodyTooLargeError as soon as it has more than `limit` bytes, BodyEncodingError, or httpx's own errors.
    """
    encoding = response.headers.get("content-encoding", "").strip()
    new_decoder = _DECODERS.get(encoding.lower())
    if new_decoder is None:
        # As it was written: a secret in lower case would not be found and left out.
        raise BodyEncodingError(f"content-encoding {encoding} was not asked for")
    decoder = new_decoder()
    body = bytearray()
    async for chunk in response.aiter_raw():
        # One byte more than fits is enough to know, and 0 would mean no limit to zlib.
        body += decoder.decode(chunk, limit - len(body) + 1)
        if len(body) > limit:
            raise BodyTooLargeError
    decoder.finish()
    return bytes(body)
