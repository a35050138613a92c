import asyncio
import gzip
import tracemalloc
import zlib

import httpx
import pytest

from exporter.custody.body import BodyEncodingError, BodyTooLargeError, read_body
from tests.custody.asking import Body

TEXT = b"balances " * 111
LIMIT = len(TEXT)
MIB = 1024 * 1024


def read(*pieces: bytes, encoding: str | None = None, limit: int = LIMIT) -> bytes:
    headers = {} if encoding is None else {"content-encoding": encoding}
    response = httpx.Response(200, headers=headers, stream=Body(*pieces))
    return asyncio.run(read_body(response, limit))


def split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


PIECES = pytest.mark.parametrize("size", [1, 7, 100_000], ids="pieces of {}".format)
ENCODINGS = pytest.mark.parametrize("encoding", [None, "", "identity", "gzip", " GZip "])


def encoded(data: bytes, encoding: str | None) -> bytes:
    return gzip.compress(data) if "gzip" in (encoding or "").lower() else data


@PIECES
@ENCODINGS
def test_a_body_of_the_limit_is_read(encoding: str | None, size: int) -> None:
    assert read(*split(encoded(TEXT, encoding), size), encoding=encoding) == TEXT


@PIECES
@ENCODINGS
def test_a_body_of_one_byte_more_is_not(encoding: str | None, size: int) -> None:
    with pytest.raises(BodyTooLargeError):
        read(*split(encoded(TEXT + b"!", encoding), size), encoding=encoding)


@ENCODINGS
def test_an_empty_body_is_read(encoding: str | None) -> None:
    assert read(encoded(b"", encoding), encoding=encoding) == b""


def test_an_endless_body_is_left_as_soon_as_it_is_too_large() -> None:
    body = Body(*[b"x" * 10] * 1000)
    response = httpx.Response(200, stream=body)
    with pytest.raises(BodyTooLargeError):
        asyncio.run(read_body(response, 95))
    assert body.taken == 10


def test_a_bomb_is_never_expanded() -> None:
    bomb = gzip.compress(bytes(64 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            read(bomb, encoding="gzip", limit=MIB)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@PIECES
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "gzip: ends too early"),
        (gzip.compress(TEXT)[:-1], "gzip: ends too early"),
        (gzip.compress(TEXT)[:20], "gzip: ends too early"),
        (gzip.compress(TEXT) + b"!", "gzip: goes on after its end"),
        (gzip.compress(TEXT) * 2, "gzip: goes on after its end"),
        (b"[] but not gzip", "gzip: Error -3 while decompressing data: incorrect header check"),
        (zlib.compress(TEXT), "gzip: Error -3 while decompressing data: incorrect header check"),
        (
            gzip.compress(TEXT)[:-8] + bytes(8),
            "gzip: Error -3 while decompressing data: incorrect data check",
        ),
    ],
    ids=[
        "nothing",
        "no last byte",
        "no second half",
        "a byte more",
        "a second member",
        "plain",
        "deflate",
        "a wrong checksum",
    ],
)
def test_a_body_that_is_not_one_whole_gzip_is_refused(body: bytes, problem: str, size: int) -> None:
    with pytest.raises(BodyEncodingError) as caught:
        read(*split(body, size), encoding="gzip")
    assert str(caught.value) == problem


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x-gzip"])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(BodyEncodingError, match=f"content-encoding {encoding} was not asked for"):
        read(TEXT, encoding=encoding)
