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


class Paint:
    """Puts text in colour and in bold, or leaves it as it is."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def colour(self, text: str, colour: Colour) -> str:
        """Return `text` in `colour`."""
        return self._select(text, colour)

    def bold(self, text: str) -> str:
        """Return `text` in bold."""
        return self._select(text, 1)

    def _select(self, text: str, rendition: int) -> str:
        return f"\x1b[{rendition}m{text}\x1b[0m" if self._colours else text


PLAIN: Final = Paint(colours=False)


def paint_for(stream: TextIO, environ: Mapping[str, str]) -> Paint:
    """Return colours for `stream` if it is a terminal that has them, and nobody asks for none (no-color.org)."""
    wanted = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return Paint(colours=wanted and stream.isatty())


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
