"""Alerts reach the right receivers, with useful texts."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from exporter.durations import read_duration as duration
from tests.deploy.rules import DEPLOY, alerts
from tests.programs import program

ALERTMANAGER: Final = DEPLOY / "alertmanager"
CONFIGURATION: Final = ALERTMANAGER / "alertmanager.yml"
LABELS: Final = {
    "alertname": "KrakenCustodyUnexpectedOutflow",
    "severity": "critical",
    "org": "acme",
}


def amtool(*arguments: str) -> str:
    """Run amtool, which must succeed, and return its output."""
    result = subprocess.run(
        [program("amtool", package="prometheus-alertmanager"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def configuration() -> dict[str, Any]:
    """Return the configuration as it is written."""
    document: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text("utf-8"))
    return document


def alert(**labels: str) -> dict[str, Any]:
    """Return an alert as a template sees it."""
    return {
        "status": "firing",
        "labels": {**LABELS, **labels},
        "annotations": {
            "summary": "acme / hot / BTC: balance fell by 20% within an hour",
            "description": "From 100 to 80 BTC.",
            "runbook_url": "http://127.0.0.1:10063/runbooks/KrakenCustodyUnexpectedOutflow",
        },
        "startsAt": "2026-03-01T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
    }


def rendered(name: str, tmp_path: Path, *, status: str, told: list[dict[str, Any]]) -> str:
    """Return the text that a template renders for alerts."""
    data = tmp_path / "data.json"
    common = dict(set.intersection(*(set(one["labels"].items()) for one in told)))
    data.write_text(
        json.dumps(
            {
                "receiver": "critical",
                "status": status,
                "alerts": told,
                "groupLabels": {"org": "acme"},
                "commonLabels": common,
                "commonAnnotations": {},
                "externalURL": "",
            }
        ),
        "utf-8",
    )
    return amtool(
        "template",
        "render",
        f"--template.glob={ALERTMANAGER / 'templates' / '*.tmpl'}",
        f'--template.text={{{{ template "{name}" . }}}}',
        f"--template.data={data}",
    )


def test_amtool_accepts_the_configuration_with_its_template() -> None:
    printed = amtool("check-config", str(CONFIGURATION))
    assert "3 receivers" in printed
    assert "1 templates" in printed


@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_alerts_are_routed_by_their_severity(severity: str) -> None:
    amtool(
        "config",
        "routes",
        "test",
        f"--config.file={CONFIGURATION}",
        f"--verify.receivers={severity}",
        f"severity={severity}",
        "alertname=KrakenCustodyTargetFailing",
        "org=acme",
    )


def test_every_severity_has_its_receiver() -> None:
    receivers = {receiver["name"] for receiver in configuration()["receivers"]}
    assert {alert["labels"]["severity"] for alert in alerts().values()} == receivers


def test_an_alert_without_severity_is_not_lost() -> None:
    amtool(
        "config",
        "routes",
        "test",
        f"--config.file={CONFIGURATION}",
        "--verify.receivers=warning",
        "alertname=Another",
    )


def test_an_organization_has_one_message() -> None:
    assert configuration()["route"]["group_by"] == ["job", "org"]


def test_no_reminder_is_further_apart_than_alertmanager_remembers() -> None:
    """It forgets after five days what it has sent, and would then send it again."""
    route = configuration()["route"]
    for told in (route, *route["routes"]):
        assert duration(told.get("repeat_interval", "4h")) < duration("5d")


def test_inhibition_names_only_alerts_that_exist_and_never_silences_what_was_really_read() -> None:
    for rule in configuration()["inhibit_rules"]:
        silenced = alertnames(rule["target_matchers"])
        assert silenced | alertnames(rule["source_matchers"]) <= set(alerts())
        assert not silenced & {
            "KrakenCustodyExporterDown",
            "KrakenCustodyUnexpectedOutflow",
            "KrakenCustodyAvailableBelowMinimum",
        }


def test_an_alert_that_explains_others_outlasts_them() -> None:
    """Otherwise they would be told when all is well again; a dead exporter's have ended before it is back."""

    def goes_on_for(name: str) -> float:
        return duration(alerts()[name]["keep_firing_for"])

    about_targets = {
        f"KrakenCustody{name}" for name in ("TargetFailing", "BalancesStale", "PollsLate")
    }
    for rule in configuration()["inhibit_rules"]:
        causes = alertnames(rule["source_matchers"]) - {"KrakenCustodyExporterDown"}
        for cause in causes:
            for other in alertnames(rule["target_matchers"]) & about_targets:
                assert goes_on_for(cause) > goes_on_for(other), (cause, other)


def alertnames(matchers: list[str]) -> set[str]:
    """Return the names that matchers such as `alertname=~"A(B|C)"` stand for."""
    (matched,) = (found[1] for one in matchers if (found := re.match('alertname=~?"(.+)"', one)))
    before, _, inside = matched.partition("(")
    return {before + part for part in inside.rstrip(")").split("|")}


def test_a_message_about_one_alert_is_its_summary(tmp_path: Path) -> None:
    subject = rendered("kraken_custody.subject", tmp_path, status="firing", told=[alert()])
    assert subject.strip() == (
        "[FIRING 1] critical: acme / hot / BTC: balance fell by 20% within an hour"
    )


def test_a_message_about_more_counts_them_under_what_they_share(tmp_path: Path) -> None:
    told = [alert(vault="hot"), alert(vault="cold")]
    subject = rendered("kraken_custody.subject", tmp_path, status="firing", told=told)
    assert subject.strip() == (
        "[FIRING 2] critical: acme: KrakenCustodyUnexpectedOutflow, 2 alerts"
    )


def test_the_text_has_what_a_person_needs(tmp_path: Path) -> None:
    told = [alert(), {**alert(), "status": "resolved"}]
    text = rendered("kraken_custody.text", tmp_path, status="firing", told=told)
    assert text.strip().splitlines() == [
        "FIRING   acme / hot / BTC: balance fell by 20% within an hour",
        "  From 100 to 80 BTC.",
        "  KrakenCustodyUnexpectedOutflow, critical, since 2026-03-01 12:00:00 UTC",
        "  Runbook: http://127.0.0.1:10063/runbooks/KrakenCustodyUnexpectedOutflow",
        "",
        "RESOLVED acme / hot / BTC: balance fell by 20% within an hour",
        "  From 100 to 80 BTC.",
        "  KrakenCustodyUnexpectedOutflow, critical, since 2026-03-01 12:00:00 UTC",
        "  Runbook: http://127.0.0.1:10063/runbooks/KrakenCustodyUnexpectedOutflow",
    ]
