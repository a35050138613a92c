"""What a terminal obeys, spelled out. Apart from the reports, so that the log does without what draws tables."""

from typing import Final, TextIO

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


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at what is written to `stream`; None if it was closed before the start."""
    return stream is not None and stream.isatty()


def fit_for(stream: TextIO | None, text: str) -> str:
    """Return `text`, which others may have written, without what a terminal obeys if it is one that shows it."""
    return without_controls(text) if is_terminal(stream) else text
