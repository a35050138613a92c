"""The workflows: pinned, with minimal rights, and accepted by strict tools."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.programs import optional_program
from tools.release import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    # In YAML 1.1, `on` is true.
    workflow: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return workflow


def jobs() -> list[Any]:
    return [
        pytest.param(job, id=f"{path.stem}-{name}")
        for path in WORKFLOWS
        for name, job in load(path)["jobs"].items()
    ]


def test_there_is_a_workflow_for_ci_and_one_for_releases() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "release"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_only_the_rights_that_its_jobs_ask_for(path: Path) -> None:
    assert load(path)["permissions"] == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it(path: Path) -> None:
    uses = re.findall(r"uses: (.+)", path.read_text("utf-8"))
    assert uses
    pinned = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [use for use in uses if not pinned.fullmatch(use)] == []


def test_the_same_action_has_the_same_commit_everywhere() -> None:
    uses = {use for path in WORKFLOWS for use in re.findall(r"uses: (.+)", path.read_text("utf-8"))}
    assert len({use.partition("@")[0] for use in uses}) == len(uses)


@pytest.mark.parametrize("job", jobs())
def test_a_job_ends_and_keeps_no_credentials(job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 30
    checkouts = [step for step in job["steps"] if "actions/checkout@" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("job", jobs())
def test_text_that_others_chose_reaches_a_shell_only_as_a_variable(job: dict[str, Any]) -> None:
    assert [step["run"] for step in job["steps"] if "${{" in step.get("run", "")] == []


def test_both_test_on_every_python_that_the_package_is_for() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    pythons = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert pythons
    for path in WORKFLOWS:
        assert load(path)["jobs"]["test"]["strategy"]["matrix"]["python"] == pythons


def test_only_what_publishes_may_write_or_prove_who_it_is() -> None:
    may = {
        name: {right for right, level in job["permissions"].items() if level == "write"}
        for name, job in load(ROOT / ".github" / "workflows" / "release.yml")["jobs"].items()
    }
    assert may == {
        "build": set(),
        "test": set(),
        "image": {"packages"},
        "publish-image": {"packages", "id-token"},
        "publish-package": {"id-token"},
        "publish-release": {"contents"},
    }


def test_nothing_is_published_that_was_not_tested() -> None:
    jobs = load(ROOT / ".github" / "workflows" / "release.yml")["jobs"]

    def needed(name: str) -> set[str]:
        needs = jobs[name].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*map(needed, direct))

    for name in jobs:
        if name.startswith("publish-"):
            assert {"build", "test", "image"} <= needed(name)


def test_actionlint_finds_nothing() -> None:
    how = "go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
    run(optional_program("actionlint", how=how), "-no-color", *WORKFLOWS)


def test_zizmor_finds_nothing() -> None:
    zizmor = optional_program("zizmor", how="pipx install zizmor")
    run(zizmor, "--quiet", "--offline", "--persona=pedantic", ROOT / ".github")


@pytest.mark.parametrize("script", [".ci/run", ".ci/try-image"])
def test_shellcheck_finds_nothing(script: str) -> None:
    run(optional_program("shellcheck", how="apt-get install shellcheck"), ROOT / script)


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
