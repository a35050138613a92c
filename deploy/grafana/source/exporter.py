"""The dashboard for operators of the exporter: does it read everything in time, and if not, why."""

from typing import Final

from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import units

from deploy.grafana.source import exporter_trends as trends
from deploy.grafana.source.exporter_trends import INSTANCE, TARGETS, UNLISTED
from deploy.grafana.source.frame import (
    EXPORTER,
    TITLES,
    TREASURY,
    VAULT,
    alert_marks,
    any_of,
    everything,
    filled,
    link,
    page,
    vault_url,
)
from deploy.grafana.source.panels import (
    figure,
    levels,
    state,
    words,
)
from deploy.grafana.source.queries import age, none_is_zero, of_shards, polled, shards_up, standbys
from deploy.grafana.source.rules import threshold
from deploy.grafana.source.shared import LAST_POLL, firing_alerts, firing_number
from deploy.grafana.source.tables import Column, linked, rows, shown_as

# Not by instance: alerts have the name of the lease there, if there is one.
ALERTS: Final = 'org=~"$org|"'


def exporter() -> build.Dashboard:
    """Return the dashboard."""
    about = (
        "Does the exporter read everything in time, and if not, why? The selected organizations apply to targets and "
        "alerts, the selected exporters to everything except alerts."
    )
    dashboard = (
        page(EXPORTER, TITLES[EXPORTER], about)
        .time("now-6h", "now")
        .with_variable(any_of("instance", "Exporter", "kraken_custody_exporter_build_info"))
        .with_variable(everything("org", "Organization", "kraken_custody_target_stale"))
        .annotation(alert_marks(ALERTS))
        .link(link(TREASURY, "org"))
        .link(link(VAULT))
    )
    return filled(
        dashboard,
        *_figures(),
        *_processes(),
        *trends.targets(),
        *trends.budget(),
        *trends.requests(),
        *trends.process(),
        *trends.processes(),
        firing_alerts(ALERTS),
        _table(),
        _lists(),
    )


def _figures() -> list[stat.Panel]:
    skew = threshold("clock_skew_seconds")
    requests = f"sum(increase(kraken_custody_api_requests_total{{{INSTANCE}}}[$__range]))"
    failed = f"sum(increase(kraken_custody_api_errors_total{{{INSTANCE}}}[$__range]))"
    loaded = f"min(kraken_custody_exporter_config_last_reload_successful{{{INSTANCE}}})"
    starts = f"max(changes(process_start_time_seconds{{{INSTANCE}}}[1h]))"
    return [
        state(
            figure(
                "Exporter", units.Number, f"min(up{{{INSTANCE}}}) * (1 + ({loaded} or vector(0)))"
            ),
            {0: ("down", "red"), 1: ("old configuration", "orange"), 2: ("ok", "green")},
        )
        .span(3)
        .description(
            "old configuration: the last reload failed. Of several processes, the worst one is shown."
        ),
        figure("Restarts in the last hour", units.Number, starts)
        .span(3)
        .thresholds(levels("green", (1, "orange"), (threshold("restarts"), "red"))),
        figure(
            "Targets whose last poll succeeded",
            units.PercentUnit,
            f"avg(max by (kind, org, vault) (kraken_custody_target_up{{{TARGETS}}}))",
        )
        .span(3)
        .thresholds(levels("red", (0.9, "orange"), (1, "green"))),
        figure("Oldest balances", units.Seconds, f"max({age(UNLISTED)})")
        .span(3)
        .thresholds(levels("green", (120, "orange"), (300, "red")))
        .description(
            "Balances are withheld after polling.stale_after: by default 5 minutes or three polling intervals, "
            "whichever is longer."
        ),
        figure(
            "Demand on the budget",
            units.PercentUnit,
            f"max(kraken_custody_rate_limit_demand_ratio{{{INSTANCE}}})",
        )
        .span(3)
        .thresholds(levels("green", (0.9, "orange"), (1, "red")))
        .description("Above 100 %, polling intervals are longer by this factor."),
        figure("Failed requests", units.PercentUnit, f"{failed} / {requests}")
        .span(3)
        .decimals(1)
        .thresholds(levels("green", (0.05, "orange"), (0.5, "red")))
        .description("Within the time range, including retries."),
        figure(
            "Clock skew",
            units.Seconds,
            f"max(abs(kraken_custody_api_clock_skew_seconds{{{INSTANCE}}}))",
        )
        .span(3)
        .thresholds(levels("green", (skew, "red")))
        .description(
            "How far the clock is ahead of the API's or behind it. Nonces and one-time passwords depend on it."
        ),
        firing_number(ALERTS).span(3),
    ]


def _processes() -> list[stat.Panel]:
    found = of_shards(
        f'kraken_custody_discovered_vaults{{{TARGETS},polled="false"}}', ", org, org_id"
    )
    return [
        figure("Processes that poll", units.Number, none_is_zero(f"count({polled(INSTANCE)})"))
        .span(6)
        .thresholds(levels("red", (1, "green")))
        .description("The others wait for a lease."),
        figure("Standbys", units.Number, none_is_zero(standbys(INSTANCE)))
        .span(6)
        .description("Processes that wait for a lease and can read it. 0 without a lease."),
        figure("Shards up", units.Number, none_is_zero(shards_up(INSTANCE)))
        .span(6)
        .description("1 without --shard."),
        figure("Vaults found, not polled", units.Number, none_is_zero(found))
        .span(6)
        .thresholds(levels("green", (1, "red")))
        .description(
            "Found by discovery, not excluded by a filter, and beyond the limit of 20,000 vaults."
        ),
    ]


def _table() -> table.Panel:
    each = "by (kind, org, vault)"

    def target(name: str) -> str:
        return f"max {each} (kraken_custody_target_{name}{{{TARGETS}}})"

    error = f"max by (kind, org, vault, type) (kraken_custody_target_error{{{TARGETS}}})"
    paused = shown_as(words({0: ("no", "text"), 1: ("paused", "orange")}))
    withheld = shown_as(words({0: ("shown", "green"), 1: ("withheld", "red")}))
    return (
        rows(
            "Targets",
            {"kind": "Kind", "org": "Organization", "vault": "Vault", "type": "Error"},
            Column("", units.Number, error),
            Column("Last poll", units.Number, target("up"), LAST_POLL),
            Column("Paused", units.Number, target("paused"), paused),
            Column("Balances", units.Number, target("stale"), withheld),
            Column("Age", units.Seconds, age(TARGETS)),
            Column("Interval", units.Seconds, target("refresh_interval_seconds")),
            Column("Rows", units.Number, target("rows")),
            Column("Invalid rows", units.Number, target("invalid_rows")),
            Column("Invalid fields", units.Number, target("invalid_fields")),
        )
        .span(24)
        .height(12)
        .sort_by([look.TableSortByFieldState().display_name("Last poll")])
        .description("Failing targets first. Click a vault to open it.")
        .override_by_name("Vault", [linked("Open the vault", vault_url())])
    )


def _lists() -> table.Panel:
    each = "by (org)"
    listed = f'{TARGETS},kind="vaults"'

    def found(is_polled: str) -> str:
        metric = f'kraken_custody_discovered_vaults{{{TARGETS},polled="{is_polled}"}}'
        return of_shards(metric, ", org, org_id", f" {each}")

    return (
        rows(
            "Vaults found by discovery",
            {"org": "Organization"},
            Column("Polled", units.Number, found("true")),
            Column("Not polled", units.Number, found("false")),
            Column(
                "Last listing",
                units.Number,
                f"min {each} (kraken_custody_target_up{{{listed}}})",
                LAST_POLL,
            ),
            Column("Age of the list", units.Seconds, f"max {each} ({age(listed)})"),
            Column(
                "Vaults in the list",
                units.Number,
                f"max {each} (kraken_custody_target_rows{{{listed}}})",
            ),
        )
        .span(24)
        .height(7)
        .no_value("Discovery is off.")
        .description(
            "Vaults that a filter excludes are in the list, but count neither as polled nor as not polled."
        )
    )
