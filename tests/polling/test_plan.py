"""The polling plan: demand, budget, and what each target gets."""

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from exporter.config import RateLimit, parse
from exporter.discovery.inventory import inventory_of
from exporter.discovery.known import Source
from exporter.polling.plan import Plan, log_warnings, plan_of, sending_rate
from exporter.resources import targets_of
from exporter.simulator.portfolio import invented_vault_id
from exporter.turns import at_once
from tests.discovery.finds import finds, found
from tests.exporting import ENVIRON


def plan(
    vaults: Mapping[str, int],
    *,
    own_limits: Mapping[str, Mapping[str, object]] | None = None,
    interval: str = "10s",
    stale_after: str | None = None,
) -> Plan:
    """Return the plan for some vaults of each credential, with a budget of 10 requests a second for all."""
    numbers = iter(range(10_000))
    document = {
        "api": {"rate_limit": {"requests": 101, "window": "10s", "share": 1}},
        "polling": {"interval": interval, "stale_after": stale_after},
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


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("vaults", "own_limits", "ratio", "stretch"),
    [
        ({"a": 50}, {}, 0.5, {"a": 1}),
        ({"a": 100}, {}, 1.0, {"a": 1}),
        ({"a": 200}, {}, 2.0, {"a": 2}),
        ({"a": 100, "b": 100}, {}, 2.0, {"a": 2, "b": 2}),
        ({"a": 30, "b": 30}, {"a": ONE_A_SECOND}, 3.0, {"a": 3, "b": 1}),
        # The others share what the limited one leaves: they need 19 a second and get 9.
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
    """The common one without the demand that another limit already holds back."""
    with capture_logs() as events:
        log_warnings(plan({"a": 50, "b": 190}, own_limits={"a": ONE_A_SECOND}))
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
        log_warnings(plan({"a": 9, "b": 80}, own_limits={"a": ONE_A_SECOND}))
    assert events == []


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("interval", "vaults", "seconds"),
    [
        ("10s", 50, 300),
        ("100s", 50, 300),
        ("101s", 50, 303),
        ("1h", 50, 3 * 3600),
        # Twice what the budget allows: read every 200 s.
        ("100s", 2000, 600),
    ],
)
def test_balances_are_kept_for_three_planned_refreshes_and_five_minutes_at_least(
    interval: str, vaults: int, seconds: float
) -> None:
    found = plan({"a": vaults}, interval=interval)
    total, vault, *_ = found.targets
    assert found.stale_after(vault) == pytest.approx(seconds, rel=1e-3)
    assert found.stale_after(total) == pytest.approx(3 * found.refresh_interval(total))
    assert found.withdrawn_between_polls == ()


@pytest.mark.parametrize(
    ("stale_after", "late"), [("1s", 3), ("10s", 3), ("11s", 1), ("5m", 1), ("366d", 1)]
)
def test_a_configured_age_holds_for_every_target_and_is_logged_where_the_plan_cannot_keep_it(
    stale_after: str, late: int
) -> None:
    found = plan({"a": 2}, stale_after=stale_after)
    assert len({found.stale_after(target) for target in found.targets}) == 1
    assert len(found.withdrawn_between_polls) == late
    with capture_logs() as events:
        log_warnings(found)
    assert [(event["event"], event["targets"]) for event in events] == [
        ("stale_after_too_short", late)
    ]


def test_the_log_names_a_target_that_the_configured_age_is_too_short_for() -> None:
    with capture_logs() as events:
        log_warnings(plan({"a": 1}, stale_after="20s"))
    assert events == [
        {
            "event": "stale_after_too_short",
            "log_level": "warning",
            "targets": 1,
            "example": "AAAA BBBB CCCC 0000 / (total)",
            "stale_after_seconds": 20.0,
            "planned_interval_seconds": 366 * 86400.0,
            "problem": "their balances are withdrawn between polls: increase or remove polling.stale_after",
        }
    ]


@pytest.mark.parametrize(
    ("requests", "rate"), [(1, 1 / 10), (2, 1 / 10), (3, 2 / 10), (101, 100 / 10)]
)
def test_a_budget_sends_one_request_less_than_it_holds_and_at_least_one(
    requests: int, rate: float
) -> None:
    limit = RateLimit(requests=requests, window=10.0, share=Decimal(1))
    assert sending_rate(limit) == pytest.approx(rate)


def test_what_is_logged_of_a_plan_is_rounded_to_what_can_be_read() -> None:
    with capture_logs() as events:
        log_warnings(
            plan(
                {"a": 37, "b": 100},
                own_limits={"a": {"requests": 5, "window": "7s", "share": 1}},
                interval="3s",
                stale_after="7s",
            )
        )
    common, own, stale = events
    assert (
        common["demanded_requests_per_second"],
        common["budgeted_requests_per_second"],
        common["intervals_stretched_by"],
    ) == (33.333, 9.429, 3.54)
    assert (
        own["demanded_requests_per_second"],
        own["budgeted_requests_per_second"],
        own["intervals_stretched_by"],
    ) == (12.333, 0.571, 21.58)
    # The total with its interval of a day, stretched like the vaults.
    assert stale["stale_after_seconds"] == 7.0
    assert stale["planned_interval_seconds"] == round(stale["planned_interval_seconds"], 1)


def test_a_list_counts_with_all_its_requests_and_has_no_age() -> None:
    settings = parse(yaml.safe_dump(DISCOVERY), directory=Path(), environ=ENVIRON)
    known = {
        Source("one"): finds(found("ABCD EFGH IJKL MNOP", "acme")),
        Source("one", "ABCD EFGH IJKL MNOP"): finds(
            *(found(f"V{number:012}A") for number in range(5000))
        ),
    }
    targets = at_once(targets_of(at_once(inventory_of(settings, known))))
    planned = plan_of(settings, targets)
    # A list of organizations, one of vaults, the organization's total, the vaults.
    assert planned.demand == pytest.approx(1 / 600 + 50 / 600 + 1 / 60 + 5000 / 60)
    (listed,) = [target for target in targets if target.kind == "vaults"]
    assert planned.stale_after(listed) == math.inf
    assert listed not in planned.withdrawn_between_polls


DISCOVERY = {
    "credentials": {"one": {"api_key_env": "SIMULATOR_KEY", "api_secret_env": "SIMULATOR_SECRET"}},
    "discovery": {},
}
