"""The shipped dashboards as Grafana reads them, and their queries."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.deploy.rules import DEPLOY

GRAFANA: Final = DEPLOY / "grafana"
PATHS: Final = sorted(GRAFANA.glob("dashboards/*.json")) + sorted(GRAFANA.glob("runbooks/*.json"))
DASHBOARDS: Final[dict[str, dict[str, Any]]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in PATHS
}
OVERVIEWS: Final = ("treasury", "vault", "approvals", "exporter")

VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?::(\w+))?\}|(\w+))")


@dataclass(frozen=True)
class Question:
    """The query of a panel: for now, or over the time range."""

    dashboard: str
    panel: str
    expr: str
    legend: str = ""
    present: bool = False
    repeated: str = ""

    def __str__(self) -> str:
        return f"{self.dashboard}-{self.panel}-{self.legend}"


def panels(name: str) -> list[dict[str, Any]]:
    """Return the panels of a dashboard."""
    found: list[dict[str, Any]] = DASHBOARDS[name]["panels"]
    return found


def variables(name: str) -> dict[str, dict[str, Any]]:
    """Return the variables of a dashboard, by name."""
    return {variable["name"]: variable for variable in DASHBOARDS[name]["templating"]["list"]}


def questions(name: str) -> Iterator[Question]:
    """Yield the queries of a dashboard: of its panels and annotations."""
    for panel in panels(name):
        for target in panel.get("targets", ()):
            yield Question(
                name,
                panel["title"],
                target["expr"],
                target["legendFormat"],
                present=target["instant"],
                repeated=panel.get("repeat", ""),
            )
    for marks in DASHBOARDS[name].get("annotations", {}).get("list", ()):
        yield Question(name, marks["name"], marks["target"]["expr"])


def asked_values(variable: Mapping[str, Any]) -> tuple[str, str]:
    """Return the selector and the label of a variable's values."""
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert asked
    return asked[1], asked[2]


def substituted(text: str, values: Mapping[str, str | list[str]]) -> str:
    """Return a query as Grafana sends it: one value as it is, several as a regular expression.

    Grafana: "Prometheus template variables", "Advanced variable format options".
    """

    def value(match: re.Match[str]) -> str:
        name, form = match[1] or match[3], match[2]
        chosen = values[name]
        if form == "regex":
            assert isinstance(chosen, str)
            return re.sub(r"([\\^$*+?.()|\[\]{}/])", r"\\\1", chosen)
        if isinstance(chosen, str):
            return chosen
        # Once for the regular expression, once for the PromQL string around it.
        each = [re.sub(r"([$^*{}\[\]'+?.()|])", r"\\\\\1", one) for one in chosen]
        return each[0] if len(each) == 1 else f"({'|'.join(each)})"

    return VARIABLE.sub(value, text)


def text_of(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text("utf-8")
