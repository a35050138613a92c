"""A scrape target with a label that the exporter uses too breaks nothing for others.

Prometheus renames the exporter's label to `exported_org`, so series that differ in nothing else look the same to a rule
that joins by `org`.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Final

from exporter.resources import RESOURCES
from tests.deploy.dashboards import OVERVIEWS, questions, substituted
from tests.deploy.rules import groups, promtool
from tools.docs import all_metrics

GOOD: Final = {"job": "kraken-custody", "instance": "exporter:10063"}
BALANCES: Final = [metric for it in RESOURCES.values() for metric in it.metrics]
LABELS: Final = sorted({label for metric in all_metrics() for label in metric.labels})
# No other label can matter to a rule.
TAKEN: Final = [label for label in LABELS if re.search(rf"\b{label}\b", str(groups()))]
GOOD_VAULTS: Final = 'org=~"acme|beta",vault=~"hot|cold",vault_id=~"V.+",asset=~"BTC|ETH"'
# Healthy for ten minutes, then failing.
VALUES: Final = {
    "kraken_custody_target_up": "1x20 0x40",
    "kraken_custody_target_stale": "0x20 1x40",
    "kraken_custody_target_error": "_x21 1x40",
    "kraken_custody_target_last_success_timestamp_seconds": "0+30x20 600x40",
    "kraken_custody_target_refresh_interval_seconds": "60x60",
    "kraken_custody_target_invalid_rows": "0x60",
    # Long ago, so that the usual values since then are known.
    "kraken_custody_exporter_config_last_reload_success_timestamp_seconds": "-30000x60",
    "kraken_custody_vault_balance": "100x4 50x56",
    "kraken_custody_vault_min_available_balance": "200x60",
    "kraken_custody_vault_quote_balance": "100000x60",
    # Two assets in two vaults.
    "kraken_custody_organization_quote_balance": "400000x60",
}


def things() -> Iterator[dict[str, str]]:
    """Return everything that can be exposed, with every possible label."""
    for org, vault, asset, component in product(
        ("acme", "beta"), ("", "hot", "cold"), ("BTC", "ETH"), ("spot", "staked")
    ):
        yield dict.fromkeys(LABELS, "some") | {
            "kind": "vault" if vault else "organization",
            "org": org,
            "org_id": org.upper(),
            "vault": vault,
            "vault_id": f"V{org}{vault}",
            "id": f"V{org}{vault}",
            "asset": asset,
            "component": component,
            "credential": f"key of {org}",
            "type": "EAPI:Invalid nonce" if vault == "hot" else "EAPI:Invalid key",
        }


def odd(taken: str) -> dict[str, str]:
    """Return the labels of a scrape target that has one of these names itself."""
    return {"job": "kraken-custody", "instance": f"odd-{taken}:10063"}


def exported(target: Mapping[str, str], taken: str = "") -> dict[str, str]:
    """Return the series of all metrics as Prometheus stores them from a target with the label `taken`."""
    found = {}
    for metric, thing in product(all_metrics(), things()):
        if metric in BALANCES and "vault" in metric.labels and not thing["vault"]:
            continue
        labels = {label: thing[label] for label in metric.labels} | dict(target)
        if "lease" in labels:
            labels["lease"] = f"of {target['instance']}"
        if taken in labels:
            labels[f"exported_{taken}"] = labels.pop(taken)
        if taken:
            labels[taken] = "odd"
        inside = ",".join(f'{label}="{value}"' for label, value in labels.items())
        usual = "0+1x60" if metric.type == "counter" else "1x60"
        found[f"{metric.name}{{{inside}}}"] = VALUES.get(metric.name, usual)
    return found


def told(alert: str, where: str, at: str, count: int) -> dict[str, object]:
    """Return the expectation that this many alerts fire."""
    return {
        "expr": f'count(ALERTS{{alertname="KrakenCustody{alert}",alertstate="firing",{where}}}) or vector(0)',
        "eval_time": at,
        "exp_samples": [{"labels": "{}", "value": count}],
    }


def answered() -> Iterator[dict[str, object]]:
    """Yield the expectation that each query of a dashboard has an answer; promtool says why not."""
    values: dict[str, str | list[str]] = {
        "__rate_interval": "2m",
        "__range": "10m",
        "instance": [GOOD["instance"], *(odd(label)["instance"] for label in TAKEN)],
        "quote_asset": "some",
        "org": ["acme", "beta", "odd"],
        "vault": ["hot", "cold", "odd"],
        "asset": ["BTC", "ETH", "odd"],
        "task_type": ".*",
    }
    for name in OVERVIEWS:
        chosen = [values | {"org": "acme", "vault": vault} for vault in ("hot", "odd")]
        for question, said in product(questions(name), chosen if name == "vault" else [values]):
            yield {
                "expr": f"0 * count({substituted(question.expr, said)}) or vector(0)",
                "eval_time": "15m",
                "exp_samples": [{"labels": "{}", "value": 0}],
            }


def test_a_label_that_a_scrape_target_has_of_its_own_breaks_no_rule_and_no_panel(
    tmp_path: Path,
) -> None:
    """Promtool says which rule could not be evaluated, and for which series."""
    series = exported(GOOD)
    for label in TAKEN:
        series |= exported(odd(label), label)
    good = f'instance="of {GOOD["instance"]}"'
    test = {
        "interval": "30s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            told("BalancesStale", good, "25m", 6),
            told("TargetFailing", good, "25m", 6),
            told("UnexpectedOutflow", f'{GOOD_VAULTS},asset_class="some"', "10m", 8),
            told("AvailableBelowMinimum", GOOD_VAULTS, "10m", 8),
            told("TotalDrift", "", "30m", 0),
            *answered(),
        ],
    }
    promtool(groups(), [test], tmp_path, interval="5m")
