"""Events of the log that are kept in memory: which, how many, and in which order."""

import re
from pathlib import Path

import pytest

import exporter
from exporter.events import EVENTS, MOST_KEPT, SUBJECTS, RecentEvents

START = 1_795_262_400.0


def line(event: str, second: int = 0, level: str = "info", **facts: object) -> dict[str, object]:
    ts = f"2026-11-21T12:{second // 60:02}:{second % 60:02}.250000Z"
    return {"event": event, "ts": ts, "level": level, **facts}


@pytest.fixture
def events() -> RecentEvents:
    return RecentEvents(lambda: START)


def test_events_are_kept_the_latest_first_with_the_fields_of_the_log(
    events: RecentEvents,
) -> None:
    events.keep(line("target_up", kind="vault", org="acme", vault="hot", series=44))
    events.keep(line("polling_paused", 9, "warn", credential="all", seconds=30.5))
    paused, up = events.last()
    assert (paused.name, paused.at, paused.level) == ("polling_paused", START + 9.25, "warn")
    assert paused.facts == {"credential": "all", "seconds": 30.5}
    assert (up.subject, up.title) == ("target", "up")
    assert events.last("polling") == [paused]
    assert events.last("lease") == []
    assert events.since == START


def test_events_of_one_moment_keep_their_order(events: RecentEvents) -> None:
    for name in ("lease_lost", "target_up", "lease_acquired"):
        events.keep(line(name))
    assert [it.name for it in events.last()] == ["lease_acquired", "target_up", "lease_lost"]


def test_very_many_targets_leave_the_pause_that_explains_them(events: RecentEvents) -> None:
    events.keep(line("polling_paused", credential="treasury"))
    for number in range(2 * MOST_KEPT):
        events.keep(line("target_failing", number, vault=f"vault-{number}"))
    assert len(events.last("target")) == MOST_KEPT
    assert events.last("target")[-1].facts == {"vault": f"vault-{MOST_KEPT}"}
    assert events.last()[-1].name == "polling_paused"


@pytest.mark.parametrize(
    ("event", "level"), [("row_rejected", "warn"), ("polling_paused", "debug")]
)
def test_only_events_that_report_a_change_are_kept(
    events: RecentEvents, event: str, level: str
) -> None:
    events.keep(line(event, level=level))
    assert events.last() == []


def test_whatever_a_fact_is_it_can_be_reported_as_json(events: RecentEvents) -> None:
    events.keep(line("reload_failed", problem=ValueError("no"), more=None, targets=3))
    assert events.last()[0].facts == {"problem": "no", "more": None, "targets": 3}


def test_every_event_that_is_kept_is_one_of_the_log() -> None:
    root = Path(exporter.__file__).parent
    code = "".join(file.read_text() for file in root.rglob("*.py") if file.name != "events.py")
    assert set(EVENTS) <= set(re.findall(r'"([a-z_]+)"', code))
    assert {subject for subject, _ in EVENTS.values()} == set(SUBJECTS)
