"""A real Prometheus reads what the API said, to the last digit that a float holds."""

import json
from collections.abc import Iterator

import httpx
import pytest

from exporter.simulator.server import SimulatorThread
from tests.exporting import configuration, simulator, write
from tests.processes import running
from tests.prometheus import Prometheus, serving
from tests.simulator.calling import NOON, PORTFOLIO
from tests.waiting import until

FIELDS = {
    "balance": "kraken_custody_vault_balance",
    "spot": "kraken_custody_vault_spot_balance",
    "hold": "kraken_custody_vault_hold_balance",
    "available": "kraken_custody_vault_available_balance",
    "pledged": "kraken_custody_vault_pledged_balance",
    "staked": "kraken_custody_vault_staked_balance",
    "balance_diff": "kraken_custody_vault_balance_diff",
    "quote_balance": "kraken_custody_vault_quote_balance",
    "quote_spot_balance": "kraken_custody_vault_quote_spot_balance",
    "quote_available": "kraken_custody_vault_quote_available_balance",
    "quote_price": "kraken_custody_vault_quote_price",
}
VAULTS = [
    (organization, vault)
    for organization in PORTFOLIO.organizations
    for vault in organization.vaults
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped an exporter of the simulator, whose portfolio does not move."""
    directory = tmp_path_factory.mktemp("prometheus")
    with SimulatorThread(simulator().app) as base_url:
        write(directory, configuration(base_url))
        with running(directory=directory) as exporter:
            until(lambda: len(exporter.events("target_up")) == len(VAULTS) + 2)
            target = httpx.URL(exporter.wait_for("started")["metrics"]).netloc.decode()
            jobs = [{"job_name": "custody", "static_configs": [{"targets": [target]}]}]
            file = directory / "prometheus.yml"
            # JSON is YAML.
            file.write_text(
                json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs})
            )
            with serving(file) as server:
                # It discovers its targets 5 s after its start.
                until(lambda: server.values("up"))
                yield server


def test_the_scrape_succeeds(prometheus: Prometheus) -> None:
    assert [value for _, value in prometheus.values("up")] == [1.0]
    (target,) = prometheus.ask("/api/v1/targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


@pytest.mark.parametrize(("field", "metric"), FIELDS.items())
def test_each_amount_of_each_vault_is_what_the_api_said(
    prometheus: Prometheus, field: str, metric: str
) -> None:
    said = {
        (organization.name, vault.name, vault.id, row["asset"], row["asset_class"]): float(amount)
        for organization, vault in VAULTS
        for row in vault.rows(NOON, full_precision=True)
        if isinstance(amount := row.get(field), str)
    }
    names = ("org", "vault", "vault_id", "asset", "asset_class")
    read = {
        tuple(labels[name] for name in names): value for labels, value in prometheus.values(metric)
    }
    assert read == said
    assert said


def test_each_total_of_each_organization_is_what_the_api_said(prometheus: Prometheus) -> None:
    metric = "kraken_custody_organization_quote_balance"
    said: dict[tuple[str, str], float] = {}
    for organization in PORTFOLIO.organizations:
        balance = organization.balance(NOON)["balance"]
        assert isinstance(balance, dict)
        said |= {(organization.id, part): float(amount) for part, amount in balance.items()}
    parts = prometheus.values("kraken_custody_organization_quote_component_balance")
    read = {(labels["org_id"], labels["component"]): value for labels, value in parts}
    read |= {(labels["org_id"], "total"): value for labels, value in prometheus.values(metric)}
    assert read == said


def test_assets_are_described_once_however_many_vaults_hold_them(prometheus: Prometheus) -> None:
    held = {
        holding.asset.asset: holding.asset.name for _, vault in VAULTS for holding in vault.holdings
    }
    described = prometheus.values("kraken_custody_asset_info")
    assert len(described) == len(held)
    assert {labels["asset"]: labels["name"] for labels, _ in described} == held


def test_names_are_stored_as_gauges_and_counters_with_their_help(prometheus: Prometheus) -> None:
    (balance,) = prometheus.ask("/api/v1/metadata", metric="kraken_custody_vault_balance").values()
    assert balance[0]["type"] == "gauge"
    assert "API field balance" in balance[0]["help"]


def test_an_available_balance_can_be_compared_with_its_threshold(prometheus: Prometheus) -> None:
    """The query of the alert: both sides have the labels to match."""
    query = (
        "kraken_custody_vault_available_balance"
        " / on (org, vault, asset) kraken_custody_vault_min_available_balance"
    )
    found = {labels["vault"]: value for labels, value in prometheus.values(query)}
    available = {
        vault.name: float(str(row["available"])) / 0.5
        for _, vault in VAULTS
        for row in vault.rows(NOON, full_precision=True)
        if row["asset"] == "BTC"
    }
    assert found == available
