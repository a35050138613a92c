"""What the Prometheus rules say: a panel turns red where its alert fires."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

_THRESHOLDS: Final = Path(__file__).parents[2] / "prometheus" / "rules" / "thresholds.yaml"


def threshold(name: str) -> float:
    """Return the threshold in `thresholds.yaml` that applies to every vault; raises KeyError if there is none."""
    expression = _recorded()[f"kraken_custody:threshold:{name}"]
    constant = re.fullmatch(r"vector\((.+)\)", expression)
    if constant is None:
        raise ValueError(f"{name} is not a number: {expression}")
    return float(constant[1])


def _recorded() -> dict[str, str]:
    groups: list[dict[str, Any]] = yaml.safe_load(_THRESHOLDS.read_text("utf-8"))["groups"]
    return {
        rule["record"]: rule["expr"]
        for group in groups
        for rule in group["rules"]
        if "labels" not in rule
    }
