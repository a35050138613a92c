"""Turns one answer, asset or state into the sample lines it stands for.

A sample line is the same in the text format and in OpenMetrics, as is what it costs: so lines are made once, when
something changes, and a scrape only copies them. Money becomes a float here and nowhere before.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter

from exporter.custody.models import (
    ROWS_AT_ONCE,
    Asset,
    AssetBalance,
    OrganizationBalance,
    VaultBalances,
)
from exporter.metrics import catalog
from exporter.metrics.catalog import Metric
from exporter.targets import Target
from exporter.turns import Steps, at_once

Lines = Mapping[str, bytes]
"""Sample lines, each with its line feed, by the name of their metric."""


# Polls ask for the same few again and again: what is held where hardly changes.
@lru_cache(maxsize=4096)
def label_set(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return `a="1",b="2"`, escaped as both formats want it.

    Prometheus: "Exposition formats"; OpenMetrics 1.0, "Escaping".
    """
    return ",".join(
        [f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)]
    )


def _escaped(value: str) -> str:
    # Three searches for what hardly ever stands there: str.translate looks up each character that is not ASCII.
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _sample(metric: Metric, labels: tuple[str, ...], value: float) -> str:
    return f"{metric.name}{{{label_set(metric.labels, labels)}}} {value!r}\n"


class Page:
    """Lines under the names of their metrics, in the making."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def sample(
        self, metric: Metric, labels: tuple[str, ...], value: Decimal | float | None
    ) -> None:
        """Add a sample, where there is a value."""
        if value is not None:
            line = _sample(metric, labels, float(value))
            self._lines.setdefault(metric.name, []).append(line)

    def done(self) -> Lines:
        """Return all lines."""
        return {name: "".join(lines).encode() for name, lines in self._lines.items()}


def vault_lines(target: Target, answer: VaultBalances) -> Lines:
    """Return the balances of a vault: one sample for each amount that the API gave."""
    return at_once(vault_line_steps(target, answer))


def vault_line_steps(target: Target, answer: VaultBalances) -> Steps[Lines]:
    """Return the same as `vault_lines`, with a stop after every ROWS_AT_ONCE rows."""
    pieces: dict[str, list[bytes]] = {}
    for start in range(0, len(answer.rows), ROWS_AT_ONCE):
        if start:
            yield
        lines = _some_lines(target, answer.rows[start : start + ROWS_AT_ONCE], answer.quote_asset)
        for name, text in lines.items():
            pieces.setdefault(name, []).append(text)
    # In the order of the catalog, whichever row is the first to have one.
    return {
        metric.name: b"".join(pieces[metric.name])
        for metric in (*catalog.VAULT_AMOUNTS, *catalog.VAULT_QUOTES)
        if metric.name in pieces
    }


def _some_lines(target: Target, rows: Sequence[AssetBalance], quote_asset: str) -> Lines:
    vault = _names(target)
    assets = [label_set(catalog.VAULT_LABELS[3:], (row.asset, row.asset_class)) for row in rows]
    quotes = [label_set(("quote_asset",), (row.quote_asset or quote_asset,)) for row in rows]
    of_amounts = [f"{vault},{asset}" for asset in assets]
    of_quotes = [f"{vault},{asset},{quote}" for asset, quote in zip(assets, quotes, strict=True)]
    return {
        **_row_lines(catalog.VAULT_AMOUNTS, of_amounts, rows),
        **_row_lines(catalog.VAULT_QUOTES, of_quotes, rows),
    }


def _row_lines(
    metrics: Iterable[Metric], label_sets: Sequence[str], rows: Sequence[AssetBalance]
) -> Lines:
    """Return the samples of `metrics`, for each row in turn, whose labels are at its place in `label_sets`."""
    pages: dict[str, bytes] = {}
    for metric in metrics:
        amounts = map(attrgetter(metric.source), rows)
        lines = [
            f"{metric.name}{{{labels}}} {float(amount)!r}\n"
            for labels, amount in zip(label_sets, amounts, strict=True)
            if amount is not None
        ]
        if lines:
            pages[metric.name] = "".join(lines).encode()
    return pages


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
