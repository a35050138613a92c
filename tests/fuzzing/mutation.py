"""Makes bad input from good: pieces are dropped, doubled, moved, flipped, or replaced by what parsers mishandle."""

from collections.abc import Sequence
from random import Random
from typing import Final

MOST_CHANGES: Final = 6
LONG: Final = 20_000
"""More than any limit on a head."""

ODD: Final = (
    b"",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\t",
    b" ",
    b"%",
    b"%00",
    b"%0d%0a",
    b"../",
    b"\x7f",
    b"\x80",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    "é".encode(),
    "\u202e".encode(),
    "😀".encode(),
    b"-1",
    b"0",
    b"1e999",
    b"9" * 30,
    b"0x10",
    b"nan",
    b"{{7*7}}",
    b"<script>",
    b"'",
    b'"',
    b"\\",
    b":",
    b";",
    b",",
    b"=",
)


def mutated(good: bytes, chance: Random, tokens: Sequence[bytes] = ()) -> bytes:
    """Return `good` with some changes; `tokens` are words of its language, to be inserted in wrong places."""
    bad = bytearray(good)
    for _ in range(chance.randint(1, MOST_CHANGES)):
        _change(bad, chance, (*ODD, *tokens))
    return bytes(bad)


def _change(bad: bytearray, chance: Random, words: Sequence[bytes]) -> None:
    start = chance.randint(0, len(bad))
    end = min(len(bad), start + chance.choice((0, 1, 1, 2, 4, 8, 32)))
    piece = bytes(bad[start:end])
    match chance.randrange(8):
        case 0:
            del bad[start:end]
        case 1:
            bad[start:end] = piece * chance.choice((2, 2, 3, 100))
        case 2:
            elsewhere = chance.randint(0, len(bad))
            bad[elsewhere:elsewhere] = piece
        case 3 if piece:
            bad[start] ^= 1 << chance.randrange(8)
        case 4 if chance.random() < 0.1:
            bad[start:start] = chance.choice(words)[:40] * chance.choice((10, 1000, 5000))
            del bad[start + LONG :]
        case 5:
            bad[start:end] = chance.randbytes(len(piece))
        case _:
            bad[start:end] = chance.choice(words)


def in_pieces(whole: bytes, chance: Random) -> list[bytes]:
    """Cut `whole` as a network may: nowhere, or in some places."""
    if chance.random() < 0.7:
        return [whole]
    cuts = sorted(chance.randint(0, len(whole)) for _ in range(chance.randint(1, 5)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
