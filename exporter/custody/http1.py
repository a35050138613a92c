"""HTTP/1.1 for one request and its response (RFC 9112): requests are written here, llhttp parses responses.

Nothing after the last byte of a response is given to llhttp, so unrequested bytes show.
"""

import re
from collections.abc import Iterable
from typing import Final

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from exporter.custody.wire import PIECE_BYTES

LONGEST_HEAD_BYTES: Final = 32 * 1024
"""Maximum bytes of a head, of a chunk's length or of trailers: of everything except the body."""
MOST_INTERIM_ANSWERS: Final = 16
"""Maximum 1xx responses before the final one; HTTP does not bound them, and each costs time to parse."""

_NO_TARGET: Final = re.compile(rb"[^!-~]")
_NO_FIELD: Final = re.compile(rb"[^\t -~\x80-\xff]")


def written(method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a request without a body. Raises httpx.LocalProtocolError for characters that would break it."""
    lines = [b"%b: %b" % header for header in headers]
    if _NO_TARGET.search(target) or _NO_FIELD.search(b"".join(lines)):
        # A message or traceback with the header might show a key.
        raise httpx.LocalProtocolError(
            "the request has characters that HTTP does not allow in a target or a header"
        )
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method.encode(), target), *lines, b"", b""])


class Response:
    """The final response to one request, as far as it has arrived.

    status, reason, headers: of the final response once `has_head`, names as received.
    has_chunks: whether its body is in chunks.
    is_whole: whether its last byte was read.
    """

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_head = self.has_chunks = self.is_whole = False
        # What has arrived last, and how much of that is parsed.
        self._arrived, self._parsed = b"", 0
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._body: list[bytes] = []
        self._interim = 0
        # Counted since the last byte of a body, or since the last interim response.
        self._framing = 0
        # Length of the body; None if only chunks or the end of the connection show it.
        self._left: int | None = None
        self._keeps = False
        self._coding = b""

    @property
    def rest(self) -> bytes:
        """What has arrived and is not parsed; once the response is whole, what does not belong to it."""
        return self._arrived[self._parsed :]

    @property
    def has_rest(self) -> bool:
        """Whether there is any."""
        return self._parsed < len(self._arrived)

    @property
    def is_keepable(self) -> bool:
        """Whether HTTP allows another request on its connection."""
        return self.is_whole and self._keeps

    def receive(self, data: bytes) -> None:
        """Take bytes that have arrived; empty at the end of the connection. Raises httpx.RemoteProtocolError."""
        if data:
            self._arrived, self._parsed = self.rest + data, 0
        elif not self.has_head:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        elif self.has_chunks or self._left is not None:
            raise httpx.RemoteProtocolError("the connection was closed within the body")
        else:
            self.is_whole = True

    def read_head(self) -> bool:
        """Parse up to the end of the head; return whether it has arrived. Raises as `receive` does."""
        while self.has_rest and not self.has_head:
            # llhttp accepts no other end; the beginning of one may be parsed already.
            is_begun = self._framing > 0
            self._parse((not is_begun and self._end_of(b"\r\n\r\n")) or self._end_of(b"\n"))
        return self.has_head

    def read_body(self) -> bytes:
        """Parse up to the end of the body; return the new part of the body. Raises as `receive` does.

        Parses at most PIECE_BYTES of chunks, because there may be many tiny ones.
        """
        until = self._parsed + PIECE_BYTES
        while self.has_rest and not self.is_whole:
            if not self.has_chunks:
                self._parse(len(self._arrived) if self._left is None else self._parsed + self._left)
            elif self._parsed < until:
                # Chunks end with a line end, too.
                self._parse(min(self._end_of(b"\n") or until, until))
            else:
                break
        body = b"".join(self._body)
        self._body.clear()
        return body

    def _end_of(self, mark: bytes) -> int:
        """Return where the next `mark` ends, 0 if there is none."""
        at = self._arrived.find(mark, self._parsed)
        return at + len(mark) if at >= 0 else 0

    def _parse(self, end: int) -> None:
        """Parse up to `end`, or all that has arrived if that is 0."""
        piece = self._arrived[self._parsed : end or None]
        self._parsed += len(piece)
        self._framing += len(piece)
        assert self._parser is not None  # noqa: S101 - a whole response is not parsed
        try:
            self._parser.feed_data(piece)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise httpx.RemoteProtocolError(f"malformed HTTP: {error}") from None
        if self._coding not in (b"", b"chunked"):
            # llhttp would take it for a body up to the end of the connection.
            raise httpx.RemoteProtocolError("the response has an unknown transfer coding")
        if self._framing > LONGEST_HEAD_BYTES:
            raise httpx.RemoteProtocolError(f"more than {LONGEST_HEAD_BYTES} bytes of head")
        # llhttp takes these for final responses, which may have a body.
        if self.has_head and self.status < 100:
            raise httpx.RemoteProtocolError(f"malformed HTTP: status {self.status:03}")
        if self._interim > MOST_INTERIM_ANSWERS:
            raise httpx.RemoteProtocolError(
                f"more than {MOST_INTERIM_ANSWERS} interim answers (1xx)"
            )
        if self.is_whole:
            # The two refer to each other.
            self._parser = None

    def on_status(self, reason: bytes) -> None:
        """Take a part of the reason."""
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are ignored."""
        if not self.has_head:
            self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Take the properties of the body from the head, unless the response is an interim one."""
        assert self._parser is not None  # noqa: S101 - it calls
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200:
            self._interim += 1
            self.reason, self.headers = b"", []
            return
        self.has_head = True
        self._keeps = self._parser.should_keep_alive()
        for name, value in self.headers:
            match name.lower():
                case b"content-length":
                    self._left = int(value)
                case b"transfer-encoding":
                    self._coding += value.lower()
        self.has_chunks = self._coding == b"chunked"

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._framing = 0
        self._body.append(piece)
        if self._left is not None:
            self._left -= len(piece)

    def on_message_complete(self) -> None:
        """Take the end of the response, or of an interim one."""
        self._framing = 0
        self.is_whole = self.has_head
