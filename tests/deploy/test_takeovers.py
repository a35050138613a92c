"""While Prometheus has series of two processes that have polled the same, nothing is counted twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.deploy.dashboards import OVERVIEWS, Question, questions, substituted
from tests.deploy.rules import groups, promtool, rules
from tests.deploy.stories import EXPORTER, VAULT, one
from tests.deploy.test_odd_targets import exported

OLD: Final = {"job": "kraken-custody", "instance": "old"}
NEW: Final = {"job": "kraken-custody", "instance": "new"}
CHOSEN: Final[dict[str, str | list[str]]] = {
    "__rate_interval": "2m",
    "__range": "10m",
    "instance": ["old", "new"],
    "quote_asset": "some",
    "vault": "hot",
    "asset": ["BTC", "ETH"],
    "task_type": ".*",
}


def known() -> dict[str, str]:
    """Return the series of two organizations: the old holder has both of them, the new one has beta."""
    of_new = {series: values for series, values in exported(NEW).items() if 'org="beta"' in series}
    own = (
        one("exporter_active", NEW, "1x60")
        | one("exporter_build_info", NEW, "1x60")
        | one("exporter_shard_info", NEW, "1x60", shard="some", shards="some")
        | one("exporter_lease_up", NEW, "1x60", lease="of old")
    )
    return exported(OLD) | of_new | own


def alike(acme: str, beta: str, at: str = "9m") -> dict[str, object]:
    """Return the expectation that a query has the same value for both organizations, which are alike."""
    sums = [f"(sum({query}) or vector(0))" for query in (acme, beta)]
    return {
        "expr": f"abs({sums[0]} - {sums[1]}) < bool 1e-6",
        "eval_time": at,
        "exp_samples": [{"labels": "{}", "value": 1}],
    }


def asked() -> Iterator[Question]:
    for name in OVERVIEWS:
        for question in questions(name):
            # The start of an alert is not summed. Only its own process has seen what a counter counts.
            is_sum = not any(it in question.expr for it in ("ALERTS", "increase("))
            if "$org" in question.expr and is_sum:
                yield question


def test_no_panel_counts_what_two_processes_know_twice(tmp_path: Path) -> None:
    expectations = [
        alike(*(substituted(question.expr, CHOSEN | {"org": org}) for org in ("acme", "beta")))
        for question in asked()
    ]
    assert len(expectations) > 30
    twice = [f'count(kraken_custody_vault_balance{{org="{org}"}})' for org in ("acme", "beta")]
    expectations.append({**alike(*twice), "exp_samples": [{"labels": "{}", "value": 0}]})
    promtool(
        groups(), [{"interval": "30s", **_series(), "promql_expr_test": expectations}], tmp_path
    )


def test_no_recorded_amount_counts_what_two_processes_know_twice(tmp_path: Path) -> None:
    """Checks all series without a process among their labels; others are about the process."""
    recorded = {
        rule["record"]
        for rule in rules()
        if rule.get("record", "").startswith(
            ("kraken_custody:vault", "kraken_custody:organization")
        )
    }
    expectations = [
        alike(*(f'{name}{{org="{org}"}}' for org in ("acme", "beta"))) for name in sorted(recorded)
    ]
    assert len(expectations) > 10
    promtool(
        groups(), [{"interval": "30s", **_series(), "promql_expr_test": expectations}], tmp_path
    )


def _series() -> dict[str, object]:
    return {
        "input_series": [{"series": name, "values": values} for name, values in known().items()]
    }


def test_vaults_that_come_and_go_are_listed_and_those_that_nobody_knows_for_a_while_are_not(
    tmp_path: Path,
) -> None:
    (question,) = [it for it in questions("treasury") if it.panel == "New and gone vaults"]
    series = {
        **one("target_info", VAULT, "1x60", id="V1"),
        **one("target_info", VAULT, "1x30 stale", id="V2", vault="closed"),
        **one("target_info", VAULT, "_x30 1x30", id="V3", vault="opened"),
        **one("target_info", VAULT, "1x30 stale", id="V4", vault="renamed"),
        **one("target_info", VAULT, "_x31 1x30", id="V4", vault="new name"),
        **one("target_info", {**EXPORTER, "org": "away", "kind": "vault"}, "1x30 stale", id="V5"),
        **one("target_info", {**EXPORTER, "org": "first", "kind": "vault"}, "_x30 1x30", id="V6"),
    }
    expr = substituted(question.expr, CHOSEN | {"org": ".*"})
    test = {
        "interval": "30s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": "20m",
                "exp_samples": [
                    {"labels": '{org="acme",vault="opened",id="V3"}', "value": 1},
                    {"labels": '{org="acme",vault="closed",id="V2"}', "value": 0},
                ],
            }
        ],
    }
    promtool([], [test], tmp_path)
