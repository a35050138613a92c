"""Generates files from the Helm chart: the table of its values and, by `make chart`, the kustomize base and components.

Base and components are committed, so that kustomize needs no Helm. Digests of their sources show without Helm whether
they are out of date.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "deploy" / "helm" / "kraken-custody-exporter"
VALUES: Final = CHART / "values.yaml"
BASE: Final = ROOT / "deploy" / "kubernetes" / "base"
BASE_VALUES: Final = BASE.parent / "values.yaml"
COMPONENTS: Final = (BASE.parent / "pair", BASE.parent / "shards")
"""Components that an overlay may add to the base, each with its own values in addition to those of the base."""
DIGESTS: Final = BASE / "chart.sha256"

_HEAD: Final = (
    "# Made from deploy/helm by `make chart`: edit the chart, or the values in deploy/kubernetes.\n"
)
_LONGEST_DEFAULT: Final = 70
# Labels of a release do not belong in a base.
_OF_A_RELEASE: Final = re.compile(
    r"^ *(?:helm\.sh/chart|app\.kubernetes\.io/(?:instance|version|managed-by)): .*\n", re.MULTILINE
)
_KEY: Final = re.compile(r"( *)([A-Za-z]+):")


def render(*arguments: str) -> str:
    """Return the output of `helm template`. Raises CalledProcessError with Helm's message."""
    helm = shutil.which("helm")
    if helm is None:
        raise FileNotFoundError(
            "helm is not on PATH; see the development section of the chart's README"
        )
    command = [helm, "template", "kraken-custody-exporter", str(CHART), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def base() -> dict[Path, str]:
    """Return the content of each generated file of base and components, by path."""
    made = {DIGESTS: digests()}
    common = _resources("--values", str(BASE_VALUES))
    made |= {BASE / name: text for name, text in common.items()}
    for component in COMPONENTS:
        own = _resources("--values", str(BASE_VALUES), "--values", str(component / "values.yaml"))
        made |= {component / name: text for name, text in own.items() if text != common.get(name)}
    return made


def _resources(*arguments: str) -> dict[str, str]:
    """Return the resources of the chart by file name."""
    made = {}
    for document in render(*arguments).split("---\n"):
        if kind := re.search(r"^kind: (\w+)$", document, re.MULTILINE):
            text = re.sub(r"^# Source: .*\n", _HEAD, document.strip() + "\n")
            made[f"{kind[1].lower()}.yaml"] = _OF_A_RELEASE.sub("", text)
    return made


def digests() -> str:
    """Return the digests of the sources of the base, in the format of sha256sum."""
    values = [BASE_VALUES, *(component / "values.yaml" for component in COMPONENTS)]
    sources = [CHART / "Chart.yaml", VALUES, *sorted((CHART / "templates").iterdir()), *values]
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}\n"
        for path in sources
    )


def values_table() -> str:
    """Return a table of the chart's values: those with a comment, and single ones without."""
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, default, comment in values():
        shown = json.dumps(default)
        shown = f"`{shown}`" if len(shown) <= _LONGEST_DEFAULT else "see `values.yaml`"
        lines.append(f"| `{path}` | {shown} | {comment} |")
    return "\n".join(lines) + "\n"


def values() -> Iterator[tuple[str, object, str]]:
    """Yield the path of each value, its default, and the comment before it that begins with `--`."""
    defaults, comment, inside = (
        yaml.safe_load(VALUES.read_text("utf-8")),
        "",
        list[tuple[int, str]](),
    )
    told: str | None = None
    for line in VALUES.read_text("utf-8").splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment = f"{comment} {text.removeprefix('#').removeprefix(' --').strip()}".strip()
        elif key := _KEY.match(line):
            inside = [(indent, name) for indent, name in inside if indent < len(key[1])]
            inside.append((len(key[1]), key[2]))
            path = ".".join(name for _, name in inside)
            # A comment covers everything within its value.
            if told is None or not path.startswith(f"{told}."):
                default = _at(defaults, path)
                if comment or not _has_more(default):
                    yield path, default, comment
                    told = path
            comment = ""


def _at(defaults: Mapping[str, Any], path: str) -> object:
    *outer, last = path.split(".")
    for name in outer:
        defaults = defaults[name]
    return defaults[last]


def _has_more(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value)


if __name__ == "__main__":
    try:
        for file, content in base().items():
            file.write_text(content, "utf-8")
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        sys.exit(str(getattr(error, "stderr", None) or error))
