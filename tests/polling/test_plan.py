"""The polling plan: demand, budget, and what each target gets."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from exporter.config import parse
from exporter.demo.portfolio import invented_vault_id
from exporter.polling.plan import Plan, plan_of, warn_of_shortages


def plan(
    vaults: Mapping[str, int],
    *,
    own_limits: Mapping[str, Mapping[str, object]] | None = None,
    interval: str = "10s",
) -> Plan:
    """Return the plan for some vaults of each credential, with a budget of 10 requests a second for all."""
    numbers = iter(range(10_000))
    document = {
        "api": {"rate_limit": {"requests": 101, "window": "10s", "share": 1}},
        "polling": {"interval": interval},
        "credentials": {
            name: {
                "api_key_env": f"KEY_{name}",
                "api_secret_env": "SECRET",
                "rate_limit": (own_limits or {}).get(name),
            }
            for name in vaults
        },
        "organizations": [
            {
                "id": f"AAAA BBBB CCCC {index:04}",
                "credentials": name,
                "interval": "366d",
                "vaults": [{"id": invented_vault_id(next(numbers))} for _ in range(count)],
            }
            for index, (name, count) in enumerate(vaults.items())
        ],
    }
    environ = {"SECRET": "c2VjcmV0", **{f"KEY_{name}": f"key-{name}" for name in vaults}}
    return plan_of(parse(yaml.safe_dump(document), directory=Path(), environ=environ))


ONE_A_SECOND = {"requests": 11, "window": "10s", "share": 1}


@pytest.mark.parametrize(
    ("vaults", "own_limits", "ratio", "stretch"),
    [
        ({"a": 50}, {}, 0.5, {"a": 1}),
        ({"a": 100}, {}, 1.0, {"a": 1}),
        ({"a": 200}, {}, 2.0, {"a": 2}),
        ({"a": 100, "b": 100}, {}, 2.0, {"a": 2, "b": 2}),
        ({"a": 30, "b": 30}, {"a": ONE_A_SECOND}, 3.0, {"a": 3, "b": 1}),
        # What the limited one leaves is shared by the others: 19 a second want 9.
        ({"a": 50, "b": 190}, {"a": ONE_A_SECOND}, 5.0, {"a": 5, "b": 19 / 9}),
        # A limit that is wider than the common one makes no difference.
        ({"a": 20, "b": 190}, {"a": ONE_A_SECOND}, 2.1, {"a": 2.1, "b": 2.1}),
    ],
    ids=["half", "all", "twice", "shared", "own limit", "own and common limit", "wide own limit"],
)
def test_intervals_are_stretched_by_what_the_tightest_limit_asks_for(
    vaults: Mapping[str, int],
    own_limits: Mapping[str, Mapping[str, object]],
    ratio: float,
    stretch: Mapping[str, float],
) -> None:
    found = plan(vaults, own_limits=own_limits)
    assert found.demand_ratio == pytest.approx(ratio, rel=1e-3)
    assert found.stretch == pytest.approx(stretch, rel=1e-3)
    for target in found.targets:
        assert found.refresh_interval(target) == pytest.approx(
            target.interval * stretch[target.credential], rel=1e-3
        )


def test_each_limit_that_is_too_small_is_logged_with_its_own_figures() -> None:
    """The common one without the demand that is held back already."""
    with capture_logs() as events:
        warn_of_shortages(plan({"a": 50, "b": 190}, own_limits={"a": ONE_A_SECOND}))
    assert events == [
        {
            "event": "budget_too_small",
            "log_level": "warning",
            "credential": credential,
            "demanded_requests_per_second": demand,
            "budgeted_requests_per_second": rate,
            "intervals_stretched_by": factor,
        }
        for credential, demand, rate, factor in (("all", 19.0, 9.0, 2.11), ("a", 5.0, 1.0, 5.0))
    ]


def test_limits_that_suffice_are_not_logged() -> None:
    with capture_logs() as events:
        warn_of_shortages(plan({"a": 9, "b": 80}, own_limits={"a": ONE_A_SECOND}))
    assert events == []
