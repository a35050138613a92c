"""The dashboard for treasury: what is held where, what it is worth, and how much of it can be moved."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

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
    page,
    quote_asset,
    vault_url,
)
from deploy.grafana.source.panels import (
    EXACT,
    MONEY,
    bars,
    donut,
    figure,
    levels,
    query,
    stacked,
    trend,
    words,
)
from deploy.grafana.source.queries import (
    Holdings,
    age,
    blank,
    change,
    new_and_gone,
    none_is_zero,
    organizations,
)
from deploy.grafana.source.shared import (
    BY_WORTH,
    LAST_POLL,
    amounts,
    available_against_the_rest,
    day_over_day,
    firing_alerts,
    firing_number,
    shares,
)
from deploy.grafana.source.tables import Column, decimals, linked, rows, shown_as, signed

HELD: Final = Holdings('org=~"$org",vault=~"$vault",asset=~"$asset"')
OWNERS: Final = 'org=~"$org"'
TARGETS: Final = 'org=~"$org",vault=~"$vault|"'
ALL_VAULTS: Final = 'kind="vault",org=~"$org"'
VAULTS: Final = 'kind="vault",org=~"$org",vault=~"$vault"'
ALERTS: Final = 'org=~"$org|",vault=~"$vault|",asset=~"$asset|"'

LEDGER: Final = 'org=~"$org",vault=~"$vault",asset=~"$asset"'

LARGEST: Final = 12
"""How many assets or vaults are shown by name; more would be clutter."""


def treasury() -> build.Dashboard:
    """Return the dashboard."""
    about = "What is held in Kraken custody, what it is worth, and how much of it can be moved."
    held = 'kraken_custody_vault_balance{org=~"$org",vault=~"$vault"}'
    vaults = 'kraken_custody_target_stale{kind="vault",org=~"$org"}'
    dashboard = (
        page(TREASURY, TITLES[TREASURY], about)
        .time("now-24h", "now")
        .with_variable(quote_asset())
        .with_variable(everything("org", "Organization", "kraken_custody_target_stale"))
        .with_variable(everything("vault", "Vault", vaults))
        .with_variable(everything("asset", "Asset", held))
        .annotation(alert_marks(ALERTS))
        .link(link(VAULT, "quote_asset"))
        .link(link(APPROVALS, "org"))
        .link(link(EXPORTER, "org"))
    )
    return filled(
        dashboard,
        *_figures(),
        *(share.span(6).height(3) for share in shares(HELD)),
        *_trends(),
        firing_alerts(ALERTS),
        _vaults(),
        _new_and_gone(),
        _assets(),
        _ledger(),
    )


def _figures() -> list[stat.Panel]:
    worth = f"sum({organizations(OWNERS)})"
    return [
        figure("Worth of the organizations, $quote_asset", MONEY, worth)
        .span(5)
        .decimals(2)
        .description("Totals as Kraken states them, of all vaults and assets, selected or not."),
        figure("Change within the time range", units.PercentUnit, change(OWNERS))
        .span(4)
        .decimals(2)
        .description("Change of the worth of the organizations, by prices and by transfers."),
        figure("Worth of the selection, $quote_asset", MONEY, f"sum({HELD.worth})")
        .span(5)
        .decimals(2)
        .description(
            "Worth of the selected vaults and assets, without those that have no price or whose balances are unknown."
        ),
        day_over_day(HELD).span(4),
        figure("Unknown balances", units.Number, none_is_zero(f"count({blank(TARGETS)})"))
        .span(3)
        .thresholds(levels("green", (1, "red")))
        .description(
            "Organizations and vaults that have not been read yet, or not for so long that their balances are withheld."
        ),
        firing_number(ALERTS).span(3),
    ]


def _trends() -> list[Builder[model.Panel]]:
    by_organization = f"sum by (org) ({organizations(OWNERS)})"
    by_asset = f"sum by (asset) ({HELD.worth})"
    by_vault = f"sort_desc(topk({LARGEST}, sum by (org, vault) ({HELD.worth})))"
    largest = f"topk({LARGEST}, {by_asset})"
    rest = f'label_replace(sum({HELD.worth}) - sum({largest}) > 0, "asset", "others", "", "")'
    return [
        stacked(
            trend("Worth by organization, $quote_asset", MONEY, query(by_organization, "{{org}}"))
        ).span(12),
        stacked(trend("Worth by asset, $quote_asset", MONEY, query(by_asset, "{{asset}}"))).span(
            12
        ),
        donut("Share by asset", MONEY, f"{largest} or {rest}", "{{asset}}").span(8),
        bars("Largest vaults, $quote_asset", MONEY, by_vault, "{{org}} / {{vault}}").span(8),
        available_against_the_rest(HELD).span(8),
    ]


def _vaults() -> table.Panel:
    each = "by (org, vault)"
    worth = f"sum {each} ({HELD.worth})"
    parts = [
        Column(part, units.PercentUnit, f"sum {each} ({expr}) / {worth}", (decimals(1),))
        for part, expr in HELD.parts.items()
    ]
    flows = f"sum {each} ({HELD.flows})"
    listed = 'kraken_custody_vault_info{org=~"$org",vault=~"$vault"}'
    return (
        rows(
            "Vaults, worth in $quote_asset",
            {"org": "Organization", "vault": "Vault", "name": "Name", "status": "Status"},
            Column("", units.Number, f"max by (org, vault, name, status) ({listed})"),
            Column("Worth", EXACT, worth, (decimals(2),)),
            *parts,
            Column("Day over day", EXACT, flows, (decimals(2), *signed())),
            Column("Age", units.Seconds, f"max {each} ({age(VAULTS)})"),
            Column(
                "Last poll",
                units.Number,
                f"min {each} (kraken_custody_target_up{{{VAULTS}}})",
                LAST_POLL,
            ),
        )
        .span(24)
        .sort_by(BY_WORTH)
        .description("Name and status are Kraken's, with discovery. Click a vault to open it.")
        .override_by_name("Vault", [linked("Open the vault", vault_url("quote_asset"))])
    )


def _new_and_gone() -> table.Panel:
    change = shown_as(words({0: ("gone", "red"), 1: ("new", "green")}))
    return (
        rows(
            "New and gone vaults",
            {"org": "Organization", "vault": "Vault", "id": "Id"},
            Column("Change", units.Number, new_and_gone(ALL_VAULTS), change),
        )
        .span(24)
        .height(7)
        .no_value("No vault is new or gone.")
        .description(
            "Compared with the start of the time range. gone: removed from the configuration or from Kraken's list."
        )
    )


def _assets() -> table.Panel:
    each = "by (asset, asset_class)"
    worth = f"sum {each} ({HELD.worth})"
    share = f"{worth} / scalar(sum({HELD.worth}))"
    return (
        rows(
            "Assets, worth in $quote_asset",
            {"asset": "Asset", "asset_class": "Class"},
            *amounts(HELD, each),
            Column("Price", EXACT, f"max {each} ({HELD.quote('price')})", (decimals(8),)),
            Column("Worth", EXACT, worth, (decimals(2),)),
            Column("Share", units.PercentUnit, share, (decimals(1),)),
        )
        .span(24)
        .sort_by(BY_WORTH)
        .description("Amounts are in units of the asset, summed over the selected vaults.")
    )


def _ledger() -> table.Panel:
    labels = {"org": "Organization", "vault": "Vault", "asset": "Asset"}
    recorded = "kraken_custody:vault_balance:ledger"
    missing = f"max by ({', '.join(labels)}) ({recorded}_missing{{missing%s,{LEDGER}}})"
    return (
        rows(
            "Differences from the ledger",
            labels,
            Column("Balance less ledger", EXACT, f"{recorded}_difference{{{LEDGER}}} != 0"),
            Column("Only in the vault", EXACT, missing % '="ledger"'),
            Column("Only in the ledger", EXACT, missing % '!="ledger"'),
        )
        .span(24)
        .no_value(
            "No difference, or no ledger: export it as ledger_balance, see deploy/prometheus/README.md."
        )
        .description(
            "In units of the asset, recorded by the rules of deploy/prometheus. LedgerMismatch fires if they last."
        )
    )
