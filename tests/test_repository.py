"""Files of the repository for a forge and git: forms, automatic updates, checks before a commit."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.json_schemas import problems
from tools.chart import CHART
from tools.docs import ROOT

FORGE = ROOT / ".github"
FORMS = ("bug", "idea", "live-api")


def load(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return read


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-issue-forms", [FORGE / "ISSUE_TEMPLATE" / f"{name}.yml" for name in FORMS]),
        ("github-issue-config", [FORGE / "ISSUE_TEMPLATE" / "config.yml"]),
        ("dependabot", [FORGE / "dependabot.yml"]),
    ],
)
def test_the_forge_can_read_its_files(schema: str, paths: list[Path]) -> None:
    assert problems(schema, paths) == ""


def test_there_is_a_form_for_each_kind_of_issue() -> None:
    found = {path.stem for path in (FORGE / "ISSUE_TEMPLATE").glob("*.yml")}
    assert found == {*FORMS, "config"}


@pytest.mark.parametrize("name", ["bug", "live-api"])
def test_a_form_asks_for_the_shape_report_and_never_for_a_secret(name: str) -> None:
    form = load(FORGE / "ISSUE_TEMPLATE" / f"{name}.yml")
    (shape,) = [field for field in form["body"] if field.get("id") == "shape"]
    assert "--probe" in str(form)
    assert "no value, name, id or amount" in shape["attributes"]["description"]
    assert "Never paste a key, a secret or a one-time password" in str(form["body"][0])


def test_every_address_of_the_repository_is_the_one_of_the_package() -> None:
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["metadata"]
    address = hooks["hooks"]["custom"]["repository"]
    text = "".join(
        path.read_text("utf-8")
        for path in (*FORGE.rglob("*.*"), CHART / "Chart.yaml")
        if path.suffix in {".md", ".yml", ".yaml"}
    )
    named = set(re.findall(r"https://github\.com/[\w.-]*exporter[\w.-]*/[\w.-]+", text))
    assert named == {address}


def test_what_is_checked_before_a_commit_is_what_make_check_checks() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"] for hook in repository["hooks"]]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = makefile.partition("\ncheck:")[2].partition("\n\n")[0].splitlines()[1:]
    checks = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe]
    assert checks
    assert entries[: len(checks)] == checks


def test_everything_that_is_pinned_is_updated() -> None:
    updates = load(FORGE / "dependabot.yml")["updates"]
    watched = {
        (update["package-ecosystem"], directory)
        for update in updates
        for directory in update.get("directories", [update.get("directory")])
    }
    pinned = {
        ("pip", f"/{path.parent.relative_to(ROOT)}".removesuffix("."))
        for path in (*ROOT.glob("requirements*.txt"), *(ROOT / "deploy").glob("requirements*.txt"))
    }
    assert pinned
    assert watched == {
        *pinned,
        ("gomod", "/tests/bench/peer"),
        ("docker", "/"),
        ("docker-compose", "/deploy/compose"),
        ("github-actions", "/"),
    }
