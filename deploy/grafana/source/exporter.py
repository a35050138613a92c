"""The dashboard for who runs the exporter: does it read everything in time, and if not, why."""

from typing import Final

from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import units

from deploy.grafana.source import exporter_trends as trends
from deploy.grafana.source.exporter_trends import INSTANCE, TARGETS
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
from deploy.grafana.source.queries import age
from deploy.grafana.source.rules import threshold
from deploy.grafana.source.shared import LAST_POLL, firing_alerts, firing_number
from deploy.grafana.source.tables import Column, linked, rows, shown_as

ALERTS: Final = 'instance=~"$instance|",org=~"$org|"'


def exporter() -> build.Dashboard:
    """Return the dashboard."""
    about = "Does the exporter read everything in time, and if not, why. Organizations narrow targets and alerts only."
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
        *trends.targets(),
        *trends.budget(),
        *trends.requests(),
        *trends.process(),
        firing_alerts(ALERTS),
        _table(),
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
            "old configuration: the last reload was refused. With several, the worst of them."
        ),
        figure("Restarts in the last hour", units.Number, starts)
        .span(3)
        .thresholds(levels("green", (1, "orange"), (threshold("restarts"), "red"))),
        figure(
            "Targets whose last poll succeeded",
            units.PercentUnit,
            f"avg(kraken_custody_target_up{{{TARGETS}}})",
        )
        .span(3)
        .thresholds(levels("red", (0.9, "orange"), (1, "green"))),
        figure("Oldest balances", units.Seconds, f"max({age(TARGETS)})")
        .span(3)
        .thresholds(levels("green", (120, "orange"), (300, "red")))
        .description(
            "Withheld at polling.stale_after, by default after 5 minutes or three polls, whichever is longer."
        ),
        figure(
            "Demand on the budget",
            units.PercentUnit,
            f"max(kraken_custody_rate_limit_demand_ratio{{{INSTANCE}}})",
        )
        .span(3)
        .thresholds(levels("green", (0.9, "orange"), (1, "red")))
        .description("Above 100 % all polling intervals are stretched by this factor."),
        figure("Failed requests", units.PercentUnit, f"{failed} / {requests}")
        .span(3)
        .decimals(1)
        .thresholds(levels("green", (0.05, "orange"), (0.5, "red")))
        .description("Within the time range, retries included."),
        figure(
            "Clock skew",
            units.Seconds,
            f"max(abs(kraken_custody_api_clock_skew_seconds{{{INSTANCE}}}))",
        )
        .span(3)
        .thresholds(levels("green", (skew, "red")))
        .description(
            "Ahead of the API's clock or behind it. Nonces and one-time passwords come from the clock."
        ),
        firing_number(ALERTS).span(3),
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
        .description("Failing ones first. A click on a vault opens it.")
        .override_by_name("Vault", [linked("Open the vault", vault_url())])
    )
