"""Trends of the exporter: its targets, its budget, its requests and its process."""

from typing import Final

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import common, units

from deploy.grafana.source.panels import (
    limited,
    painted,
    query,
    stacked,
    trend,
)
from deploy.grafana.source.queries import age, none_is_zero, of_shards, shards_up
from deploy.grafana.source.rules import threshold

INSTANCE: Final = 'instance=~"$instance"'
TARGETS: Final = 'instance=~"$instance",org=~"$org"'
# Lists are read less often than anything else.
UNLISTED: Final = f'{TARGETS},kind!~"organizations|vaults"'

OLDEST: Final = 10
"""How many of the worst targets are shown by name."""


def targets() -> list[timeseries.Panel]:
    """Return whether targets are read, and in time."""
    up, stale, read = (
        f"max by (kind, org, vault) (kraken_custody_target_{name}{{{TARGETS}}})"
        for name in ("up", "stale", "last_success_timestamp_seconds")
    )
    states = {
        "ok": f"{up} == 1 unless {stale} == 1",
        "failing, last balances shown": f"({up} == 0 and {read}) unless {stale} == 1",
        "too old, balances withheld": f"{stale} == 1",
        "not read yet": f"{stale} unless {read}",
    }
    colors = dict(zip(states, ("green", "orange", "red", "purple"), strict=True))
    counts = [query(none_is_zero(f"count({expr})"), name) for name, expr in states.items()]
    interval = (
        f"max by (kind, org, vault) (kraken_custody_target_refresh_interval_seconds{{{UNLISTED}}})"
    )
    who = "{{org}} {{vault}}"
    return [
        painted(stacked(trend("Targets by state", units.Number, *counts)), colors).span(8),
        trend(
            "Age of the oldest balances",
            units.Seconds,
            query(f"topk({OLDEST}, {age(UNLISTED)})", who),
        )
        .span(8)
        .min(0)
        .description(f"The {OLDEST} oldest at each time."),
        limited(
            trend(
                "Lateness",
                units.Number,
                query(f"topk({OLDEST}, ({age(UNLISTED)}) / {interval})", who),
            ),
            threshold("late_factor"),
        )
        .span(8)
        .min(0)
        .description(
            f"Age divided by the time between the last two polls; the {OLDEST} highest. Above the line, "
            "PollsLate fires."
        ),
    ]


def budget() -> list[timeseries.Panel]:
    """Return how much of the budget is demanded and used, and what is paused."""
    used = query(f"kraken_custody_rate_limit_used_requests{{{INSTANCE}}}", "used {{instance}}")
    budget = query(f"max(kraken_custody_rate_limit_budget_requests{{{INSTANCE}}})", "budget")
    demand = query(f"kraken_custody_rate_limit_demand_ratio{{{INSTANCE}}}", "demand {{instance}}")
    waited = f"rate(kraken_custody_rate_limit_wait_seconds_total{{{INSTANCE}}}[$__rate_interval])"
    pauses = [
        query(f"max by (credential) (kraken_custody_api_{metric}{{{INSTANCE}}})", legend)
        for metric, legend in (
            ("paused", "{{credential}} paused"),
            ("unanswered_requests", "{{credential}} unanswered"),
        )
    ]
    return [
        painted(
            trend("Budget, requests in one window", units.Number, used, budget), {"budget": "red"}
        )
        .span(8)
        .min(0),
        limited(
            trend(
                "Demand and waiting",
                units.PercentUnit,
                demand,
                query(waited, "waiting {{instance}}"),
            ),
            1,
        )
        .span(8)
        .min(0)
        .description(
            "demand: the request rate that the intervals need, divided by the budget's. waiting: share of the time "
            "that a request waits for a slot."
        ),
        trend("Pauses and unanswered requests", units.Number, *pauses)
        .span(8)
        .min(0)
        .decimals(0)
        .description(
            "By key. paused: 1 while the API refuses the key; it is tried at least every 15 minutes. all: everything "
            "is paused, by the rate limit or a firewall. unanswered: requests in a row without an answer."
        ),
    ]


def _per_minute(what: str) -> str:
    return f"60 * rate(kraken_custody_api_{what}_total{{{INSTANCE}}}[$__rate_interval])"


def requests() -> list[timeseries.Panel]:
    """Return what is requested, what fails, and how long it takes."""
    by_status = f"sum by (status) ({_per_minute('requests')})"
    by_type = f"sum by (type) ({_per_minute('errors')}) > 0"
    none = 'label_replace(vector(0), "type", "none", "", "")'
    buckets = (
        "sum by (endpoint, le) "
        f"(rate(kraken_custody_api_request_duration_seconds_bucket{{{INSTANCE}}}[$__rate_interval]))"
    )
    return [
        stacked(
            trend(
                "Requests by status",
                units.RequestsPerMinute,
                query(
                    f'label_replace({by_status}, "status", "no answer", "status", "")', "{{status}}"
                ),
            )
        ).span(8),
        stacked(
            trend(
                "Errors by type",
                units.RequestsPerMinute,
                query(f"{by_type} or on () {none}", "{{type}}"),
            )
        )
        .span(8)
        .draw_style(common.GraphDrawStyle.BARS)
        .description("Failed requests, including retries. docs/metrics.md explains each type."),
        trend(
            "Latency",
            units.Seconds,
            *(
                query(
                    f"histogram_quantile({quantile}, {buckets})", f"{{{{endpoint}}}} {quantile:.0%}"
                )
                for quantile in (0.5, 0.99)
            ),
        )
        .span(8)
        .min(0)
        .description(
            "From sending a request to the last byte of its answer; median and 99th percentile."
        ),
    ]


def process() -> list[timeseries.Panel]:
    """Return what the process holds and uses."""
    of_targets = {
        "rows": "rows",
        "invalid rows": "invalid_rows",
        "invalid fields": "invalid_fields",
    }
    return [
        trend(
            "Series and rows",
            units.Number,
            query(of_shards(f"kraken_custody_exporter_series{{{INSTANCE}}}", ""), "series"),
            *(
                query(
                    f"sum(max by (kind, org, vault) (kraken_custody_target_{metric}{{{INSTANCE}}}))",
                    name,
                )
                for name, metric in of_targets.items()
            ),
        )
        .span(8)
        .min(0)
        .description(
            "Series of all targets; rows of the last good answers, how many of them were rejected, and how many fields "
            "of the others could not be read."
        ),
        trend(
            "Memory",
            units.BytesIEC,
            query(f"process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}}"),
        )
        .span(8)
        .min(0),
        trend(
            "Processor, scrapes, open files",
            units.PercentUnit,
            query(f"rate(process_cpu_seconds_total{{{INSTANCE}}}[$__rate_interval])", "of a core"),
            query(
                f"process_open_fds{{{INSTANCE}}} / process_max_fds{{{INSTANCE}}}",
                "of the open files",
            ),
        )
        .span(8)
        .min(0),
    ]


def processes() -> list[timeseries.Panel]:
    """Return which processes poll, how many shards are up, and how many vaults were found."""
    found = f"kraken_custody_discovered_vaults{{{TARGETS}}}"
    lease = f"max by (instance, lease) (kraken_custody_exporter_lease_up{{{INSTANCE}}})"
    return [
        trend(
            "Processes and leases",
            units.Number,
            query(f"kraken_custody_exporter_active{{{INSTANCE}}}", "{{instance}} polls"),
            query(lease, "{{instance}} reads the lease {{lease}}"),
        )
        .span(8)
        .min(0)
        .max(1)
        .decimals(0)
        .description("1: yes, 0: no."),
        trend("Shards up over time", units.Number, query(none_is_zero(shards_up(INSTANCE)), "up"))
        .span(8)
        .min(0)
        .decimals(0),
        trend(
            "Vaults found",
            units.Number,
            query(
                of_shards(found, ", org, org_id, polled", " by (org, polled)"),
                "{{org}}, polled: {{polled}}",
            ),
        )
        .span(8)
        .min(0)
        .decimals(0)
        .description("Found by discovery, and not excluded by a filter."),
    ]
