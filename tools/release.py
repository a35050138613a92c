"""Helpers of the release workflow: checks that a tag matches the version, and prints its release notes."""

import re
import sys
from pathlib import Path
from typing import Final

import yaml

from exporter import __version__

ROOT: Final = Path(__file__).parent.parent
CHANGELOG: Final = ROOT / "CHANGELOG.md"
CHART: Final = ROOT / "deploy" / "helm" / "kraken-custody-exporter" / "Chart.yaml"


class ReleaseError(Exception):
    """Something about the release is inconsistent; the message says what, and where to fix it."""


def check(tag: str) -> None:
    """Raise ReleaseError unless `tag`, such as v0.2.0, is that of the package, of the chart and of release notes."""
    chart = yaml.safe_load(CHART.read_text("utf-8"))
    versions = {
        "exporter/__init__.py": __version__,
        f"{CHART.relative_to(ROOT)}: version": chart["version"],
        f"{CHART.relative_to(ROOT)}: appVersion": chart["appVersion"],
    }
    for place, version in versions.items():
        if tag != f"v{version}":
            raise ReleaseError(f"the tag is {tag}, but {place} is {version}")
    notes(CHANGELOG.read_text("utf-8"), tag)


def notes(changelog: str, tag: str) -> str:
    """Return the notes of the version of `tag` from a changelog in the format of keepachangelog.com.

    Raises ReleaseError if it has no section for that version, or an empty one.
    """
    version = re.escape(tag.removeprefix("v"))
    section = re.search(
        rf"^## \[{version}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)",
        changelog,
        re.DOTALL | re.MULTILINE,
    )
    text = section[1].strip() if section else ""
    if not text:
        raise ReleaseError(
            f"{CHANGELOG.name} says nothing under ## [{tag.removeprefix('v')}] - YYYY-MM-DD"
        )
    return f"{text}\n"


def main(task: str, tag: str) -> int:
    """Check the tag, or print its notes; return the exit status."""
    try:
        if task == "check":
            check(tag)
        else:
            print(notes(CHANGELOG.read_text("utf-8"), tag), end="")
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
