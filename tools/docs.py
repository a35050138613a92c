"""`make docs`: writes the generated parts of docs/: tables and the manual page."""

import re
from pathlib import Path
from typing import Final

from exporter import resources
from exporter.flags import flag_parser
from exporter.metrics import catalog
from exporter.metrics.metric import Group, Metric
from exporter.state.lines import TARGETS
from tools.chart import CHART, values_table
from tools.man import MAN_PAGE, man_page

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"


def groups() -> list[Group]:
    """Return all metrics of the exporter."""
    return [*resources.groups(), TARGETS, catalog.API, catalog.EXPORTER]


def all_metrics() -> list[Metric]:
    """Return all metrics of the exporter, without their groups."""
    return [metric for group in groups() for metric in group.metrics]


def metric_tables() -> str:
    """Return a table of metrics for each group."""
    return "\n".join(_table(title, metrics) for title, metrics in groups())


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
    return f"`{metric.source}`" if metric.is_field else metric.source


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
    (CHART / "README.md", "values", values_table),
)
"""For each generated table: its file, its name in the file's comments, and its function."""


def with_table(text: str, name: str, table: str) -> str:
    """Return `text` with the generated `table` called `name` in place of the one it has.

    Raises ValueError if `text` does not have exactly one place for it.
    """
    begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- {name} end -->"
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    return f"{head}{begin}\n{table}{end}{tail}"


def main() -> None:
    """Write all generated tables and the manual page."""
    for file, name, table in GENERATED:
        text = file.read_text(encoding="utf-8")
        file.write_text(with_table(text, name, table()), encoding="utf-8")
    MAN_PAGE.write_text(man_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
