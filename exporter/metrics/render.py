"""Turns one answer, asset or state into the sample lines it stands for.

A sample line is the same in the text format and in OpenMetrics, as is what it costs: so lines are made once, when
something changes, and a scrape only copies them. Money becomes a float here and nowhere before.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from exporter.custody.models import Asset, AssetBalance, OrganizationBalance, VaultBalances
from exporter.metrics import catalog
from exporter.metrics.catalog import Metric
from exporter.targets import Target

Lines = Mapping[str, bytes]
"""Sample lines, each with its line feed, by the name of their metric."""

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

_AMOUNTS: Final = tuple((metric.name, metric.source) for metric in catalog.VAULT_AMOUNTS)
_QUOTES: Final = tuple((metric.name, metric.source) for metric in catalog.VAULT_QUOTES)


def label_set(names: Iterable[str], values: Iterable[str]) -> str:
    """Return `a="1",b="2"`, escaped as both formats want it.

    Prometheus: "Exposition formats"; OpenMetrics 1.0, "Escaping".
    """
    return ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)
    )


def _sample(metric: Metric, labels: Iterable[str], value: float) -> str:
    return f"{metric.name}{{{label_set(metric.labels, labels)}}} {value!r}\n"


class Page:
    """Lines under the names of their metrics, in the making."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def add(self, name: str, line: str) -> None:
        """Add a line that is rendered already."""
        self._lines.setdefault(name, []).append(line)

    def sample(self, metric: Metric, labels: Iterable[str], value: Decimal | float | None) -> None:
        """Add a sample, where there is a value."""
        if value is not None:
            self.add(metric.name, _sample(metric, labels, float(value)))

    def done(self) -> Lines:
        """Return all lines."""
        return {name: "".join(lines).encode() for name, lines in self._lines.items()}


def vault_lines(target: Target, answer: VaultBalances) -> Lines:
    """Return the balances of a vault: one sample for each amount that the API gave."""
    page = Page()
    vault = _names(target)
    for row in answer.rows:
        labels = f"{vault},{label_set(catalog.VAULT_LABELS[3:], (row.asset, row.asset_class))}"
        _add_amounts(page, _AMOUNTS, labels, row)
        quote = label_set(("quote_asset",), (row.quote_asset or answer.quote_asset,))
        _add_amounts(page, _QUOTES, f"{labels},{quote}", row)
    return page.done()


def _add_amounts(
    page: Page, metrics: Iterable[tuple[str, str]], labels: str, row: AssetBalance
) -> None:
    for name, field in metrics:
        amount: Decimal | None = getattr(row, field)
        if amount is not None:
            page.add(name, f"{name}{{{labels}}} {float(amount)!r}\n")


def organization_lines(target: Target, answer: OrganizationBalance) -> Lines:
    """Return an organization's total and its parts."""
    page = Page()
    labels = (target.organization, target.id, answer.quote_asset)
    page.sample(catalog.ORGANIZATION_TOTAL, labels, answer.total)
    for component in catalog.ORGANIZATION_COMPONENTS:
        amount = getattr(answer, component)
        page.sample(catalog.ORGANIZATION_COMPONENT, (*labels, component), amount)
    return page.done()


def renamed(lines: Lines, old: Target, new: Target) -> Lines:
    """Return the lines of an answer for `old` as they are for `new`, the same resource under other names."""
    # Quotes within a label value are escaped, so that only the labels themselves can look like this.
    before, after = (f"{{{_names(target)},".encode() for target in (old, new))
    return {name: text.replace(before, after) for name, text in lines.items()}


def _names(target: Target) -> str:
    """Return the labels that every sample of an answer for `target` begins with."""
    if target.kind == "vault":
        values = (target.organization, target.vault, target.id)
        return label_set(catalog.VAULT_LABELS[:3], values)
    return label_set(catalog.ORGANIZATION_TOTAL.labels[:2], (target.organization, target.id))


def threshold_lines(target: Target) -> Lines:
    """Return the configured thresholds of a vault."""
    page = Page()
    for asset, amount in target.min_available.items():
        labels = (target.organization, target.vault, target.id, asset)
        page.sample(catalog.MIN_AVAILABLE, labels, amount)
    return page.done()


def asset_lines(asset: Asset) -> Lines:
    """Return what the API tells of an asset; a missing description is an empty label, a missing number no sample."""
    page = Page()
    key = (asset.asset, asset.asset_class)
    descriptions = (_text(getattr(asset, field)) for field in catalog.ASSET_DESCRIPTIONS)
    page.sample(catalog.ASSET_INFO, (*key, *descriptions), 1)
    page.sample(catalog.ASSET_MIN_LOT, key, asset.min_lot)
    page.sample(catalog.ASSET_LAUNCH, key, asset.launch_time)
    return page.done()


def _text(description: str | int | None) -> str:
    match description:
        case None:
            return ""
        case bool(flag):
            return "true" if flag else "false"
    return str(description)


def count_series(lines: Lines) -> int:
    """Return how many samples `lines` hold: a line feed within a label value is escaped, so each ends one."""
    return sum(text.count(b"\n") for text in lines.values())
