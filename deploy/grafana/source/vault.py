"""The dashboard of one vault: its assets, how much of each can be moved, and what changes."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import common, units

from deploy.grafana.source.frame import (
    APPROVALS,
    EXPORTER,
    TITLES,
    TREASURY,
    VAULT,
    alert_marks,
    everything,
    filled,
    link,
    one_of,
    page,
    quote_asset,
)
from deploy.grafana.source.panels import (
    EXACT,
    MONEY,
    PART_COLORS,
    figure,
    lettered,
    levels,
    limited,
    painted,
    present,
    query,
    stacked,
    state,
    trend,
)
from deploy.grafana.source.queries import Holdings, age
from deploy.grafana.source.rules import threshold
from deploy.grafana.source.shared import (
    BY_WORTH,
    amounts,
    available_against_the_rest,
    day_over_day,
    firing_alerts,
    shares,
)
from deploy.grafana.source.tables import Column, decimals, rows

HELD: Final = Holdings('org="$org",vault="$vault",asset=~"$asset"')
LISTED: Final = 'kraken_custody_vault_info{org="$org",vault="$vault"}'
TARGET: Final = 'kind="vault",org="$org",vault="$vault"'
MINIMUM: Final = (
    'max by (org, vault, vault_id, asset) (kraken_custody_vault_min_available_balance{org="$org",'
    'vault="$vault",asset=~"$asset"})'
)
# Includes alerts about the organization as a whole, and those about no organization, such as a refused key.
# The regular expressions are in backticks, because what Grafana escapes in them is not escaped for a PromQL string.
ALERTS: Final = 'org=~`|${org:regex}`,vault=~`|${vault:regex}`,asset=~"$asset|"'


def vault() -> build.Dashboard:
    """Return the dashboard."""
    about = (
        "The assets of one vault: how much of each there is, how much can be moved, what changes."
    )
    vaults = 'kraken_custody_target_stale{kind="vault",org="$org"}'
    held = 'kraken_custody_vault_balance{org="$org",vault="$vault"}'
    dashboard = (
        page(VAULT, TITLES[VAULT], about)
        .time("now-24h", "now")
        .with_variable(quote_asset())
        .with_variable(one_of("org", "Organization", 'kraken_custody_target_stale{kind="vault"}'))
        .with_variable(one_of("vault", "Vault", vaults))
        .with_variable(everything("asset", "Asset", held))
        .annotation(alert_marks(ALERTS))
        .link(link(TREASURY, "quote_asset", "org"))
        .link(link(APPROVALS, "org"))
        .link(link(EXPORTER, "org"))
    )
    return filled(
        dashboard,
        *_figures(),
        *_trends(),
        firing_alerts(ALERTS),
        _assets(),
        _each_asset(),
    )


def _figures() -> list[stat.Panel]:
    return [
        figure("Worth, $quote_asset", MONEY, f"sum({HELD.worth})").span(5).decimals(2),
        day_over_day(HELD).span(5),
        figure("Age", units.Seconds, f"max({age(TARGET)})")
        .span(4)
        .thresholds(levels("green", (120, "orange"), (300, "red")))
        .description(
            "Time since the balances were last read. They are withheld after polling.stale_after: by default 5 minutes "
            "or three polling intervals, whichever is longer."
        ),
        state(
            figure("State", units.Number, _state()),
            {
                0: ("failing", "orange"),
                1: ("ok", "green"),
                2: ("unknown", "red"),
            },
        )
        .span(4)
        .description(
            "failing: the last poll failed, and the last balances are still shown. unknown: they are too old, and "
            "withheld."
        ),
        figure("At Kraken", units.Number, "")
        .span(6)
        .no_value("not listed")
        .targets(lettered([present(f"max by (name, status) ({LISTED})", "{{name}}: {{status}}")]))
        .text_mode(common.BigValueTextMode.NAME)
        .description("Name and status of the vault in Kraken's list. Needs discovery."),
        *(share.span(6).height(3) for share in shares(HELD)),
    ]


def _state() -> str:
    stale = f"max(kraken_custody_target_stale{{{TARGET}}})"
    return f"2 * ({stale} == 1) or max(kraken_custody_target_up{{{TARGET}}})"


def _or_gone(amount: str, usual: str) -> str:
    """Return an amount that is 0 once its asset is missing from a complete answer, as alerts take it."""
    whole = (
        f"(kraken_custody_target_up{{{TARGET}}} == 1"
        f" unless kraken_custody_target_stale{{{TARGET}}} == 1"
        f" unless kraken_custody_target_invalid_rows{{{TARGET}}} > 0)"
    )
    return f"({amount} or 0 * {usual} and on (org, vault) {whole})"


def _trends() -> list[timeseries.Panel]:
    highest = f"({HELD.highest('balance', '1h')} > 0)"
    fall = f"1 - {_or_gone(HELD.amount('balance'), highest)} / {highest}"
    available = f"min by (org, vault, vault_id, asset) ({HELD.amount('available_balance')})"
    minimum = f"{_or_gone(available, MINIMUM)} / ({MINIMUM} > 0)"
    yesterday = f"({HELD.amount('balance')} - {HELD.amount('balance_diff')})"
    daily = f"{HELD.amount('balance_diff')} / ({yesterday} > 0)"
    return [
        stacked(
            trend(
                "Worth by asset, $quote_asset",
                MONEY,
                query(f"sum by (asset) ({HELD.worth})", "{{asset}}"),
            )
        ).span(12),
        available_against_the_rest(HELD).span(12),
        limited(
            trend(
                "Fall from the highest of the last hour",
                units.PercentUnit,
                query(fall, "{{asset}}"),
            ),
            threshold("outflow_ratio"),
        )
        .span(12)
        .min(0)
        .description(
            "Part of the balance, in units of the asset. The line is the threshold of UnexpectedOutflow, which ignores "
            "small holdings."
        ),
        limited(trend("Available over minimum", units.PercentUnit, query(minimum, "{{asset}}")), 1)
        .span(12)
        .min(0)
        .description("For assets with min_available. Below the line, AvailableBelowMinimum fires."),
        trend(
            "Staked and pledged share",
            units.PercentUnit,
            *(
                query(
                    f"{HELD.amount(f'{part}_balance')} / ({HELD.amount('balance')} > 0)",
                    f"{{{{asset}}}} {part}",
                )
                for part in ("staked", "pledged")
            ),
        )
        .span(12)
        .min(0)
        .max(1)
        .description("Part of the balance, in units of the asset: prices do not matter."),
        trend("Day over day", units.PercentUnit, query(daily, "{{asset}}"))
        .span(12)
        .description("Change of the balance since the same time yesterday, in units of the asset."),
    ]


def _assets() -> table.Panel:
    each = "by (asset, asset_class)"
    return (
        rows(
            "Assets, worth in $quote_asset",
            {"asset": "Asset", "asset_class": "Class"},
            *amounts(HELD, each),
            Column("Price", EXACT, f"max {each} ({HELD.quote('price')})", (decimals(8),)),
            Column("Worth", EXACT, f"sum {each} ({HELD.worth})", (decimals(2),)),
        )
        .span(24)
        .sort_by(BY_WORTH)
        .description("Amounts are in units of the asset.")
    )


def _each_asset() -> timeseries.Panel:
    names = {
        "Available": "available_balance",
        "On hold": "hold_balance",
        "Staked": "staked_balance",
        "Pledged": "pledged_balance",
    }
    parts = [query(HELD.amount(name), part) for part, name in names.items()]
    minimum = query(MINIMUM, "Minimum available")
    colors = {**PART_COLORS, "Minimum available": "red"}
    return (
        painted(trend("$asset", EXACT, *parts, minimum), colors)
        .span(24)
        .description("In units of the asset.")
        .repeat("asset")
        .repeat_direction("h")
        .max_per_row(3)
    )
