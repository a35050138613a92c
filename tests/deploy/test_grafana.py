"""The dashboards are generated from their source, and name only what exists."""

import re
from itertools import combinations
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.source.files import files
from deploy.grafana.source.rules import threshold
from exporter.resources.vault_balances import BALANCES
from tests.deploy.dashboards import (
    DASHBOARDS,
    GRAFANA,
    OVERVIEWS,
    PATHS,
    VARIABLE,
    asked_values,
    panels,
    questions,
    text_of,
    variables,
)
from tests.deploy.rules import PROMETHEUS, RECORDED, alerts, rules
from tests.deploy.test_runbooks import METRIC, exposed
from tools.docs import all_metrics

UIDS: Final = {
    "treasury": "kraken-custody-treasury",
    "vault": "kraken-custody-vault",
    "approvals": "kraken-custody-approvals",
    "exporter": "kraken-custody-exporter",
}
"""Links and bookmarks use them, so they must not change."""
GRAFANAS_OWN: Final = {"__all", "__range", "__rate_interval", "__url_time_range", "__data"}
AMOUNTS: Final = "|".join(it.metric.name for it in BALANCES if not it.is_quote)
SELECTOR: Final = re.compile(r"\b(kraken_custody_\w+)(\{[^}]*\})?")
# A sum of amounts, in which no price they are multiplied by comes before its parenthesis closes.
ADDED: Final = re.compile(
    rf"sum(?: by \(([^)]*)\) )?\((?:max by \([^)]*\) \()?(?:{AMOUNTS})\{{[^}}]*\}}\)"
    r"(?! \*)"
)


def test_the_files_are_what_the_source_makes() -> None:
    """If this fails, run `make dashboards`."""
    made = files()
    assert set(PATHS) == set(made)
    for path, text in made.items():
        assert text_of(path) == text, path.name


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_schema_of_grafana_holds_all_of_a_dashboard(path: Any) -> None:
    register_default_plugins()
    read = Dashboard.from_json(DASHBOARDS[path.stem])
    assert JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False).encode(read) + "\n" == text_of(
        path
    )


def test_uids_are_stable_and_a_runbook_has_the_name_of_its_alert() -> None:
    assert {name: dashboard["uid"] for name, dashboard in DASHBOARDS.items()} == UIDS | {
        name: name for name in alerts()
    }
    # Grafana accepts no longer ones.
    assert all(len(dashboard["uid"]) <= 40 for dashboard in DASHBOARDS.values())


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_their_rows_without_overlapping(name: str) -> None:
    places = [panel["gridPos"] for panel in panels(name)]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    widths: dict[int, int] = {}
    for place in places:
        widths[place["y"]] = widths.get(place["y"], 0) + place["w"]
    assert set(widths.values()) == {24}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_a_title_a_unit_and_a_number_of_their_own(name: str) -> None:
    for panel in panels(name):
        if panel["type"] != "text":
            assert panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"] in vars(units).values()
        letters = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(letters)) == len(letters)
    numbers = [panel["id"] for panel in panels(name)]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", OVERVIEWS)
def test_only_trends_and_marks_ask_for_the_past(name: str) -> None:
    """A number that falls back to the last known value would show old balances as if they were current."""
    types = {panel["title"]: panel["type"] for panel in panels(name)}
    for question in questions(name):
        of_the_past = types.get(question.panel, "marks") in {"timeseries", "marks"}
        assert question.present != of_the_past, question


@pytest.mark.parametrize("name", OVERVIEWS)
def test_numbers_come_first_then_trends_then_tables(name: str) -> None:
    rank = {"stat": 0, "timeseries": 1, "piechart": 1, "bargauge": 1, "table": 2}
    # The repeated panel is last, since nobody knows how many there will be.
    ranks = [rank[panel["type"]] for panel in panels(name) if not panel.get("repeat")]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_variable_that_is_used_exists_and_each_that_exists_is_used(name: str) -> None:
    text = text_of(next(path for path in PATHS if path.stem == name))
    if name not in OVERVIEWS:
        # A runbook may show a command of the shell.
        text = re.sub(r'"content": ".*"', "", text)
    used = {match[1] or match[3] for match in VARIABLE.finditer(text)}
    used |= {match[1] for match in re.finditer(r"\$\{(__data)\.", text)}
    assert used - GRAFANAS_OWN == set(variables(name))


@pytest.mark.parametrize("name", OVERVIEWS)
def test_queries_name_only_metrics_and_labels_that_exist(name: str) -> None:
    recorded_names = {rule.get("record") for rule in rules()}
    labels_of = {metric.name: {*metric.labels, "job", "instance"} for metric in all_metrics()}
    for question in questions(name):
        assert set(METRIC.findall(question.expr)) <= exposed(), question
        assert set(RECORDED.findall(question.expr)) <= recorded_names, question
        for metric, matchers in SELECTOR.findall(question.expr):
            labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)[\"`]", matchers))
            assert labels <= labels_of[metric.removesuffix("_bucket")], question


@pytest.mark.parametrize("name", OVERVIEWS)
def test_variables_name_only_metrics_that_exist(name: str) -> None:
    for variable in variables(name).values():
        if variable["type"] == "query" and variable["name"] != "quote_asset":
            selector, _ = asked_values(variable)
            assert set(METRIC.findall(selector)) <= exposed()


@pytest.mark.parametrize("name", OVERVIEWS)
def test_worth_is_only_that_in_the_chosen_quote_asset(name: str) -> None:
    quoted = {metric.name for metric in all_metrics() if "quote_asset" in metric.labels}
    for question in questions(name):
        for metric, matchers in SELECTOR.findall(question.expr):
            chosen = 'quote_asset="$quote_asset"' in matchers
            assert chosen == (metric in quoted), question


@pytest.mark.parametrize("name", OVERVIEWS)
def test_amounts_of_different_assets_are_never_added(name: str) -> None:
    for question in questions(name):
        for labels in ADDED.findall(question.expr):
            assert {"asset", "asset_class"} <= set(labels.split(", ")), question


@pytest.mark.parametrize("name", DASHBOARDS)
def test_links_lead_to_dashboards_and_carry_variables_that_those_have(name: str) -> None:
    by_uid = {dashboard["uid"]: title for title, dashboard in DASHBOARDS.items()}
    urls = re.findall(
        r'"url": "((?:[^"\\]|\\.)*)"', text_of(next(p for p in PATHS if p.stem == name))
    )
    assert urls
    for url in urls:
        found = re.match(r"/d/([\w-]+)\?", url)
        if not found:
            assert url.startswith('/d/${__data.fields[\\"Alert\\"]:percentencode}?')
            continue
        carried = set(re.findall(r"\$\{(\w+):queryparam\}", url)) | set(
            re.findall(r"var-(\w+)=", url)
        )
        assert carried <= set(variables(by_uid[found[1]]))
        assert "datasource" in carried
    for link in DASHBOARDS[name]["links"]:
        assert link["keepTime"]


def test_thresholds_are_those_of_the_alerts() -> None:
    def limit(dashboard: str, title: str) -> float:
        (panel,) = [panel for panel in panels(dashboard) if panel["title"] == title]
        value: float = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        return value

    constants = {rule.get("record"): rule["expr"] for rule in rules() if "expr" in rule}
    for dashboard, title, name in (
        ("vault", "Fall from the highest of the last hour", "outflow_ratio"),
        ("approvals", "Longest wait", "approval_wait_seconds"),
        ("approvals", "Longest wait, by type", "approval_wait_seconds"),
        ("approvals", "Next expiry", "approval_expiry_seconds"),
        ("exporter", "Lateness", "late_factor"),
        ("exporter", "Clock skew", "clock_skew_seconds"),
        ("exporter", "Restarts in the last hour", "restarts"),
    ):
        assert constants[f"kraken_custody:threshold:{name}"] in (
            f"vector({limit(dashboard, title):g})",
            f"vector({limit(dashboard, title):.2f})",
        )


def test_a_threshold_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        threshold("unheard_of")


def test_provisioning_names_what_is_there() -> None:
    providers = yaml.safe_load(text_of(GRAFANA / "provisioning/dashboards/kraken-custody.yaml"))
    directories = {provider["options"]["path"] for provider in providers["providers"]}
    home = "/etc/grafana/kraken-custody"
    assert directories == {f"{home}/{directory}" for directory in ("dashboards", "runbooks")}
    sources = yaml.safe_load(text_of(GRAFANA / "provisioning/datasources/kraken-custody.yaml"))
    (source,) = sources["datasources"]
    prometheus = yaml.safe_load(text_of(PROMETHEUS / "prometheus.yml"))
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
