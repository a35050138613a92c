"""Panels and columns that more than one dashboard has."""

from typing import Final

from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, units

from deploy.grafana.source.frame import RUNBOOK_URL
from deploy.grafana.source.panels import (
    EXACT,
    MONEY,
    PART_COLORS,
    figure,
    levels,
    painted,
    query,
    trend,
    words,
)
from deploy.grafana.source.queries import Holdings, firing_count, firing_since
from deploy.grafana.source.tables import Column, decimals, linked, rows, shown_as, signed

BY_WORTH: Final[list[Builder[common.TableSortByFieldState]]] = [
    look.TableSortByFieldState().display_name("Worth").desc(desc=True)
]

LAST_POLL: Final = shown_as(words({0: ("failed", "red"), 1: ("ok", "green")}))
"""What `kraken_custody_target_up` looks like in a table."""

_ALERT_LABELS: Final = {
    "severity": "Severity",
    "alertname": "Alert",
    "credential": "Key",
    "org": "Organization",
    "vault": "Vault",
    "asset": "Asset",
}
_AMOUNTS: Final = {
    "Balance": "balance",
    "Available": "available_balance",
    "On hold": "hold_balance",
    "Staked": "staked_balance",
    "Pledged": "pledged_balance",
}


def shares(held: Holdings) -> list[stat.Panel]:
    """Return what part of the worth is available, on hold, staked and pledged."""
    return [
        figure(part, units.PercentUnit, held.share(part))
        .decimals(1)
        .thresholds(levels(PART_COLORS[part]))
        .description("Share of the worth of the selection.")
        for part in held.parts
    ]


def day_over_day(held: Holdings) -> stat.Panel:
    """Return inflow minus outflow since yesterday."""
    return (
        figure("Day over day, $quote_asset", MONEY, f"sum({held.flows})")
        .decimals(2)
        .thresholds(levels("red", (0, "text")))
        .description("Inflow minus outflow, at today's prices (API field balance_diff).")
    )


def available_against_the_rest(held: Holdings) -> timeseries.Panel:
    """Return what the parts are worth over time; not stacked, as Kraken does not say that they add up."""
    parts = [query(f"sum({expr})", part) for part, expr in held.parts.items()]
    return painted(
        trend("Available against the rest, $quote_asset", MONEY, *parts), PART_COLORS
    ).description("Worth of what is on hold, staked and pledged, at the prices of the time.")


def amounts(held: Holdings, each: str) -> list[Column]:
    """Return columns with amounts, in units of the asset; `each` is `by (...)` with at least asset and class."""
    flows = f"sum {each} ({held.amount('balance_diff')})"
    return [
        *(
            Column(head, EXACT, f"sum {each} ({held.amount(name)})", (decimals(8),))
            for head, name in _AMOUNTS.items()
        ),
        Column("Day over day", EXACT, flows, (decimals(8), *signed())),
    ]


def firing_number(where: str) -> stat.Panel:
    """Return how many alerts fire."""
    return (
        figure("Firing alerts", units.Number, firing_count(where))
        .no_value("no rules")
        .thresholds(levels("green", (1, "red")))
        .description("Needs the rules of deploy/prometheus.")
    )


def firing_alerts(where: str) -> table.Panel:
    """Return the alerts that fire, each linked to its runbook."""
    since = Column("Since", units.DateTimeFromNow, firing_since(where))
    return (
        rows("Firing alerts", _ALERT_LABELS, since)
        .height(7)
        .span(24)
        .no_value("No alert fires.")
        .sort_by([look.TableSortByFieldState().display_name("Severity")])
        .description("Needs the rules of deploy/prometheus. Click an alert to open its runbook.")
        .override_by_name("Alert", [linked("Open the runbook", RUNBOOK_URL)])
    )
