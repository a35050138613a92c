"""Aligned tables and, where somebody looks at them, colours: for what the commands print for people."""

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Final, TextIO

GAP: Final = "  "


class Colour(IntEnum):
    """Foreground colours, as the terminal's own palette has them (ECMA-48, 8.3.117)."""

    RED = 31
    GREEN = 32
    YELLOW = 33


_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"
} | {
    # They turn the order of what is read around.
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def without_controls(text: str) -> str:
    """Return `text` with everything spelled out that a terminal obeys: names and messages come from elsewhere."""
    return text.translate(_CONTROLS)


class Paint:
    """Puts text in colour and in bold, or leaves it as it is; and makes text of others fit to be shown."""

    def __init__(self, *, colours: bool, is_terminal: bool = False) -> None:
        self._colours = colours
        self._is_terminal = is_terminal

    def text(self, text: str) -> str:
        """Return a text that others may have written: as it is, but without what a terminal obeys if that shows it."""
        return without_controls(text) if self._is_terminal else text

    def colour(self, text: str, colour: Colour) -> str:
        """Return `text` in `colour`."""
        return self._select(text, colour)

    def bold(self, text: str) -> str:
        """Return `text` in bold."""
        return self._select(text, 1)

    def _select(self, text: str, rendition: int) -> str:
        return f"\x1b[{rendition}m{text}\x1b[0m" if self._colours else text


PLAIN: Final = Paint(colours=False)


def paint_for(stream: TextIO | None, environ: Mapping[str, str]) -> Paint:
    """Return colours for `stream` if it is a terminal that has them, and nobody asks for none (no-color.org).

    stream: None where it was closed before the start.
    """
    wanted = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    is_terminal = stream is not None and stream.isatty()
    return Paint(colours=wanted and is_terminal, is_terminal=is_terminal)


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table whose columns are as wide as their widest cell, painted or not."""
    # Not at the top of the file: only the commands need it, and every start of the daemon would pay.
    from tqdm.utils import disp_len  # noqa: PLC0415

    widths = [max(map(disp_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (
            cell + " " * (width - disp_len(cell)) for cell, width in zip(row, widths, strict=True)
        )
        yield GAP.join(padded).rstrip()
