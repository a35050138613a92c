"""Reads logfmt as strictly as the parsers of log collectors do (go-logfmt)."""

import json
import re

PAIR = re.compile(
    r'(?P<key>[^\s="]+)=(?:"(?P<quoted>(?:[^"\\\x00-\x1f]|\\.)*)"|(?P<plain>[^\s="]*))(?: |$)'
)


def read_line(line: str) -> dict[str, str]:
    """Return the pairs of a line; fail if it has anything but pairs, or a key twice."""
    pairs: dict[str, str] = {}
    at = 0
    while at < len(line):
        pair = PAIR.match(line, at)
        assert pair, f"no logfmt from column {at} on: {line!r}"
        assert pair["key"] not in pairs
        quoted = pair["quoted"]
        pairs[pair["key"]] = pair["plain"] if quoted is None else json.loads(f'"{quoted}"')
        at = pair.end()
    return pairs
