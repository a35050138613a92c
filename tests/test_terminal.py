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
        # All of Unicode's Bidi_Control, and what stands beside them.
        ("\u061b\u061c\u061d", "\u061b\\u061c\u061d"),
        ("\u200d\u200e\u200f\u2010", "\u200d\\u200e\\u200f\u2010"),
        (
            "\u2029\u202a\u202b\u202c\u202d\u202e\u202f",
            "\u2029\\u202a\\u202b\\u202c\\u202d\\u202e\u202f",
        ),
        (
            "\u2065\u2066\u2067\u2068\u2069\u206a",
            "\u2065\\u2066\\u2067\\u2068\\u2069\u206a",
        ),
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
