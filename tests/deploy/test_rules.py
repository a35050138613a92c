"""Every alert fires when it must, and only then."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.rules import PROMETHEUS, RULE_FILES, alerts, groups, needed, promtool, run
from tests.deploy.stories import (
    EXPORTER,
    FAILING,
    IDENTITY,
    RESTART,
    STORIES,
    asset,
    one,
    target,
)
from tests.programs import program

READ: Final = "kraken_custody:vault(_available)?_balance:read"


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    promtool = program("promtool", package="prometheus")
    for command in (
        ["check", "config", str(PROMETHEUS / "prometheus.yml")],
        ["check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES)],
    ):
        result = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_no_rule_file_is_forgotten() -> None:
    assert set((PROMETHEUS / "rules").iterdir()) == set(RULE_FILES)


def test_every_alert_has_stories() -> None:
    assert set(STORIES) == set(alerts())
    for stories in STORIES.values():
        assert any(story.message for story in stories)
        assert any(not any(story.firing.values()) for story in stories)


@pytest.mark.parametrize("name", STORIES)
def test_an_alert_fires_when_it_must_and_only_then(name: str, tmp_path: Path) -> None:
    run([(name, story) for story in STORIES[name]], tmp_path)


def balances(values: str) -> dict[str, str]:
    """Return an asset's balances, and a minimum of the available one."""
    return asset(balance=values, available_balance=values) | one(
        "vault_min_available_balance", {**EXPORTER, **IDENTITY}, values
    )


@pytest.mark.parametrize(
    "series",
    [
        target(up=f"1x20 {RESTART} _ 1x20", stale=f"0x20 {RESTART} 0x20")
        | balances(f"10x20 {RESTART} _ 10x20"),
        target(**FAILING) | balances("10x20 stale"),
        target(invalid_rows="0x20 1x20") | balances("10x20 stale"),
    ],
    ids=["restart", "failure", "invalid row"],
)
def test_what_is_not_read_is_never_0_however_far_apart_groups_are_evaluated(
    series: dict[str, str], tmp_path: Path
) -> None:
    """Prometheus spreads groups over their interval: one may see a scrape that another has not."""
    test = {
        "interval": "30s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"count({{__name__=~'{READ}'}} == 0) or vector(0)",
                "eval_time": f"{seconds}s",
                "exp_samples": [{"labels": "{}", "value": 0}],
            }
            for seconds in range(300, 1200, 30)
        ],
    }
    # For earlier groups, the last one here is an interval old.
    promtool(groups()[::-1], [test], tmp_path)


def test_a_hold_that_clears_between_two_evaluations_is_not_the_next_one(tmp_path: Path) -> None:
    name = "KrakenCustodyHoldNotClearing"
    series = target(up="1x900", stale="0x900") | asset(hold_balance="0.5x400 0 0.5x500")
    test = {
        "interval": "30s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"count(ALERTS{{alertname='{name}'}}) or vector(0)",
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": "{}", "value": 0}],
            }
            for minute in range(360, 440, 10)
        ],
    }
    promtool(needed([name]), [test], tmp_path, interval="2m")
