"""Control characters are escaped for a terminal, and for nothing else."""

import io

import pytest

from exporter.terminal import fit_for, without_controls


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J", r"\x9b2J"),
        ("a\rb\x07\x08\x7f", r"a\x0db\x07\x08\x7f"),
        ("\u202egro.live", r"\u202egro.live"),
        ("\u2066", r"\u2066"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("金庫 é 🏦", "金庫 é 🏦"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert without_controls(text) == shown


def test_text_of_others_is_changed_for_a_terminal_only() -> None:
    assert fit_for(Terminal(), "\x1b[2J") == r"\x1b[2J"
    assert fit_for(io.StringIO(), "\x1b[2J") == "\x1b[2J"
    assert fit_for(None, "\x1b[2J") == "\x1b[2J"
