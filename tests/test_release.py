"""A release is made from a tag that fits the package, the chart and the changelog."""

import re
from pathlib import Path

import pytest

from exporter import __version__
from tools import release
from tools.release import CHANGELOG, ReleaseError, check, main, notes

TEXT = """\
# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

### Added

- Much.

## [0.1.10] - 2026-11-30

## [0.1.0] - 2026-11-21

First.
"""


@pytest.mark.parametrize(
    ("tag", "said"), [("v0.2.0", "### Added\n\n- Much.\n"), ("v0.1.0", "First.\n")]
)
def test_the_notes_are_what_the_changelog_says_of_a_version(tag: str, said: str) -> None:
    assert notes(TEXT, tag) == said


@pytest.mark.parametrize("tag", ["v0.1.10", "v0.1", "v0x2x0", "v0.3.0", "vUnreleased"])
def test_a_version_without_notes_is_not_released(tag: str) -> None:
    with pytest.raises(ReleaseError, match=r"CHANGELOG.md says nothing under ## \["):
        notes(TEXT, tag)


def test_the_changelog_has_sections_in_order_and_the_version_of_the_package() -> None:
    text = CHANGELOG.read_text("utf-8")
    found = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    versions = [tuple(map(int, name.split("."))) for name in found if name != "Unreleased"]
    assert found[0] == "Unreleased"
    assert versions == sorted(versions, reverse=True)
    assert __version__ in found


def test_this_version_can_be_released() -> None:
    check(f"v{__version__}")


def test_another_tag_is_refused_with_the_place_that_differs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main("check", "v9.9.9") == 1
    assert capsys.readouterr().err == (
        f"the tag is v9.9.9, but exporter/__init__.py is {__version__}\n"
    )


def test_a_chart_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = tmp_path / "Chart.yaml"
    chart.write_text(f'version: {__version__}\nappVersion: "0.0.1"\n')
    monkeypatch.setattr(release, "CHART", chart)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    assert main("check", f"v{__version__}") == 1
    assert capsys.readouterr().err == (
        f"the tag is v{__version__}, but Chart.yaml: appVersion is 0.0.1\n"
    )


def test_the_notes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("notes", "v0.1.0") == 0
    assert capsys.readouterr().out == notes(CHANGELOG.read_text("utf-8"), "v0.1.0")
