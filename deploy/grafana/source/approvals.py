"""The dashboard for approvers: which tasks are pending and for how long, and to how many addresses vaults may send.

It is a separate dashboard because an exporter reads neither unless `collect` lists them.
"""

from typing import Final

from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import units

from deploy.grafana.source.frame import (
    APPROVALS,
    EXPORTER,
    TITLES,
    TREASURY,
    alert_marks,
    everything,
    filled,
    link,
    page,
    vault_url,
)
from deploy.grafana.source.panels import figure, levels, limited, query, stacked, trend, words
from deploy.grafana.source.queries import age
from deploy.grafana.source.rules import threshold
from deploy.grafana.source.shared import LAST_POLL, firing_alerts, firing_number
from deploy.grafana.source.tables import Column, linked, rows, shown_as

OWNERS: Final = 'org=~"$org"'
VAULTS: Final = 'org=~"$org",vault=~"$vault"'
TASKS: Final = 'org=~"$org",vault=~"$vault|",task_type=~"$task_type"'
ALERTS: Final = 'org=~"$org|",vault=~"$vault|"'

MOST: Final = 12
"""How many vaults are shown by name; more would be clutter."""

_GROUP: Final = "org, org_id, vault, vault_id, task_type"
_NO_TASKS: Final = "Needs `pending_tasks` in `collect`, see docs/configuration.md."
_NO_WHITELISTS: Final = "Needs `whitelist` in `collect`, see docs/configuration.md."
_EACH_VAULT: Final = "by (org, vault)"


def approvals() -> build.Dashboard:
    """Return the dashboard."""
    about = (
        "What waits for approval, for how long and until when; and to how many addresses each vault may send. Empty "
        "unless the exporter collects them: collect: [balances, pending_tasks, whitelist]."
    )
    known = '{__name__=~"kraken_custody_(pending_tasks|vault_whitelisted_addresses)",org=~"$org"}'
    of_tasks = f"kraken_custody_pending_tasks{{{OWNERS}}}"
    dashboard = (
        page(APPROVALS, TITLES[APPROVALS], about)
        .time("now-24h", "now")
        .with_variable(everything("org", "Organization", "kraken_custody_target_stale"))
        .with_variable(everything("vault", "Vault", known))
        .with_variable(everything("task_type", "Type of task", of_tasks))
        .annotation(alert_marks(ALERTS))
        .link(link(TREASURY, "org"))
        .link(link(EXPORTER, "org"))
    )
    return filled(
        dashboard,
        *_figures(),
        *_trends(),
        firing_alerts(ALERTS),
        _waiting(),
        _read(),
        _whitelists(),
        _addresses(),
    )


def _tasks(name: str, combined: str = "max") -> str:
    """Return `kraken_custody_pending_<name>`, once for each vault and type.

    combined: how values of two processes become one.
    """
    return f"{combined} by ({_GROUP}) (kraken_custody_pending_{name}{{{TASKS}}})"


def _waits() -> str:
    return f"time() - {_tasks('task_oldest_timestamp_seconds', 'min')}"


def _left() -> str:
    return f"{_tasks('task_next_expiry_timestamp_seconds', 'min')} - time()"


def _length() -> str:
    """Return how many addresses each whitelist has, by asset."""
    labels = "org, vault, vault_id, asset, asset_class"
    return f"max by ({labels}) (kraken_custody_vault_whitelisted_addresses{{{VAULTS}}})"


def _added(window: str) -> str:
    """Return how many addresses were added. Each process counts only what it saw, so their counts are added."""
    total = f"kraken_custody_vault_whitelist_additions_total{{{VAULTS}}}"
    return f"sum {_EACH_VAULT} (round(increase({total}[{window}])))"


def _figures() -> list[stat.Panel]:
    are_read = f"0 * count(kraken_custody_tasks_truncated{{{OWNERS}}})"
    additions = levels("green", (1, "orange"))
    return [
        _of_tasks(
            figure("Pending tasks", units.Number, f"sum({_tasks('tasks')}) or {are_read}")
        ).description(f"Tasks that wait for approval. {_NO_TASKS}"),
        _of_tasks(
            figure(
                "Missing approvals",
                units.Number,
                f"sum({_tasks('task_missing_approvals')}) or {are_read}",
            )
        ).description("Approvals that all pending tasks together still need."),
        figure("Longest wait", units.Seconds, f"max({_waits()})")
        .span(3)
        .no_value("none pending")
        .thresholds(levels("green", (threshold("approval_wait_seconds"), "red")))
        .description("Red when ApprovalWaiting fires."),
        figure("Next expiry", units.Seconds, f"min({_left()})")
        .span(3)
        .no_value("none pending")
        .thresholds(levels("red", (threshold("approval_expiry_seconds"), "green")))
        .description("Time until the next pending task expires. Red when ApprovalExpiring fires."),
        _of_whitelists(
            figure("Whitelisted addresses", units.Number, f"sum({_length()})")
        ).description(f"Of all vaults and assets. {_NO_WHITELISTS}"),
        _of_whitelists(figure("Added in 24 hours", units.Number, f"sum({_added('1d')})"))
        .thresholds(additions)
        .description(
            "Addresses that were not on the whitelist when it was read before. Those added while the exporter was not "
            "running are not counted."
        ),
        _of_whitelists(figure("Added in 7 days", units.Number, f"sum({_added('7d')})"))
        .thresholds(additions)
        .description("As far back as Prometheus has data."),
        firing_number(ALERTS).span(3),
    ]


def _of_tasks(panel: stat.Panel) -> stat.Panel:
    return panel.span(3).no_value("not collected")


def _of_whitelists(panel: stat.Panel) -> stat.Panel:
    return panel.span(3).no_value("not collected")


def _trends() -> list[timeseries.Panel]:
    each = "by (task_type)"
    longest = f"topk({MOST}, sum {_EACH_VAULT} ({_length()}))"
    return [
        stacked(
            trend(
                "Pending tasks by type",
                units.Number,
                query(f"sum {each} ({_tasks('tasks')})", "{{task_type}}"),
            )
        )
        .span(8)
        .min(0)
        .decimals(0)
        .description(_NO_TASKS),
        limited(
            trend(
                "Longest wait, by type",
                units.Seconds,
                query(f"max {each} ({_waits()})", "{{task_type}}"),
            ),
            threshold("approval_wait_seconds"),
        )
        .span(8)
        .min(0)
        .description("Above the threshold, ApprovalWaiting fires. Empty while no task is pending."),
        trend("Longest whitelists", units.Number, query(longest, "{{org}} / {{vault}}"))
        .span(8)
        .min(0)
        .decimals(0)
        .description(f"The {MOST} vaults with the most addresses. {_NO_WHITELISTS}"),
    ]


def _waiting() -> table.Panel:
    each = "by (org, vault, task_type)"
    return (
        rows(
            "Pending tasks by vault",
            {"org": "Organization", "vault": "Vault", "task_type": "Type"},
            Column("Tasks", units.Number, f"sum {each} ({_tasks('tasks')} > 0)"),
            Column("Longest wait", units.Seconds, f"max {each} ({_waits()})"),
            Column("Next expiry", units.Seconds, f"min {each} ({_left()})"),
            Column(
                "Missing approvals",
                units.Number,
                f"sum {each} ({_tasks('task_missing_approvals')} and {_tasks('tasks')} > 0)",
            ),
        )
        .span(24)
        .no_value(f"No task is pending. {_NO_TASKS}")
        .sort_by([look.TableSortByFieldState().display_name("Next expiry")])
        .description(
            "By vault and type; tasks without a vault belong to the organization. Only Kraken's interface shows the "
            "tasks themselves: the exporter keeps no name, id or description."
        )
    )


def _read() -> table.Panel:
    each = "by (org)"
    targets = f'kind="pending_tasks",{OWNERS}'
    more = shown_as(words({0: ("no", "text"), 1: ("yes", "orange")}))
    return (
        rows(
            "Task lists",
            {"org": "Organization"},
            Column(
                "Last poll",
                units.Number,
                f"min {each} (kraken_custody_target_up{{{targets}}})",
                LAST_POLL,
            ),
            Column("Age", units.Seconds, f"max {each} ({age(targets)})"),
            Column(
                "Tasks read", units.Number, f"max {each} (kraken_custody_target_rows{{{targets}}})"
            ),
            Column(
                "Invalid",
                units.Number,
                f"max {each} (kraken_custody_target_invalid_rows{{{targets}}})",
            ),
            Column(
                "Older tasks not read",
                units.Number,
                f"max {each} (kraken_custody_tasks_truncated{{{OWNERS}}})",
                more,
            ),
        )
        .span(24)
        .height(7)
        .no_value(_NO_TASKS)
        .description(
            "Tasks of every state are read, newest first and at most 500. Older tasks are not counted, even if they "
            "are still pending."
        )
    )


def _whitelists() -> table.Panel:
    targets = f'kind="whitelist",{VAULTS}'
    return (
        rows(
            "Whitelists",
            {"org": "Organization", "vault": "Vault"},
            Column("Addresses", units.Number, f"sum {_EACH_VAULT} ({_length()})"),
            Column("Added in 24 hours", units.Number, _added("1d")),
            Column("Added in 7 days", units.Number, _added("7d")),
            Column("Age", units.Seconds, f"max {_EACH_VAULT} ({age(targets)})"),
            Column(
                "Last poll",
                units.Number,
                f"min {_EACH_VAULT} (kraken_custody_target_up{{{targets}}})",
                LAST_POLL,
            ),
        )
        .span(24)
        .no_value(_NO_WHITELISTS)
        .sort_by([look.TableSortByFieldState().display_name("Added in 7 days").desc(desc=True)])
        .description("Read once an hour. Click a vault to open it.")
        .override_by_name("Vault", [linked("Open the vault", vault_url())])
    )


def _addresses() -> table.Panel:
    labels = {"org": "Organization", "vault": "Vault", "asset": "Asset", "asset_class": "Class"}
    return (
        rows(
            "Addresses by asset",
            labels,
            Column("Addresses", units.Number, f"sum by ({', '.join(labels)}) ({_length()})"),
        )
        .span(24)
        .no_value(_NO_WHITELISTS)
        .sort_by([look.TableSortByFieldState().display_name("Addresses").desc(desc=True)])
    )
