"""A real Prometheus that scrapes the demo's portfolio answers every query of the dashboards."""

import json
import math
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from exporter.simulator import moods
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from tests.deploy.dashboards import (
    OVERVIEWS,
    Question,
    asked_values,
    panels,
    questions,
    substituted,
    variables,
)
from tests.deploy.rules import alerts, groups
from tests.exporting import configuration, simulator, write
from tests.processes import running
from tests.prometheus import Prometheus, serving
from tests.simulator.calling import PORTFOLIO
from tests.waiting import until

OWNER: Final = PORTFOLIO.organizations[0]
VAULT: Final = next(vault for vault in OWNER.vaults if vault.name == "collateral")
"""It has assets that are staked and others that are pledged, and less available than its minimum."""
OTHER: Final = next(vault for vault in OWNER.vaults if vault.name == "hot-withdrawals")
DENIED: Final = PORTFOLIO.organizations[1].vaults[2]

FIRING: Final = {
    "KrakenCustodyAvailableBelowMinimum",
    "KrakenCustodyBalancesStale",
    "KrakenCustodyCredentialRefused",
    "KrakenCustodyPermissionDenied",
    "KrakenCustodyTargetFailing",
}
"""What fires here without waiting times: for the denied vault, an unknown type of key error, and low balances."""

CALM: Final = {
    "New and gone vaults",
    "Differences from the ledger",
    "{{instance}} reads the lease {{lease}}",
}
"""Tables and lines that are empty here: no vault comes or goes, and there is neither a ledger nor a lease."""

SECONDS: Final = 5
"""The time range of the dashboards, in steps of a second."""
Values = dict[str, str | list[str]]
ALL_QUESTIONS: Final = [question for name in OVERVIEWS for question in questions(name)]
ALL_VARIABLES: Final = [
    (name, variable)
    for name in OVERVIEWS
    for variable, model in variables(name).items()
    if model["type"] == "query"
]


@pytest.fixture(scope="module")
def simulated() -> Simulator:
    """The API, which denies one vault."""
    return simulator(wall=time.time, moods={DENIED.id: moods.problem(403, "PermissionDenied")})


@pytest.fixture(scope="module")
def prometheus(
    simulated: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A Prometheus with the rules of deploy/, without the alerts' waiting times."""
    directory = tmp_path_factory.mktemp("grafana")
    with SimulatorThread(simulated.app) as base_url:
        everything = ("balances", "pending_tasks", "whitelist")
        document = configuration(base_url, interval="1s", collect=everything) | {"discovery": {}}
        document["credentials"]["refused"] = {
            "api_key_env": "OTHER_KEY",
            "api_secret_env": "SIMULATOR_SECRET",
        }
        for organization in document["organizations"]:
            organization["credentials"] = "treasury"
        elsewhere = {"name": "Elsewhere", "id": "ABCD EFGH IJKL MNOP", "credentials": "refused"}
        document["organizations"].append(elsewhere)
        for vault in document["organizations"][0]["vaults"]:
            if vault["name"] == VAULT.name:
                vault["min_available"] = {"BTC": "100", "SOL": "1"}
        write(directory, document)
        with running(directory=directory) as exporter:
            address = httpx.URL(exporter.wait_for("started")["metrics"]).netloc.decode()
            with serving(prometheus_of(address, directory)) as server:
                yield server


def prometheus_of(address: str, directory: Path) -> Path:
    """Write a configuration that scrapes and evaluates every second, and return its path."""
    quick = [
        {
            "name": group["name"],
            "rules": [
                {key: value for key, value in rule.items() if key != "for"}
                for rule in group["rules"]
            ],
        }
        for group in groups()
    ]
    (directory / "rules.yaml").write_text(yaml.safe_dump({"groups": quick}))
    job = {"job_name": "kraken-custody", "static_configs": [{"targets": [address]}]}
    file = directory / "prometheus.yml"
    # JSON is YAML.
    file.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": ["rules.yaml"],
                "scrape_configs": [job],
            }
        )
    )
    return file


def offered(server: Prometheus, name: str, variable: str, values: Values) -> list[str]:
    """Return the values that a variable of a dashboard offers, after those before it were chosen."""
    selector, label = asked_values(variables(name)[variable])
    asked = {"match[]": substituted(selector, values)}
    found: list[str] = until(lambda: server.ask(f"/api/v1/label/{label}/values", **asked))
    return found


def chosen(server: Prometheus, name: str) -> Values:
    """Return the values of the variables in Grafana: all if possible."""
    values: Values = {
        "__rate_interval": "4s",
        "__range": f"{SECONDS}s",
        "quote_asset": "USD",
        "org": OWNER.name,
        "vault": VAULT.name,
    }
    for variable, model in variables(name).items():
        if model["includeAll"]:
            values[variable] = model.get("allValue") or offered(server, name, variable, values)
    return values


@pytest.fixture(scope="module")
def choices(prometheus: Prometheus) -> dict[str, Values]:
    """The values of the variables in Grafana, by dashboard."""
    return {name: chosen(prometheus, name) for name in OVERVIEWS}


def answers(server: Prometheus, question: Question, values: Values) -> list[dict[str, Any]]:
    """Return the series of an answer that have a number; none while Prometheus rejects the query."""
    expr = substituted(question.expr, values)
    if question.present:
        found = server.ask("/api/v1/query", query=expr)
        numbers = [(series, [series["value"]]) for series in (found or {"result": []})["result"]]
    else:
        end = time.time()
        period = {"start": f"{end - SECONDS}", "end": f"{end}", "step": "1"}
        found = server.ask("/api/v1/query_range", query=expr, **period)
        numbers = [(series, series["values"]) for series in (found or {"result": []})["result"]]
    return [
        series
        for series, points in numbers
        if any(not math.isnan(float(value)) for _, value in points)
    ]


@pytest.mark.parametrize("question", ALL_QUESTIONS, ids=str)
def test_every_panel_has_data_and_the_labels_of_its_legend(
    prometheus: Prometheus, choices: dict[str, Values], question: Question
) -> None:
    values = choices[question.dashboard]
    if question.repeated:
        values = values | {question.repeated: "BTC"}
    if {question.panel, question.legend} & CALM:
        assert prometheus.ask("/api/v1/query", query=substituted(question.expr, values))
        return
    found = until(lambda: answers(prometheus, question, values))
    labels = {label for series in found for label in series["metric"]}
    assert set(re.findall(r"\{\{(\w+)\}\}", question.legend)) <= labels


@pytest.mark.parametrize("dashboard", OVERVIEWS)
def test_every_query_also_works_for_names_with_special_characters(
    prometheus: Prometheus, choices: dict[str, Values], dashboard: str
) -> None:
    names: Values = {
        name: ["a name (with) signs.", "another?"] if variable["multi"] else "a/b (c)."
        for name, variable in variables(dashboard).items()
    }
    values = choices[dashboard] | names
    for question in questions(dashboard):
        assert prometheus.ask("/api/v1/query", query=substituted(question.expr, values)), question


@pytest.mark.parametrize(("dashboard", "name"), ALL_VARIABLES)
def test_every_variable_offers_values(
    prometheus: Prometheus, choices: dict[str, Values], dashboard: str, name: str
) -> None:
    assert offered(prometheus, dashboard, name, choices[dashboard])


@pytest.mark.parametrize("dashboard", OVERVIEWS)
def test_every_column_of_a_table_exists(
    prometheus: Prometheus, choices: dict[str, Values], dashboard: str
) -> None:
    def has(panel: str, wanted: set[str]) -> bool:
        found = [
            series
            for question in questions(dashboard)
            if question.panel == panel
            for series in answers(prometheus, question, choices[dashboard])
        ]
        return {label for series in found for label in series["metric"]} == wanted

    for panel in panels(dashboard):
        if panel["type"] == "table" and panel["title"] not in CALM:
            columns = panel["transformations"][1]["options"]["indexByName"]
            wanted = {name for name in columns if not name.startswith("Value")}
            # Some alerts fire later than others.
            until(partial(has, panel["title"], wanted))


@pytest.mark.parametrize("name", alerts())
def test_every_runbook_knows_where_its_alert_fires(prometheus: Prometheus, name: str) -> None:
    (table,) = questions(name)
    if name in FIRING:
        assert until(partial(answers, prometheus, table, {}))
    assert prometheus.ask("/api/v1/query", query=table.expr)


def of_one_vault(server: Prometheus, panel: str, values: Values) -> dict[str, float]:
    """Return what a trend of one vault shows now, by asset."""
    (question,) = [question for question in questions("vault") if question.panel == panel]
    found = server.values(substituted(question.expr, values))
    return {labels["asset"]: value for labels, value in found}


def test_an_asset_that_is_not_held_is_at_0_percent_of_its_minimum(
    prometheus: Prometheus, choices: dict[str, Values]
) -> None:
    shown = partial(of_one_vault, prometheus, "Available over minimum", choices["vault"])
    found = until(shown)
    assert found["SOL"] == 0
    assert 0 < found["BTC"] < 1


def test_an_asset_that_leaves_has_fallen_and_one_that_cannot_be_read_has_not(
    prometheus: Prometheus, simulated: Simulator, choices: dict[str, Values]
) -> None:
    values = choices["vault"] | {"vault": OTHER.name}
    shown = partial(of_one_vault, prometheus, "Fall from the highest of the last hour", values)
    until(lambda: shown().get("XRP", 1) < 0.1)
    rows = OTHER.rows(time.time(), full_precision=True)
    rest = [row for row in rows if row["asset"] != "XRP"]
    simulated.moods[OTHER.id] = moods.body(json.dumps(rest).encode(), "application/json")
    until(lambda: shown().get("XRP") == 1)
    simulated.moods[OTHER.id] = moods.problem(403, "PermissionDenied")
    until(lambda: "XRP" not in shown())
    assert shown()["BTC"] < 0.1
