"""What panels look like, not what they show."""

from collections.abc import Iterable, Mapping
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders import bargauge, piechart, stat, text, timeseries
from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as prometheus_build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard, units
from grafana_foundation_sdk.models import piechart as piechart_models
from grafana_foundation_sdk.models import text as text_models

SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

MONEY: Final = units.Short
"""Worth at a glance, such as 1.25 Mil. Not one of Grafana's currencies, because the currency is a variable."""
EXACT: Final = units.LocaleFormat
"""Amounts and worth with all their digits."""

STAT_HEIGHT: Final = 4
TREND_HEIGHT: Final = 9
PART_COLORS: Final = {
    "Available": "green",
    "On hold": "orange",
    "Staked": "blue",
    "Pledged": "purple",
}

Property = dashboard.DynamicConfigValue


def levels(base: str, *steps: tuple[float, str]) -> build.ThresholdsConfig:
    """Return colours by value: `base` at the lowest, then each colour from its value on."""
    return build.ThresholdsConfig().steps(
        [
            dashboard.Threshold(None, base),
            *(dashboard.Threshold(value, color) for value, color in steps),
        ]
    )


PLAIN: Final = levels("text")


def words(meanings: Mapping[int, tuple[str, str]]) -> list[dashboard.ValueMapping]:
    """Return mappings that show values as words, each with its colour."""
    options = {
        str(value): dashboard.ValueMappingResult(text=word, color=color)
        for value, (word, color) in meanings.items()
    }
    return [dashboard.ValueMap(options=options)]


def query(expr: str, legend: str = "") -> prometheus_build.Dataquery:
    """Return a query over the time range."""
    return prometheus_build.Dataquery().expr(expr).legend_format(legend or "__auto").range()


def present(expr: str, legend: str = "") -> prometheus_build.Dataquery:
    """Return a query for the end of the time range: what is absent then is absent, not the last known value."""
    return query(expr, legend).instant()


def lettered(queries: Iterable[prometheus_build.Dataquery]) -> list[Builder[Dataquery]]:
    """Return queries with the letters that identify them in Grafana, at most 26."""
    return [query.ref_id(letter) for query, letter in zip(queries, ascii_uppercase, strict=False)]


def figure(title: str, unit: str, expr: str) -> stat.Panel:
    """Return one number."""
    return (
        stat.Panel()
        .title(title)
        .datasource(SOURCE)
        .height(STAT_HEIGHT)
        .unit(unit)
        .no_value("unknown")
        .thresholds(PLAIN)
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(look.ReduceDataOptions().calcs(["lastNotNull"]))
        .targets(lettered([present(expr)]))
    )


def state(panel: stat.Panel, meanings: Mapping[int, tuple[str, str]]) -> stat.Panel:
    """Return the number as a word on its colour."""
    return panel.mappings(words(meanings)).color_mode(common.BigValueColorMode.BACKGROUND)


def trend(title: str, unit: str, *queries: prometheus_build.Dataquery) -> timeseries.Panel:
    """Return lines over time; a gap stays a gap."""
    return (
        timeseries.Panel()
        .title(title)
        .datasource(SOURCE)
        .height(TREND_HEIGHT)
        .unit(unit)
        .line_width(1)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .tooltip(
            look.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        .legend(
            look.VizLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .targets(lettered(queries))
    )


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Return the panel as parts of a whole."""
    return panel.fill_opacity(35).stacking(look.StackingConfig().mode(common.StackingMode.NORMAL))


def limited(panel: timeseries.Panel, limit: float) -> timeseries.Panel:
    """Return the panel with a line at a threshold."""
    style = look.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(levels("transparent", (limit, "red"))).thresholds_style(style)


def painted(panel: timeseries.Panel, colors: Mapping[str, str]) -> timeseries.Panel:
    """Return the panel with a fixed colour for each series, by name."""
    for name, color in colors.items():
        fixed = dashboard.FieldColor(mode=dashboard.FieldColorModeId.FIXED, fixed_color=color)
        panel.override_by_name(name, [Property(id_val="color", value=fixed)])
    return panel


def bars(title: str, unit: str, expr: str, legend: str) -> bargauge.Panel:
    """Return present values as bars, in the order of the query."""
    return (
        bargauge.Panel()
        .title(title)
        .datasource(SOURCE)
        .height(TREND_HEIGHT)
        .unit(unit)
        .min(0)
        .thresholds(levels("blue"))
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .reduce_options(look.ReduceDataOptions().calcs(["lastNotNull"]))
        .targets(lettered([present(expr, legend)]))
    )


def donut(title: str, unit: str, expr: str, legend: str) -> piechart.Panel:
    """Return present values as shares of their sum."""
    values = [piechart_models.PieChartLegendValues.PERCENT]
    return (
        piechart.Panel()
        .title(title)
        .datasource(SOURCE)
        .height(TREND_HEIGHT)
        .unit(unit)
        .pie_type(piechart_models.PieChartType.DONUT)
        .reduce_options(look.ReduceDataOptions().calcs(["lastNotNull"]))
        .legend(
            piechart.PieChartLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.RIGHT)
            .values(values)
        )
        .targets(lettered([present(expr, legend)]))
    )


def markdown(content: str) -> text.Panel:
    """Return a text to read."""
    return (
        text.Panel()
        .mode(text_models.TextMode.MARKDOWN)
        .content(content)
        .transparent(transparent=True)
    )
