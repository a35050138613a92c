"""What surrounds the panels: variables, links between dashboards, alert annotations, and the JSON."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as prometheus_build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.source.panels import SOURCE
from deploy.grafana.source.queries import firing

TREASURY: Final = "kraken-custody-treasury"
VAULT: Final = "kraken-custody-vault"
APPROVALS: Final = "kraken-custody-approvals"
EXPORTER: Final = "kraken-custody-exporter"

TITLES: Final = {
    TREASURY: "Custody: treasury",
    VAULT: "Custody: vault",
    APPROVALS: "Custody: approvals",
    EXPORTER: "Custody: exporter",
}

RANGE: Final = "${__url_time_range}"


def page(uid: str, title: str, about: str) -> build.Dashboard:
    """Return a dashboard with only a variable for its data source."""
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["kraken-custody"])
        .timezone("browser")
        .refresh("1m")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            build.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )


def one_of(label: str, title: str, metric: str) -> build.QueryVariable:
    """Return a variable for one value of a label."""
    question = f"label_values({metric}, {label})"
    return (
        build.QueryVariable(label)
        .label(title)
        .datasource(SOURCE)
        .query({"qryType": 1, "query": question, "refId": "values"})
        .definition(question)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def any_of(label: str, title: str, metric: str) -> build.QueryVariable:
    """Return a variable for any number of values of a label, by default all."""
    return (
        one_of(label, title, metric)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def everything(label: str, title: str, metric: str) -> build.QueryVariable:
    """Return `any_of` whose "all" does not list every value: with thousands a query would be too long.

    It also matches series without the label, such as those of an organization, which have no vault.
    """
    return any_of(label, title, metric).all_value(".*")


def quote_asset() -> build.QueryVariable:
    """Return the variable for the currency in which worth is shown."""
    metrics = '{__name__=~"kraken_custody_(vault|organization)_quote_balance"}'
    return one_of("quote_asset", "Quote asset", metrics)


def link(uid: str, *carried: str) -> build.DashboardLink:
    """Return a link to a dashboard that keeps the time range and the variables that mean the same there."""
    variables = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", *carried))
    return (
        build.DashboardLink(TITLES[uid])
        .type(model.DashboardLinkType.LINK)
        .icon("dashboard")
        .url(f"/d/{uid}?{variables}")
        .keep_time(keep_time=True)
    )


def vault_url(*carried: str) -> str:
    """Return the address of the vault in a row with the columns Organization and Vault."""
    variables = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", *carried))
    row = "&".join(
        f'var-{name}=${{__data.fields["{head}"]:percentencode}}'
        for name, head in (("org", "Organization"), ("vault", "Vault"))
    )
    return f"/d/{VAULT}?{variables}&{row}&{RANGE}"


RUNBOOK_URL: Final = '/d/${__data.fields["Alert"]:percentencode}?${datasource:queryparam}&' + RANGE
"""Address of the runbook of the alert in a row: a dashboard whose uid is the alert's name."""


def alert_marks(where: str) -> build.AnnotationQuery:
    """Return annotations that mark in all trends when alerts fire."""
    return (
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(enable=True)
        .icon_color("red")
        .target(prometheus_build.Dataquery().expr(firing(where)).ref_id("alerts"))
        .title_format("{{alertname}}")
        .text_format("{{org}} {{vault}} {{asset}}")
        .tag_keys("severity")
    )


def filled(dashboard: build.Dashboard, *panels: Builder[model.Panel]) -> build.Dashboard:
    """Return the dashboard with panels, from left to right and top to bottom."""
    for panel in panels:
        dashboard.with_panel(panel)
    return dashboard


def written(builder: build.Dashboard) -> str:
    """Return a dashboard as JSON, its panels numbered from the top so that links to one of them stay valid."""
    built = builder.build()
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False).encode(built) + "\n"
