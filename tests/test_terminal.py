"""Tables and colours for people: aligned whatever is in them, and coloured only where somebody wants that."""

import io

import pytest

from exporter.terminal import PLAIN, Colour, Paint, paint_for, table, without_controls

COLOURS = Paint(colours=True)


class Terminal(io.StringIO):
    """A stream at whose other end somebody looks."""

    def isatty(self) -> bool:
        return True


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("target", "rows"), ("acme / cold storage", "4"), ("acme", "")]
    assert list(table(rows)) == [
        "target               rows",
        "acme / cold storage  4",
        "acme",
    ]


def test_colours_and_wide_characters_take_the_room_they_take_on_a_screen() -> None:
    rows = [("金庫", "up"), (COLOURS.colour("hot", Colour.RED), "failing"), ("vault", "up")]
    assert list(table(rows)) == ["金庫   up", "\x1b[31mhot\x1b[0m    failing", "vault  up"]


def test_paint_is_ended_where_the_text_ends() -> None:
    assert COLOURS.colour("up", Colour.GREEN) == "\x1b[32mup\x1b[0m"
    assert COLOURS.bold("target") == "\x1b[1mtarget\x1b[0m"


def test_without_colours_text_stays_as_it_is() -> None:
    assert PLAIN.colour(PLAIN.bold("up"), Colour.GREEN) == "up"


@pytest.mark.parametrize(
    ("stream", "environ", "painted"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"TERM": "xterm-256color"}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm-256color"}, False),
    ],
    ids=["terminal", "xterm", "empty NO_COLOR", "NO_COLOR", "dumb terminal", "file"],
)
def test_only_a_terminal_is_written_to_in_colours_and_only_if_nobody_forbids_it(
    stream: io.StringIO, environ: dict[str, str], *, painted: bool
) -> None:
    text = paint_for(stream, environ).colour("up", Colour.GREEN)
    assert (text != "up") == painted


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
def test_what_a_terminal_obeys_is_spelled_out(text: str, shown: str) -> None:
    assert without_controls(text) == shown


def test_text_of_others_is_changed_for_a_terminal_only_with_colours_or_without() -> None:
    for environ in ({}, {"NO_COLOR": "1"}):
        assert paint_for(Terminal(), environ).text("\x1b[2J") == r"\x1b[2J"
        assert paint_for(io.StringIO(), environ).text("\x1b[2J") == "\x1b[2J"
        assert paint_for(None, environ).text("\x1b[2J") == "\x1b[2J"
