"""Escapes control characters for terminals. Separate from the reports, so that the log does not import rich."""

from typing import Final, TextIO

_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"
} | {
    # They change the text direction.
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def without_controls(text: str) -> str:
    """Return `text` with control characters escaped: names and messages come from elsewhere."""
    return text.translate(_CONTROLS)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal. stream: None if it was closed before the start."""
    return stream is not None and stream.isatty()


def fit_for(stream: TextIO | None, text: str) -> str:
    """Return `text` with control characters escaped if `stream` is a terminal."""
    return without_controls(text) if is_terminal(stream) else text
