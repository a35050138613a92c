"""The revision that is reported: what the build recorded, else that of the checkout, else none."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from exporter.version import revision as revision_of
from tests.programs import program
from tools.supply.pins import ROOT

PLACEHOLDER = "$Format:%h$\n"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An empty package directory in which the revision is looked up."""
    directory = tmp_path / "exporter"
    directory.mkdir()
    (directory / "REVISION").write_text(PLACEHOLDER)
    return directory


def commit(directory: Path) -> str:
    """Create a repository with one commit, and return its short hash."""
    git = program("git", package="git")
    who = (
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@example.com",
        "-c",
        "commit.gpgsign=false",
    )
    for arguments in (
        ("init", "--quiet"),
        (*who, "commit", "--quiet", "--allow-empty", "--message", "one"),
    ):
        subprocess.run([git, *arguments], cwd=directory, check=True)
    command = [git, "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return found.stdout.strip()


def test_what_the_build_wrote_down_comes_first(package: Path) -> None:
    commit(package.parent)
    (package / "REVISION").write_text("0123abc\n")
    assert revision_of(package) == "0123abc"


def test_in_a_checkout_it_is_the_commit(package: Path) -> None:
    assert commit(package.parent) == revision_of(package)


def test_changes_that_are_not_committed_show(package: Path) -> None:
    revision = commit(package.parent)
    git = program("git", package="git")
    subprocess.run([git, "-C", package.parent, "add", "."], check=True)
    assert revision_of(package) == f"{revision}-dirty"


def test_an_archive_that_git_makes_knows_its_commit(package: Path) -> None:
    repository = package.parent
    (repository / ".gitattributes").write_text((ROOT / ".gitattributes").read_text())
    commit(repository)
    git = program("git", package="git")
    subprocess.run([git, "-C", repository, "add", "."], check=True)
    revision = commit(repository)
    archive = subprocess.run(
        [git, "-C", repository, "archive", "HEAD", "exporter/REVISION"],
        check=True,
        capture_output=True,
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        recorded = files.extractfile("exporter/REVISION")
        assert recorded is not None
        (package / "REVISION").write_bytes(recorded.read())
    shutil.rmtree(repository / ".git")
    assert revision_of(package) == revision


def test_another_repository_around_the_package_is_ignored(package: Path) -> None:
    commit(package.parent.parent)
    assert revision_of(package) == "unknown"


def test_an_empty_record_gives_no_revision(package: Path) -> None:
    (package / "REVISION").write_text("\n")
    assert revision_of(package) == "unknown"


def test_a_repository_without_a_commit_gives_no_revision(package: Path) -> None:
    git = program("git", package="git")
    subprocess.run([git, "-C", package.parent, "init", "--quiet"], check=True)
    assert revision_of(package) == "unknown"


def test_without_git_a_checkout_gives_no_revision(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(package.parent)
    monkeypatch.setenv("PATH", str(package))
    assert revision_of(package) == "unknown"
