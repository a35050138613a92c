"""Recent events, as a page and as JSON."""

import json
from importlib.resources import files
from typing import Any

import pytest

from exporter.events import MOST_KEPT, RecentEvents
from exporter.web.event_rows import event_row_of
from exporter.web.events_json import events_json
from exporter.web.pages import Pages
from tests.json_schemas import validator
from tests.web.statuses import EVIL, NOW
from tests.web.test_pages import rows_of, text_of

PAGES = Pages("/metrics")
SCHEMA = json.loads(files("exporter.web").joinpath("static/events.schema.json").read_bytes())


def happened(*lines: dict[str, Any]) -> RecentEvents:
    events = RecentEvents(lambda: NOW)
    for number, line in enumerate(lines):
        events.keep({"level": "info", "ts": f"2026-11-21T12:00:{number % 60:02}.5Z", **line})
    return events


FAILED = {
    "event": "target_failing",
    "level": "warn",
    "kind": "vault",
    "org": "acme",
    "vault": "hot & cold",
    "credential": "treasury",
    "type": "http/502",
    "status": 502,
    "message": "Bad Gateway",
}
BACK = {
    "event": "target_recovered",
    "kind": "organization",
    "org": "acme",
    "failed_polls": 12,
    "failing_seconds": 1500,
}
PAUSED = {
    "event": "polling_paused",
    "level": "warn",
    "credential": "all",
    "seconds": 30.0,
    "type": "EAPI:Rate limit exceeded",
    "message": "EAPI:Rate limit exceeded",
}
TAKEN = {"event": "lease_acquired", "lease": "treasury", "holder": "host-b-2"}


def test_each_event_has_a_row_with_its_time_and_what_it_is_of() -> None:
    page = PAGES.events(happened(FAILED, BACK, PAUSED, TAKEN), None)
    assert rows_of(page, "<tr><td><time.*?</tr>") == [
        "2026-11-21 12:00:03 | acquired | lease treasury | holder host-b-2",
        "2026-11-21 12:00:02 | paused | everything | EAPI:Rate limit exceeded for 30s",
        "2026-11-21 12:00:01 | up again | acme / (total) | failed polls 12; failing 25m",
        "2026-11-21 12:00:00 | failing | acme / hot & cold | http/502 Bad Gateway status 502",
    ]
    assert '<time datetime="2026-11-21T12:00:03Z">' in page
    assert 'href="/?org=acme&amp;q=hot+%26+cold"' in page
    assert "since 2026-11-21 12:00:00 UTC" in text_of(page)


def test_events_of_one_kind_can_be_looked_at_alone() -> None:
    page = PAGES.events(happened(FAILED, TAKEN), "lease")
    assert len(rows_of(page, "<tr><td><time.*?</tr>")) == 1
    assert '<a href="/events?subject=lease" aria-current="true">lease</a>' in page


def test_without_events_the_page_says_so() -> None:
    assert "No events yet." in text_of(PAGES.events(happened(), None))


def test_of_very_many_the_page_has_the_latest_and_says_how_many_more_there_are() -> None:
    page = PAGES.events(happened(*[TAKEN] * 3, *[FAILED] * (MOST_KEPT + 50)), None)
    assert len(rows_of(page, "<tr><td><time.*?</tr>")) == MOST_KEPT
    assert "3 earlier events are in the JSON" in text_of(page)


def test_hostile_names_are_text() -> None:
    page = PAGES.events(happened({**FAILED, "vault": EVIL, "message": EVIL}), None)
    assert EVIL not in page
    assert EVIL in text_of(page)


@pytest.mark.parametrize(
    ("line", "of"),
    [
        ({"event": "polling_resumed", "credential": "treasury"}, "credential treasury"),
        ({"event": "reloaded", "targets": 3}, ""),
    ],
)
def test_what_is_of_no_target_leads_nowhere(line: dict[str, Any], of: str) -> None:
    (event,) = happened(line).last()
    row = event_row_of(event)
    assert (row.subject, row.path) == (of, "")


@pytest.mark.parametrize(
    ("target", "name", "path"),
    [
        ({"kind": "vault", "org": "acme", "vault": "hot"}, "acme / hot", "/?org=acme&q=hot"),
        (
            {"kind": "whitelist", "org": "acme", "vault": "hot"},
            "acme / hot (whitelist)",
            "/?org=acme&q=hot",
        ),
        ({"kind": "pending_tasks", "org": "acme"}, "acme / (pending tasks)", "/?org=acme"),
        ({"kind": "vaults", "org": "acme"}, "acme / (vaults)", "/?org=acme"),
        (
            {"kind": "organizations", "credential": "treasury"},
            "treasury / (organizations)",
            "/?org=treasury",
        ),
    ],
)
def test_a_target_is_named_and_found_as_on_the_status_page(
    target: dict[str, Any], name: str, path: str
) -> None:
    (event,) = happened({"event": "target_up", **target}).last()
    row = event_row_of(event)
    assert (row.subject, row.path) == (name, path)


def test_what_is_of_an_organization_has_its_name_alone() -> None:
    (event,) = happened({"event": "organization_discovered", "org": "acme", "id": "A"}).last()
    assert event_row_of(event).subject == "acme"


def test_the_json_has_the_fields_of_the_log_as_they_are() -> None:
    document = json.loads(events_json(happened(FAILED, BACK), None))
    validator(SCHEMA).validate(document)
    assert document["data"]["since"] == "2026-11-21T12:00:00.000Z"
    assert document["data"]["events"][0] == {
        "time": "2026-11-21T12:00:01.500Z",
        "level": "info",
        "subject": "target",
        "event": "target_recovered",
        "facts": {
            "kind": "organization",
            "org": "acme",
            "failed_polls": 12,
            "failing_seconds": 1500,
        },
    }
    assert json.loads(events_json(happened(FAILED), "lease"))["data"]["events"] == []
