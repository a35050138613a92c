"""The contents of the wheel and the sdist: every file that belongs there, and metadata that is right everywhere."""

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from exporter import __version__
from exporter.version import revision
from tests.packaging.distributions import ROOT, build, only, release, unpacked
from tests.programs import program
from tests.test_docs import links
from tools.build_hooks import absolute_links

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REPOSITORY = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
NAME = f"kraken_custody_exporter-{__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel and an sdist."""
    return release(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(built: Path) -> dict[str, bytes]:
    """The files of the wheel."""
    with zipfile.ZipFile(only(built, "*.whl")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> Message:
    return email.message_from_bytes(wheel[f"{NAME}.dist-info/METADATA"])


def tracked() -> set[str]:
    """Return the files that git tracks or would track; for an sdist, which has no git, all of its files."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout: which files belong here, only git knows")
    command = [program("git", package="git"), "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    # A link to a folder counts as the files in it.
    files = [file for path in paths for file in (path.iterdir() if path.is_dir() else [path])]
    return {str(file.relative_to(ROOT)) for file in files if file.exists()}


def test_the_wheel_has_the_package_its_licence_and_its_manual_page(
    wheel: dict[str, bytes],
) -> None:
    assert set(wheel) == {
        *(name for name in tracked() if name.startswith("exporter/")),
        f"{NAME}.data/data/share/man/man1/kraken-custody-exporter.1",
        *(f"{NAME}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
        *(f"{NAME}.dist-info/{name}" for name in ("entry_points.txt", "licenses/LICENSE")),
    }


def test_the_wheel_knows_its_revision_and_its_command(wheel: dict[str, bytes]) -> None:
    assert wheel["exporter/REVISION"].decode() == f"{revision()}\n"
    entry_points = wheel[f"{NAME}.dist-info/entry_points.txt"].decode()
    assert "kraken-custody-exporter = exporter.__main__:main" in entry_points.splitlines()


def test_the_sdist_has_every_file_of_the_repository(built: Path) -> None:
    with tarfile.open(only(built, "*.tar.gz")) as archive:
        names = {member.name.removeprefix(f"{NAME}/") for member in archive if not member.isdir()}
    assert names == tracked() | {"PKG-INFO"}


def test_the_wheel_of_the_sdist_is_that_of_the_checkout(
    built: Path, wheel: dict[str, bytes], tmp_path: Path
) -> None:
    source = unpacked(only(built, "*.tar.gz"), tmp_path / "source")
    again = build(source, tmp_path / "again", "wheel")
    with zipfile.ZipFile(only(again, "*.whl")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == wheel


def test_the_sdist_can_run_its_tests(built: Path, tmp_path: Path) -> None:
    """Runs those that read the most files around the package."""
    source = unpacked(only(built, "*.tar.gz"), tmp_path)
    tests = ["tests/test_docs.py", "tests/test_version.py", "tests/config/test_example.py"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_metadata_names_licence_authors_and_python_versions(metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "The kraken-custody-exporter authors"
    prefix = "Programming Language :: Python :: 3."
    pythons = [
        int(text.removeprefix(prefix))
        for text in metadata.get_all("Classifier", ())
        if text.startswith(prefix)
    ]
    assert metadata["Requires-Python"] == f">=3.{pythons[0]}"
    assert pythons == list(range(11, 15))


def test_users_see_no_extra_for_developers(metadata: Message) -> None:
    extras = PROJECT["project"].get("optional-dependencies", {})
    assert set(metadata.get_all("Provides-Extra", ())) == set(extras)
    assert not {"dev", "test", "lint"} & set(extras)


def test_every_address_begins_with_that_of_the_repository(metadata: Message) -> None:
    addresses = dict(line.split(", ") for line in metadata.get_all("Project-URL", ()))
    assert addresses.keys() == {"Changelog", "Documentation", "Issues", "Repository"}
    assert all(address.startswith(REPOSITORY) for address in addresses.values())


def test_links_and_pictures_of_the_long_description_lead_to_the_files_of_its_version(
    metadata: Message,
) -> None:
    page = str(metadata.get_payload())
    assert {link for link in links(page) if not link.startswith("#")} == set()
    readme = (ROOT / "README.md").read_text("utf-8")
    for link in links(readme):
        if not link.startswith("#"):
            assert f"{REPOSITORY}/blob/v{__version__}/{link})" in page or link.endswith(".png")
    (picture,) = re.findall(r"!\[[^]]+\]\((\S+)\)", page)
    assert picture == f"{REPOSITORY}/raw/v{__version__}/.github/images/status.png"


@pytest.mark.parametrize(
    ("link", "made"),
    [
        ("[text](docs/http.md)", "[text](https://x.test/blob/v1/docs/http.md)"),
        ("[text](docs/http.md#paths)", "[text](https://x.test/blob/v1/docs/http.md#paths)"),
        ("[`code`](LICENSE)", "[`code`](https://x.test/blob/v1/LICENSE)"),
        ("![a picture](a.png)", "![a picture](https://x.test/raw/v1/a.png)"),
        ("[here](#metrics)", "[here](#metrics)"),
        ("[there](https://y.test/a)", "[there](https://y.test/a)"),
        ("[mail](mailto:a@y.test)", "[mail](mailto:a@y.test)"),
        ("vault[0](x)", "vault[0](https://x.test/blob/v1/x)"),
        ("f(x) and [brackets]", "f(x) and [brackets]"),
    ],
)
def test_only_relative_links_are_made_absolute(link: str, made: str) -> None:
    assert absolute_links(link, "https://x.test", "1") == made
