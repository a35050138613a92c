import asyncio
import gzip
import tracemalloc
import zlib

import httpx
import pytest

from exporter.custody.body import (
    MOST_MEMBERS,
    PIECE_BYTES,
    BodyEncodingError,
    BodyTooLargeError,
    NoRoomError,
    Room,
    read_body,
)
from tests.custody.asking import Body

TEXT = b"balances " * 111
LIMIT = len(TEXT)
MIB = 1024 * 1024


def read(*pieces: bytes, encoding: str | None = None, limit: int = LIMIT) -> bytes:
    headers = {} if encoding is None else {"content-encoding": encoding}
    response = httpx.Response(200, headers=headers, stream=Body(*pieces))
    return read_response(response, limit)


def read_response(response: httpx.Response, limit: int) -> bytes:
    with Room(64 * MIB).place() as take:
        return bytes(asyncio.run(read_body(response, limit, take)))


def split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


PIECES = pytest.mark.parametrize("size", [1, 7, 100_000], ids="pieces of {}".format)
ENCODINGS = pytest.mark.parametrize("encoding", [None, "", "identity", "gzip", " GZip ", "x-gzip"])


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
        read_response(response, 95)
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
        (b"", "gzip: is truncated"),
        (gzip.compress(TEXT)[:-1], "gzip: is truncated"),
        (gzip.compress(TEXT)[:20], "gzip: is truncated"),
        (gzip.compress(TEXT) + b"!", "gzip: has trailing data"),
        (gzip.compress(TEXT) + b"\0\0!", "gzip: has trailing data"),
        (gzip.compress(b"") + gzip.compress(TEXT) + b"<html>", "gzip: has trailing data"),
        (
            gzip.compress(TEXT)[:-4] + gzip.compress(b"")[:-1],
            "gzip: Error -3 while decompressing data: incorrect length check",
        ),
        (gzip.compress(TEXT) + gzip.compress(b"")[:-1], "gzip: is truncated"),
        (
            b"\0" + gzip.compress(TEXT),
            "gzip: Error -3 while decompressing data: incorrect header check",
        ),
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
        "garbage after padding",
        "garbage after two members",
        "a member within a trailer",
        "half a second member",
        "padding before",
        "plain",
        "deflate",
        "a wrong checksum",
    ],
)
def test_a_body_that_is_not_one_whole_gzip_is_refused(body: bytes, problem: str, size: int) -> None:
    with pytest.raises(BodyEncodingError) as caught:
        read(*split(body, size), encoding="gzip")
    assert str(caught.value) == problem


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x-deflate"])
def test_an_encoding_that_was_not_requested_is_refused(encoding: str) -> None:
    with pytest.raises(BodyEncodingError, match=f"content-encoding {encoding} was not requested"):
        read(TEXT, encoding=encoding)


@PIECES
@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(TEXT[:400]) + gzip.compress(TEXT[400:]),
        gzip.compress(b"") + gzip.compress(TEXT) + gzip.compress(b""),
        gzip.compress(TEXT) + bytes(500),
        gzip.compress(TEXT[:1]) + bytes(3) + gzip.compress(TEXT[1:]) + bytes(1),
        b"".join(gzip.compress(TEXT[at : at + 1]) for at in range(len(TEXT))),
    ],
    ids=["two members", "empty members", "padding", "padding between", "a member for each byte"],
)
def test_gzip_may_have_several_members_and_padding(body: bytes, size: int) -> None:
    assert read(*split(body, size), encoding="gzip", limit=MIB) == TEXT


@PIECES
def test_the_limit_holds_for_all_members_together(size: int) -> None:
    body = gzip.compress(TEXT[:400]) + gzip.compress(TEXT[400:] + b"!")
    with pytest.raises(BodyTooLargeError):
        read(*split(body, size), encoding="gzip")


def test_endless_padding_is_left_when_it_is_twice_the_limit() -> None:
    body = Body(gzip.compress(TEXT), *[bytes(100)] * 1000)
    response = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=body)
    with pytest.raises(BodyTooLargeError):
        read_response(response, LIMIT)
    assert body.taken <= 2 + 2 * LIMIT // 100


@PIECES
def test_empty_members_without_end_are_refused(size: int) -> None:
    body = gzip.compress(b"") * (MOST_MEMBERS + 1)
    with pytest.raises(BodyEncodingError, match=f"gzip: has more than {MOST_MEMBERS} members"):
        read(*split(body, size), encoding="gzip", limit=MIB)


def test_all_bodies_share_one_room_and_give_it_back() -> None:
    room = Room(25)
    with room.place() as first, room.place() as second:
        first(10)
        second(15)
        with pytest.raises(NoRoomError):
            first(1)
        assert room.taken == 25
    assert room.taken == 0


def test_all_that_one_body_took_is_given_back() -> None:
    room = Room(25)
    with room.place() as take:
        take(10)
        take(15)
    assert room.taken == 0


def test_a_quarter_of_a_mib_is_unfolded_at_once() -> None:
    assert PIECE_BYTES == 256 * 1024


@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)])
def test_a_compressed_body_may_be_twice_as_long_as_the_limit(
    more: int,
    is_read: bool,  # noqa: FBT001 - a column of the table
) -> None:
    compressed = gzip.compress(TEXT)
    padded = compressed.ljust(2 * LIMIT + more, b"\0")
    if is_read:
        assert read(padded, encoding="gzip") == TEXT
    else:
        with pytest.raises(BodyTooLargeError):
            read(padded, encoding="gzip")


@ENCODINGS
def test_a_body_without_room_is_not_read(encoding: str | None) -> None:
    room = Room(LIMIT - 1)
    headers = {} if encoding is None else {"content-encoding": encoding}
    response = httpx.Response(200, headers=headers, stream=Body(encoded(TEXT, encoding)))
    with pytest.raises(NoRoomError), room.place() as take:
        asyncio.run(read_body(response, LIMIT, take))
    assert room.taken == 0


@pytest.mark.parametrize("length", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, MIB + 7])
def test_others_may_come_between_the_pieces_that_a_chunk_unfolds_to(length: int) -> None:
    body = b"x" * length
    response = httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=Body(gzip.compress(body))
    )

    async def main() -> int:
        with Room(2 * MIB).place() as take:
            reading = asyncio.create_task(read_body(response, 2 * MIB, take))
            turns = 0
            while not reading.done():
                await asyncio.sleep(0)
                turns += 1
            assert await reading == body
            return turns

    assert asyncio.run(main()) >= length // PIECE_BYTES
