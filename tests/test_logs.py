"""The log: one line for each event, readable by machines; libraries log only warnings."""

import json
import logging
import os
import pty
import sys

import pytest

from exporter.events import RECENT
from exporter.logs import Level, LogFormat, configure, get_logger, hide_with
from tests.logfmt import read_line


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n") or not err
    return err.splitlines()


VALUES = [
    "plain",
    "",
    "two words",
    'say "hi"',
    "a=b",
    "C:\\path with\\backslash",
    "two lines\nof text",
    "Zürich 東京 🪙",
]


@pytest.mark.parametrize("value", VALUES)
def test_logfmt_reads_back_as_what_was_logged(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "logfmt")
    get_logger().info("something_happened", vault=value, seconds=1.5, count=0)
    (line,) = lines(capsys)
    event = read_line(line)
    assert list(event)[:3] == ["ts", "level", "event"]
    del event["ts"]
    assert event == {
        "level": "info",
        "event": "something_happened",
        "vault": value,
        "seconds": "1.5",
        "count": "0",
    }


@pytest.mark.parametrize("value", [*VALUES, 1.5, 0, True, None])
def test_json_reads_back_as_what_was_logged(
    value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "json")
    get_logger().info("something_happened", vault=value)
    (line,) = lines(capsys)
    event = json.loads(line)
    assert event.pop("ts")
    assert event == {"level": "info", "event": "something_happened", "vault": value}


def fail() -> None:
    raise LookupError('no "such" thing\nat all')


def test_the_time_is_in_utc_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    get_logger().info("something_happened")
    assert json.loads(lines(capsys)[0])["ts"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_what_is_less_severe_than_the_level_is_not_shown(
    level: Level, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level, "json")
    log = get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("something_happened")
    assert [json.loads(line)["level"] for line in lines(capsys)] == shown


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error"])
def test_changes_are_kept_in_memory_whatever_the_log_shows(
    level: Level, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level, "json")
    get_logger().info("lease_acquired", lease=f"of-{level}")
    shown = lines(capsys)
    assert bool(shown) == (level in {"debug", "info"})
    event = RECENT.last("lease")[0]
    assert (event.name, event.facts) == ("lease_acquired", {"lease": f"of-{level}"})


@pytest.mark.parametrize("format_", ["logfmt", "json"])
def test_an_exception_stays_on_one_line(
    format_: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", format_)
    try:
        fail()
    except LookupError:
        get_logger().exception("poller_crashed")
        logging.getLogger("a.library").exception("It %s", "broke")
    ours, theirs = (
        read_line(line) if format_ == "logfmt" else json.loads(line) for line in lines(capsys)
    )
    assert (ours["event"], theirs["event"]) == ("poller_crashed", "It broke")
    for event in (ours, theirs):
        assert event["level"] == "error"
        assert event["exception"].endswith('LookupError: no "such" thing\nat all')


@pytest.mark.parametrize("name", ["httpx", "httpcore", "asyncio", "uvicorn.error"])
def test_libraries_show_their_warnings_but_nothing_below_whatever_the_level(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """At their lower levels httpx and httpcore show requests with their headers, and so the key."""
    configure("debug", "json")
    library = logging.getLogger(name)
    library.debug("send_request_headers")
    library.info("HTTP Request")
    library.warning("something odd")
    assert [json.loads(line)["event"] for line in lines(capsys)] == ["something odd"]


def test_a_librarys_message_is_shown_without_the_secrets_that_it_repeats(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """asyncio logs the `repr` of an exception that was never retrieved."""
    configure("info", "json")
    hide_with(lambda text: text.replace("MARKER", "<secret>"))
    logging.getLogger("asyncio").error("future: <Task exception=%r>", ValueError("MARKER"))
    hide_with(str)
    (line,) = lines(capsys)
    assert json.loads(line)["event"] == "future: <Task exception=ValueError('<secret>')>"


def test_a_traceback_is_shown_without_the_secrets_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info", "json")
    hide_with(lambda text: text.replace("such", "<secret>"))
    try:
        fail()
    except LookupError:
        get_logger().exception("poller_crashed")
        logging.getLogger("a.library").exception("It broke")
    hide_with(str)
    for line in lines(capsys):
        assert 'LookupError: no "<secret>" thing' in json.loads(line)["exception"]
        assert "such" not in line


@pytest.mark.parametrize("has_reader", [True, False])
def test_an_event_without_a_reader_is_lost_and_nothing_fails(
    has_reader: bool,  # noqa: FBT001 - a column of the table
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr if has_reader else None)
        os.close(reader)
        configure("info", "json")
        get_logger().info("something_happened")
        get_logger().info("something_happened")


def test_logged_text_does_not_control_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, screen = pty.openpty()
    with os.fdopen(keyboard, "rb") as shown, os.fdopen(screen, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        configure("info", "logfmt")
        get_logger().info("something_happened", text="\x1b[2Jx")
        line = shown.read1(4096).decode()
    assert "\x1b" not in line
    assert line.endswith("\r\n")
    assert "event=something_happened" in line


def test_a_logger_that_was_made_before_follows_the_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = get_logger()
    configure("error", "json")
    log.info("something_happened")
    configure("info", "logfmt")
    log.info("something_happened")
    assert [read_line(line)["event"] for line in lines(capsys)] == ["something_happened"]


def test_what_a_reader_does_not_take_is_left_out_in_whole_lines_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as log, os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        configure("info", "json")
        for _ in range(2):
            # Lines longer than a pipe accepts at once, and more than it holds.
            for number in range(100):
                get_logger().info("something_happened", number=number, text="x" * 10_000)
            taken = log.read1(2**20)
            get_logger().info("read_again")
            taken += log.read1(2**20)
            *first, gap, last = [json.loads(line) for line in taken.splitlines()]
            assert [event["number"] for event in first] == list(range(len(first)))
            assert first
            assert (gap["event"], gap["lines"]) == ("log_lines_dropped", 100 - len(first))
            assert last["event"] == "read_again"
