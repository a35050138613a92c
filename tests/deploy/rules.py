"""The shipped rules, and promtool to test them."""

import json
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import yaml

from tests.programs import program

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
PROMETHEUS: Final = DEPLOY / "prometheus"
# In the order of use, because promtool evaluates one group after the other.
RULE_FILES: Final = tuple(
    PROMETHEUS / "rules" / f"{name}.yaml"
    for name in (
        "thresholds",
        "recording",
        "alerts-exporter",
        "alerts-api",
        "alerts-balances",
        "alerts-approvals",
    )
)

RUNBOOKS: Final = "http://127.0.0.1:10063/runbooks/"
"""The address of the runbooks in the rules: an exporter on this machine."""
_json: Final = partial(json.dumps, ensure_ascii=False)
RECORDED: Final = re.compile(r"kraken_custody:[a-z0-9_:]+")


@cache
def groups() -> list[dict[str, Any]]:
    """Return the rule groups of all files."""
    return [
        group for path in RULE_FILES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    ]


def rules() -> list[dict[str, Any]]:
    """Return all rules."""
    return [rule for group in groups() for rule in group["rules"]]


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


@dataclass(frozen=True)
class Message:
    """An alert at some time: its labels besides name and severity, and its annotations."""

    at: str
    labels: Mapping[str, str]
    summary: str
    description: str


@dataclass(frozen=True)
class Story:
    """Series, and how many instances of an alert fire at which time.

    series: values in promtool's notation, by series; the first is at time 0, and `interval` is between two of them.
    """

    about: str
    series: Mapping[str, str]
    firing: Mapping[str, int]
    message: Message | None = None
    interval: str = "30s"


def needed(wanted: Iterable[str]) -> list[dict[str, Any]]:
    """Return the groups with only the rules that alerts of these names need; the others would take most of the time."""
    by_name = defaultdict(list)
    for rule in rules():
        by_name[rule.get("record") or rule["alert"]].append(rule)
    names, new = set[str](), set(wanted)
    while new:
        names |= new
        texts = [str(rule) for name in new for rule in by_name[name]]
        new = {name for text in texts for name in RECORDED.findall(text)} - names
    kept = [
        {
            "name": group["name"],
            "rules": [
                rule for rule in group["rules"] if (rule.get("record") or rule["alert"]) in names
            ],
        }
        for group in groups()
    ]
    return [group for group in kept if group["rules"]]


def run(stories: Sequence[tuple[str, Story]], directory: Path) -> None:
    """Let promtool evaluate each story; each comes with a regular expression for names of alerts.

    Rules are evaluated as often as the story with the most samples has any: in stories of many hours, evaluations in
    between would take most of the time.
    """
    chosen = needed(
        name for pattern, _ in stories for name in alerts() if re.fullmatch(pattern, name)
    )
    interval = min((story.interval for _, story in stories), key=["30s", "1m", "2m"].index)
    promtool(chosen, [_test(name, story) for name, story in stories], directory, interval=interval)


def promtool(
    chosen: Sequence[Mapping[str, Any]],
    tests: Sequence[Mapping[str, Any]],
    directory: Path,
    *,
    interval: str = "30s",
) -> None:
    """Let promtool evaluate groups one after the other, as they are given, and run its own form of tests on them.

    interval: between two evaluations.
    """
    # JSON is YAML, and is a hundred times as fast to write.
    (directory / "rules.yaml").write_text(_json({"groups": [*chosen]}), "utf-8")
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": interval,
        "group_eval_order": [group["name"] for group in chosen],
        "tests": [*tests],
    }
    path = directory / "stories.yaml"
    path.write_text(_json(document), "utf-8")
    result = subprocess.run(
        [program("promtool", package="prometheus"), "test", "rules", str(path)],
        # A third of its time would go to collecting garbage that fits into memory.
        env={"GOGC": "400"} | os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def _built(series: Iterable[str]) -> dict[str, str]:
    """Return what every exporter also exposes, from which the rules know which exporters there are."""
    exporters = {
        f'kraken_custody_exporter_build_info{{job="{job}",instance="{instance}"}}': "1x800"
        for one in series
        for job, instance in re.findall(r'\{job="([^"]+)",instance="([^"]+)"', one)
    }
    return {one: values for one, values in exporters.items() if one not in series}


def _test(name: str, story: Story) -> dict[str, Any]:
    series = _built(story.series) | {**story.series}
    test: dict[str, Any] = {
        "name": story.about,
        "interval": story.interval,
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname=~"{name}", alertstate="firing"}}) or vector(0)',
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": count}],
            }
            for at, count in story.firing.items()
        ],
    }
    if story.message:
        test["alert_rule_test"] = [_message(name, story.message)]
    return test


def _message(name: str, message: Message) -> dict[str, Any]:
    return {
        "alertname": name,
        "eval_time": message.at,
        "exp_alerts": [
            {
                "exp_labels": {
                    "severity": alerts()[name]["labels"]["severity"],
                    **message.labels,
                },
                "exp_annotations": {
                    "summary": message.summary,
                    "description": message.description,
                    "runbook_url": f"{RUNBOOKS}{name}",
                },
            }
        ],
    }
