"""Rules and runbooks name each other, and only metrics and log events that exist."""

import re
from pathlib import Path
from typing import Final

import pytest

from exporter.custody.errors import (
    FORESEEN,
    RULES,
    Reaction,
)
from exporter.web.error_help import ADVICE, Advice, advice
from tests.deploy.rules import DEPLOY, RECORDED, RULE_FILES, alerts, rules
from tools.docs import all_metrics
from tools.stable import log_events

RUNBOOKS: Final = sorted((DEPLOY.parent / "exporter" / "runbooks").glob("*.md"))
SECTIONS: Final = [
    "Meaning",
    "Impact",
    "How to tell the cause",
    "What to do",
    "When to call Kraken",
]
METRIC: Final = re.compile(r"\bkraken_custody_[a-z0-9_]+")
ALERT: Final = re.compile(r"\bKrakenCustody[A-Z]\w+")


def exposed() -> set[str]:
    """Return the names of all sample series of the catalogue."""
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {
        metric.name + suffix
        for metric in all_metrics()
        for suffix in suffixes.get(metric.type, ("",))
    }


def matching(recorded: str) -> re.Pattern[str]:
    """Return the first pattern that a recording rule looks for in an error's type."""
    (text,) = [rule["expr"] for rule in rules() if rule.get("record") == recorded]
    found = re.search(r'type=~"([^"]+)"', text)
    assert found
    return re.compile(found[1])


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS} == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_bad_it_is_what_it_is_about_and_where_to_read_on(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert re.fullmatch(
        r"\{\{ with query \"kraken_custody:runbooks:info\" }}.*" + name,
        alert["annotations"]["runbook_url"],
    )
    assert (
        "$value" in alert["annotations"]["description"]
        or "| query" in (alert["annotations"]["description"])
    )


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_has_all_sections_and_names_only_what_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.splitlines()[0] == f"# {path.stem}"
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert set(METRIC.findall(text)) <= exposed()
    assert set(ALERT.findall(text)) <= set(alerts())
    assert set(RECORDED.findall(text)) <= {rule.get("record") for rule in rules()}
    # Anything else in backticks that looks like an event is a mistake.
    settings = {"min_available", "max_in_flight", "pending_tasks"}
    others = {"core_error", "quote_asset", "ledger_balance", *settings}
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)) - others
    assert {word for word in words if not word.startswith("kraken")} <= log_events()


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_rules_name_only_metrics_that_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    group_names = set(re.findall(r"name: (kraken_custody_\w+)", text))
    assert set(METRIC.findall(text)) - group_names <= exposed()
    recorded = {rule.get("record") for rule in rules()}
    assert set(RECORDED.findall(text)) <= recorded


def test_every_recording_rule_is_used() -> None:
    for rule in rules():
        if name := rule.get("record"):
            used = [
                other for other in rules() if name in RECORDED.findall(str(other)) and other != rule
            ]
            assert used, name


def test_rules_know_a_refused_rate_by_the_words_that_the_exporter_reacts_to() -> None:
    spelled = {
        "ratelimit": "EAPI:Rate limit exceeded",
        "toomanyrequests": "TooManyRequests",
        "throttled": "EService:Throttled",
    }
    words = [word for rule in RULES if rule.reaction is Reaction.PAUSE_ALL for word in rule.words]
    assert words
    for recorded in ("target_error", "api_errors"):
        pattern = matching(f"kraken_custody:{recorded}:rate_limit")
        for word in words:
            assert pattern.fullmatch(word)
            assert pattern.fullmatch(spelled[word])
        for other in ("PermissionDenied", "http/blocked"):
            assert not pattern.fullmatch(other)


def is_new(type_: str) -> bool:
    """Return whether an error of this type raises NewErrorType."""
    found = re.search(r'type!~"([^"]+)"', alerts()["KrakenCustodyNewErrorType"]["expr"])
    assert found
    return not re.fullmatch(found[1], type_)


def test_an_error_type_that_the_exporter_shows_from_its_start_is_not_new() -> None:
    for _, type_ in FORESEEN:
        assert not is_new(type_), type_


@pytest.mark.parametrize("entry", ADVICE, ids=lambda entry: entry.examples)
def test_an_error_type_that_help_explains_is_not_new(entry: Advice) -> None:
    """Checked by its examples, some of which stand for all types with that prefix, and by its words."""
    examples = [part.replace("…", "03") for part in entry.examples.split(", ")]
    for type_ in {*examples, *(word.strip("^$") for word in entry.words)} - {"anything else", ""}:
        assert not is_new(type_), type_


@pytest.mark.parametrize(
    "type_", ["other", "SomethingNew", "EQuery:Unknown asset", "EAPI:Feature disabled", "http/418"]
)
def test_an_error_type_of_which_help_says_nothing_of_its_own_is_new(type_: str) -> None:
    assert advice(type_) is ADVICE[-1]
    assert is_new(type_)
