"""Finds secrets in text in any form that libraries write: plain, or escaped for Python, JSON, a URL or HTML.

Text may have passed through `repr`, `json.dumps`, `quote` or a template, sometimes twice. Letters and digits stay the
same in all of them; any other character may be written differently each time.
"""

import functools
import html.entities
import re
from collections.abc import Iterable
from typing import Final

HIDDEN: Final = "<secret>"
_ESCAPED: Final = re.compile(r"[^\x00-\x7f]|[\\%&+]")
"""Matches text that may contain escaped characters, or UTF-8 read as Latin-1."""
_CONTROLS: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f", "\v": "v", "\a": "a"}


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with each of `secrets`, longest first, replaced by `<secret>`."""
    may_be_escaped = bool(_ESCAPED.search(text))
    for secret in secrets:
        if _is_plain(secret):
            text = text.replace(secret, HIDDEN)
        elif may_be_escaped or secret in text:
            text = _forms(secret).sub(HIDDEN, text)
    return text


def _is_plain(secret: str) -> bool:
    return secret.isascii() and secret.isalnum()


@functools.lru_cache(maxsize=1024)
def _forms(secret: str) -> re.Pattern[str]:
    # A run of backslashes is one possessive part; otherwise text with many would take exponential time.
    parts = re.findall(r"\\+|[^\\]", secret, re.DOTALL)
    return re.compile("".join(map(_form, parts)))


def _form(part: str) -> str:
    """Return a pattern for all forms of a character, or of a run of backslashes."""
    if _is_plain(part):
        return part
    if part[0] == "\\":
        others = "|".join(_coded(part[0]))
        return rf"(?:\\{{{len(part)},}}+|(?:{others}){{{len(part)}}})"
    # Longer forms first, so that nothing of them remains: `&amp;` contains `&`.
    alternatives = [*_coded(part), rf"\\*+{re.escape(part)}"]
    if part in _CONTROLS:
        alternatives.append(rf"\\*+{_CONTROLS[part]}")
    if part == " ":
        alternatives.append(r"\+")
    return f"(?:{'|'.join(alternatives)})"


def _coded(character: str) -> list[str]:
    """Return patterns for a character written as a number or a name."""
    number, encoded = ord(character), character.encode(errors="surrogatepass")
    numbers = [f"x0*{number:x}", f"u{number:04x}", f"U{number:08x}"]
    if number > 0xFFFF:
        # JSON writes a surrogate pair.
        high, low = divmod(number - 0x10000, 0x400)
        numbers.append(rf"u{0xD800 + high:x}\\*+u{0xDC00 + low:x}")
    if number > 0x7F:
        numbers.append(r"\\*+".join(f"x{byte:02x}" for byte in encoded))
    entities = [f"#0*{number}", f"#x0*{number:x}"]
    entities += [re.escape(name) for name in _names(character)]
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in encoded)
    coded = [
        rf"\\*+(?i:{'|'.join(numbers)})",
        f"(?i:{percent})",
        f"&(?:amp;)*(?i:{'|'.join(entities)});",
    ]
    if number > 0x7F:
        # UTF-8 read as Latin-1.
        coded.append(re.escape(encoded.decode("latin-1")))
    return coded


@functools.lru_cache(maxsize=256)
def _names(character: str) -> set[str]:
    """Return the names that HTML has for a character, as in `&amp;`."""
    # In one case only: two alternatives for the same text would multiply with each further character.
    return {
        name.removesuffix(";").lower()
        for name, named in html.entities.html5.items()
        if named == character and name.endswith(";")
    }
