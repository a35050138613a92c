"""What the Prometheus rules say: a panel turns red where its alert fires, and knows an error by the same words."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

_RULES: Final = Path(__file__).parents[2] / "prometheus" / "rules"


def threshold(name: str) -> float:
    """Return the threshold of `thresholds.yaml` that holds for every vault; KeyError where there is none."""
    expression = _recorded("thresholds.yaml")[f"kraken_custody:threshold:{name}"]
    constant = re.fullmatch(r"vector\((.+)\)", expression)
    if constant is None:
        raise ValueError(f"{name} is not a number: {expression}")
    return float(constant[1])


def recorded(name: str) -> str:
    """Return the expression of a rule in `recording.yaml`, for dashboards that also work without it."""
    return _recorded("recording.yaml")[name]


def _recorded(file: str) -> dict[str, str]:
    groups: list[dict[str, Any]] = yaml.safe_load((_RULES / file).read_text("utf-8"))["groups"]
    return {
        rule["record"]: rule["expr"]
        for group in groups
        for rule in group["rules"]
        if "labels" not in rule
    }
