"""`make docs`: writes the tables in docs/ that are generated from the code."""

import re
from pathlib import Path
from typing import Final

from exporter.flags import flag_parser
from exporter.metrics import catalog
from exporter.metrics.catalog import Metric

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"

GROUPS: Final = (
    ("Vaults", (*catalog.VAULT_AMOUNTS, *catalog.VAULT_QUOTES, catalog.MIN_AVAILABLE)),
    ("Organizations", (catalog.ORGANIZATION_TOTAL, catalog.ORGANIZATION_COMPONENT)),
    ("Assets, once for each that is held anywhere", catalog.ASSETS),
    ("Targets: the API resources that are polled", catalog.TARGETS),
    ("API client and rate limit", catalog.API),
    ("Exporter", catalog.EXPORTER),
)


def metric_tables() -> str:
    """Return a table of metrics for each group."""
    return "\n".join(_table(title, metrics) for title, metrics in GROUPS)


def _table(title: str, metrics: tuple[Metric, ...]) -> str:
    rows = [
        f"| `{metric.name}` | {metric.type} | {_labels(metric)} | {metric.unit} | {_source(metric)} |"
        for metric in metrics
    ]
    head = "| metric | type | labels | unit | source |\n| --- | --- | --- | --- | --- |"
    return "\n".join([f"**{title}**", "", head, *rows, ""])


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels)


def _source(metric: Metric) -> str:
    is_field = metric in catalog.BALANCES or metric in (catalog.ASSET_MIN_LOT, catalog.ASSET_LAUNCH)
    return f"`{metric.source}`" if is_field else metric.source


def flag_table() -> str:
    """Return a table of the flags, as `--help` has them."""
    rows = ["| flag | default | meaning |", "| --- | --- | --- |"]
    for action in flag_parser()._actions:
        if action.dest == "help":
            continue
        value = str(action.metavar or "\\|".join(action.choices or ()))
        default = "" if action.default in (None, False) else f"`{action.default}`"
        meaning = re.sub(r" \(default: .*\)", "", action.help or "")
        if action.dest == "config_file":
            default = "`config.yaml`"
        rows.append(
            f"| `{' '.join(filter(None, (action.option_strings[0], value)))}` | {default} | {meaning} |"
        )
    return "\n".join(rows) + "\n"


GENERATED: Final = (
    (DOCS / "configuration.md", "flags", flag_table),
    (DOCS / "metrics.md", "metrics", metric_tables),
)
"""For each generated table: its file, its name in the file's comments, and what writes it."""


def with_table(text: str, name: str, table: str) -> str:
    """Return `text` with the generated `table` called `name` in place of the one it has.

    Raises ValueError if `text` does not have exactly one place for it.
    """
    begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- {name} end -->"
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    return f"{head}{begin}\n{table}{end}{tail}"


def main() -> None:
    """Write all generated tables."""
    for file, name, table in GENERATED:
        text = file.read_text(encoding="utf-8")
        file.write_text(with_table(text, name, table()), encoding="utf-8")


if __name__ == "__main__":
    main()
