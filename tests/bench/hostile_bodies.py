"""Bodies of at most 4 MiB that take a hundred times as much memory, or seconds, to decode naively."""

import json
from collections.abc import Callable
from typing import Final

LIMIT: Final = 4 * 1024 * 1024


def _filled(head: bytes, unit: bytes, tail: bytes) -> bytes:
    """Return as many of `unit` as there is room for."""
    return head + unit * ((LIMIT - len(head) - len(tail)) // len(unit)) + tail


def _row(number: int, **fields: object) -> dict[str, object]:
    amounts = dict.fromkeys(("balance", "spot", "hold", "available"), "1.5")
    return {"asset": f"A{number}", "asset_class": "c", **amounts, **fields}


def _rows(count: int, **fields: object) -> bytes:
    return json.dumps([_row(number, **fields) for number in range(count)]).encode()


_LONG: Final = '"\\\n😀' * 30


def _keys() -> bytes:
    return b",".join(b'"%07d":1' % number for number in range(300_000))


BODIES: Final[dict[str, Callable[[], bytes]]] = {
    "ones": lambda: _filled(b"[", b"1,", b"1]"),
    "empty objects": lambda: _filled(b"[", b"{},", b"{}]"),
    "an unknown member of ones": lambda: _filled(b'{"x":[', b"1,", b"1]}"),
    "a problem with data of ones": lambda: _filled(
        b'{"type":"tag:kraken.com,2025:Unknown","data":[', b"1,", b"1]}"
    ),
    "300,000 keys": lambda: b"{" + _keys() + b"}",
    "70,000 keys": lambda: b"[{" + _keys()[: 70_000 * 12 - 1] + b"}]",
    "one key again and again": lambda: _filled(b"[{", b'"balance":"1",', b'"asset":"A"}]'),
    "nested without end": lambda: _filled(b"", b"[", b""),
    "nested, time and again": lambda: b"[" + b",".join([b"[" * 400 + b"]" * 400] * 220) + b"]",
    "one text": lambda: _filled(b'["', b"x", b'"]'),
    "one text, and a character of four bytes": lambda: _filled('["😀'.encode(), b"x", b'"]'),
    "one text of escapes": lambda: _filled('["😀'.encode(), b"\\n", b'"]'),
    "one number": lambda: _filled(b"[", b"1", b"]"),
    "70,000 numbers of 40 digits": lambda: b"[" + b",".join([b"1." + b"1" * 38] * 70_000) + b"]",
    "70,000 errors": lambda: b'{"error":[' + b'"EGeneral:x",' * 70_000 + b'""]}',
    "70,000 warnings": lambda: b'{"error":[' + b'"WGeneral:x",' * 70_000 + b'""]}',
    "an error of 4 MiB": lambda: _filled(b'{"error":["EGeneral:', b"x\\n", b'"]}'),
    "8,000 rows": lambda: _rows(8_000),
    "8,000 useless rows": lambda: json.dumps([{}] * 8_000).encode(),
    "20,000 rows of long texts": lambda: _filled(
        b"[", json.dumps(_row(0, name="x" * 90)).encode() + b",", b"1]"
    ),
    "100,000 rows": lambda: _filled(b"[", b'{"asset":"A","balance":"1"},', b"1]"),
    "2,700 whole rows": lambda: _rows(
        2_700, **dict.fromkeys(("staked", "pledged", "quote_balance", "quote_price"), "1" * 30)
    ),
    "3,000 rows of unreadable fields": lambda: _rows(
        3_000, **dict.fromkeys(("staked", "pledged", "name", "symbol", "decimals", "min_lot"), True)
    ),
    "1,000 rows of long odd texts": lambda: json.dumps(
        [
            _row(number, asset=f"{number}{'😀' * 40}", name=_LONG, name_full=_LONG, symbol=_LONG)
            for number in range(1_000)
        ],
        ensure_ascii=False,
    ).encode(),
}
"""Made when asked for: together they are 60 MiB."""
