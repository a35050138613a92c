"""One request as bytes, and its response from bytes: up to its end, and not a byte further."""

from typing import NamedTuple

import httpx
import pytest

from exporter.custody.http1 import LONGEST_HEAD_BYTES, MOST_INTERIM_ANSWERS, Response, written

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
AFTER = b"HTTP/1.1 408 Request Timeout\r\n\r\n"


class Read(NamedTuple):
    """What became of a response. rest: what does not belong to it."""

    status: int
    body: bytes
    is_whole: bool
    is_keepable: bool
    rest: bytes


def read(arrived: bytes, size: int = 10**6, *, is_end: bool = False) -> Read:
    """Read what arrives in pieces of this size, then perhaps the connection's end, until the response is whole."""
    response, body, pieces = Response(), b"", b""
    parts = [arrived[start : start + size] for start in range(0, len(arrived), size)]
    for number, part in enumerate([*parts, *[b""] * is_end]):
        response.receive(part)
        while response.read_head():
            body += response.read_body()
            if response.is_whole or not response.has_rest:
                break
        if response.is_whole:
            pieces = b"".join(parts[number + 1 :])
            break
    return Read(
        response.status, body, response.is_whole, response.is_keepable, response.rest + pieces
    )


SIZES = pytest.mark.parametrize("size", [1, 3, 10**6], ids="pieces of {}".format)


@SIZES
@pytest.mark.parametrize("after", [b"", b"\r\n", b"x", AFTER])
@pytest.mark.parametrize(
    ("arrived", "status", "body", "is_keepable"),
    [
        (OK + b"content-length: 4\r\n\r\n[\r\n]", 200, b"[\r\n]", True),
        (OK + b"content-length: 0\r\n\r\n", 200, b"", True),
        (OK + b"content-length: 2\r\nconnection: close\r\n\r\n[]", 200, b"[]", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n[]", 200, b"[]", False),
        (
            b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n[]",
            200,
            b"[]",
            True,
        ),
        (CHUNKED + b"2\r\n[\n\r\n1\r\n]\r\n0\r\n\r\n", 200, b"[\n]", True),
        (CHUNKED + b"2;a=b\r\n[]\r\n0\r\nx-check: 1\r\n\r\n", 200, b"[]", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b"", True),
        (b"HTTP/1.1 103 Early Hints\r\na: b\r\n\r\n" + CHUNKED + b"0\r\n\r\n", 200, b"", True),
    ],
)
def test_a_response_is_read_up_to_its_last_byte(  # noqa: PLR0917 - columns of a table
    arrived: bytes,
    status: int,
    body: bytes,
    is_keepable: bool,  # noqa: FBT001 - likewise
    after: bytes,
    size: int,
) -> None:
    assert read(arrived + after, size) == (status, body, True, is_keepable, after)


@SIZES
def test_a_body_without_a_length_ends_with_the_connection(size: int) -> None:
    arrived = OK + b"\r\n[]\r\n\r\n"
    assert read(arrived, size) == (200, b"[]\r\n\r\n", False, False, b"")
    assert read(arrived, size, is_end=True) == (200, b"[]\r\n\r\n", True, False, b"")


@SIZES
def test_headers_are_those_of_the_final_response_as_received(size: int) -> None:
    head = b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK.replace(b"OK", b"All right")
    arrived = (
        head + b"Date:  now \r\nx-e:\r\nDATE: later\t\r\nx-b: \xe9\r\ncontent-length: 0\r\n\r\n"
    )
    response = Response()
    for start in range(0, len(arrived), size):
        response.receive(arrived[start : start + size])
        response.read_head()
    assert (response.reason, response.headers) == (
        b"All right",
        [
            (b"Date", b"now"),
            (b"x-e", b""),
            (b"DATE", b"later"),
            (b"x-b", b"\xe9"),
            (b"content-length", b"0"),
        ],
    )


@SIZES
@pytest.mark.parametrize(
    "arrived",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/3.7 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n",
        # Its body would be the beginning of the next one's.
        b"HTTP/1.1 099 OK\r\ncontent-length: 2\r\n\r\n[]" + OK + b"content-length: 0\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"na me: x\r\n\r\n",
        OK + b"x: a\x00b\r\n\r\n",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: 1, 2\r\n\r\n",
        OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        OK + b"content-length: 99999999999999999999999\r\n\r\n",
        CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\n") + b"[]",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
        OK + b"transfer-encoding: identity\r\n\r\n[]",
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        CHUNKED + b"none\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"2\r\n[]!\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: tls\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(arrived: bytes, size: int) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        read(arrived, size)


@SIZES
@pytest.mark.parametrize(
    "arrived",
    [
        b"",
        b"HTTP/1.1 200",
        OK + b"content-length: 2\r\n\r\n[",
        CHUNKED + b"2\r\n[]\r\n",
        CHUNKED + b"2\r\n[]\r\n0\r\n",
    ],
)
def test_a_response_that_is_cut_off_is_refused(arrived: bytes, size: int) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        read(arrived, size, is_end=True)


@pytest.mark.parametrize(
    "begin",
    [OK + b"x: ", CHUNKED + b"2;", CHUNKED + b"2\r\n[]\r\n0\r\nx: ", b"HTTP/1.1 103 E\r\nx: "],
    ids=["a header", "an extension of a chunk", "a trailer", "an interim header"],
)
def test_only_a_body_may_be_endless(begin: bytes) -> None:
    longest = LONGEST_HEAD_BYTES - len(begin)
    read(begin + b"x" * longest, 1000)
    with pytest.raises(httpx.RemoteProtocolError, match="32768 bytes"):
        read(begin + b"x" * (longest + len(begin) + 1), 1000)


@pytest.mark.no_cover
@SIZES
def test_a_body_may_be_long_and_in_many_chunks(size: int) -> None:
    body = b"x" * (2 * LONGEST_HEAD_BYTES)
    assert read(OK + b"content-length: %d\r\n\r\n%b" % (len(body), body), size).body == body
    assert read(CHUNKED + b"1\r\nx\r\n" * len(body) + b"0\r\n\r\n", max(size, 1000)).body == body


@pytest.mark.parametrize("count", [MOST_INTERIM_ANSWERS, MOST_INTERIM_ANSWERS + 1])
def test_interim_responses_are_counted(count: int) -> None:
    arrived = b"HTTP/1.1 103 Early Hints\r\n\r\n" * count + OK + b"content-length: 0\r\n\r\n"
    if count <= MOST_INTERIM_ANSWERS:
        assert read(arrived).is_whole
    else:
        with pytest.raises(httpx.RemoteProtocolError, match="interim"):
            read(arrived)


def test_a_request_is_written_as_it_is() -> None:
    headers = [(b"Host", b"api.example"), (b"x-utf-8", "é\t".encode())]
    assert written("GET", b"/v0?limit=1", headers) == (
        b"GET /v0?limit=1 HTTP/1.1\r\nHost: api.example\r\nx-utf-8: \xc3\xa9\t\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("target", "value"),
    [
        *((b"/" + it, b"x") for it in (b" ", b"\r\n", b"\x7f", b"\xe9")),
        *((b"/", it) for it in (b"\r\nx: y", b"\n", b"\0", b"\x7f", b"MARKED\x1b")),
    ],
)
def test_what_would_break_a_request_is_refused_and_not_shown(target: bytes, value: bytes) -> None:
    with pytest.raises(httpx.LocalProtocolError) as caught:
        written("GET", target, [(b"api-key", value)])
    assert "MARKED" not in repr(caught.value)
