"""The promises of docs/stability.md, recorded so that a test detects a change that breaks one.

`python -m tools.stable` writes it to tests/stable/VERSION/ when that version is released.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from exporter import __version__
from exporter.cli import CONFIG_EXAMPLE
from exporter.flags import flag_parser
from tests.deploy.rules import rules
from tools.docs import ROOT, all_metrics

STABLE: Final = ROOT / "tests" / "stable"
SCHEMA: Final = ROOT / "exporter" / "web" / "static" / "targets.schema.json"
WEB_CONFIG_EXAMPLE: Final = ROOT / "deploy" / "web-config.example.yml"

_LOG_EVENT: Final = re.compile(r'log\.(?:debug|info|warning|error|exception)\(\s*"([a-z_]+)"')

Promises = Mapping[str, Mapping[str, Any]]
"""By kind, the names of stable things and what is promised of them."""


def promises() -> Promises:
    """Return the current promises."""
    return {
        "metrics": {
            metric.name: {"type": metric.type, "labels": list(metric.labels)}
            for metric in all_metrics()
        },
        "flags": {
            action.option_strings[-1]: {"has a value": action.nargs != 0}
            for action in flag_parser()._actions
        },
        "log events": {event: {} for event in log_events()},
        "JSON": members(json.loads(SCHEMA.read_text("utf-8"))),
        "alerts": {
            rule["alert"]: {"severity": rule["labels"]["severity"]}
            for rule in rules()
            if "alert" in rule
        },
        "thresholds": {
            rule["record"]: {}
            for rule in rules()
            if rule.get("record", "").startswith("kraken_custody:threshold:")
        },
    }


def log_events() -> set[str]:
    """Return the names of all events that the exporter logs."""
    sources = (ROOT / "exporter").rglob("*.py")
    return {event for path in sources for event in _LOG_EVENT.findall(path.read_text("utf-8"))}


def members(schema: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """Return the members of each object of a JSON schema, by `object.member`, and whether each is always there."""
    return {
        f"{name}.{member}": {"is always there": member in kind.get("required", ())}
        for name, kind in schema["$defs"].items()
        for member in kind.get("properties", ())
    }


def broken(before: Promises, now: Promises) -> Iterator[str]:
    """Yield each promise of `before` that is not kept `now`. Labels may be added only to metrics called `…_info`."""
    for kind, things in before.items():
        for name, promised in things.items():
            kept = now[kind].get(name)
            if kept is None:
                yield f"{kind}: {name} is gone"
                continue
            for what, value in promised.items():
                may_grow = what == "labels" and name.endswith("_info")
                is_kept = set(value) <= set(kept[what]) if may_grow else value == kept[what]
                if not is_kept:
                    yield f"{kind}: {name}: {what} was {value}, is {kept[what]}"


def write(directory: Path) -> None:
    """Write the promises, and example files that must stay accepted, for a released version."""
    directory.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({kind: dict(things) for kind, things in promises().items()}, width=120)
    (directory / "promises.yaml").write_text(text, "utf-8")
    for example in (CONFIG_EXAMPLE, WEB_CONFIG_EXAMPLE):
        shutil.copy(str(example), directory)


if __name__ == "__main__":
    write(STABLE / __version__)
