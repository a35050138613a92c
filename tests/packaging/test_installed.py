"""The wheel and the sdist as users install them: away from the checkout, on each Python of this machine.

Dependencies come from the package index that uv is set up to use; without one, all of this is skipped.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from uv import find_uv_bin

from exporter import __version__
from exporter.cli import CONFIG_EXAMPLE
from exporter.version import revision
from tests.packaging.distributions import ROOT, only, release
from tests.waiting import until

OLDEST: Final = 11
PYTHONS: Final = range(OLDEST, 15)


def uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run uv, without this environment's Python paths."""
    command = [find_uv_bin(), "--quiet", "--no-progress", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def python(minor: int) -> str:
    """Return a Python 3 with this minor version, or skip the test."""
    if sys.version_info.minor == minor:
        return sys.executable
    # pyenv has commands for versions that must be selected first.
    environ = os.environ | {"PYENV_VERSION": f"3.{minor}"}
    if found := shutil.which(f"python3.{minor}"):
        asked = subprocess.run(
            [found, "-c", "import sys; print(sys.executable)"],
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        if asked.returncode == 0:
            return asked.stdout.strip()
    pytest.skip(f"there is no python3.{minor} here")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip if no package index can be reached."""
    probe = tmp_path_factory.mktemp("probe")
    asked = uv("pip", "install", "--dry-run", "--no-deps", "--target", probe, "hatchling")
    if asked.returncode:
        pytest.skip(f"no package index can be reached: {asked.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def built(index: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - skips
    """A directory with a wheel and an sdist."""
    return release(tmp_path_factory.mktemp("built"))


def install(file: Path, minor: int, directory: Path, *options: str) -> Path:
    """Install a distribution into a new environment in `directory`, and return its directory of programs."""
    environment = directory / "environment"
    assert uv("venv", "--python", python(minor), environment).returncode == 0
    done = uv("pip", "install", "--python", environment, *options, file)
    assert done.returncode == 0, done.stderr
    checked = uv("pip", "check", "--python", environment)
    assert checked.returncode == 0, checked.stderr
    return environment / "bin"


@contextmanager
def running(programs: Path, directory: Path) -> Iterator[httpx.Client]:
    """Run the demo, yield a client of it, and expect a clean stop."""
    log = directory / "log"
    command = (programs / "kraken-custody-exporter", "--demo", "--web.listen-address=127.0.0.1:0")
    with log.open("w") as stderr:
        process = subprocess.Popen(command, cwd=directory, env={}, stderr=stderr)
    try:
        # None of it was compiled yet.
        started = until(lambda: re.search(r"event=started .*page=(\S+)", log.read_text()), 120)
        page = started[1]
        with httpx.Client(base_url=page, trust_env=False, verify=False) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()


def check_commands(programs: Path, directory: Path) -> None:
    """Use what takes no running exporter of an installed package: the command, and its manual page."""

    def printed(*arguments: str) -> str:
        command = [str(programs / "kraken-custody-exporter"), *arguments]
        done = subprocess.run(
            command, cwd=directory, env={}, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert printed("--version").startswith(
        f"kraken-custody-exporter {__version__} (revision {revision()}, Python 3."
    )
    assert printed("--config.example") == CONFIG_EXAMPLE.read_text("utf-8")
    assert (programs.parent / "share/man/man1/kraken-custody-exporter.1").is_file()


def check(programs: Path, directory: Path) -> None:
    """Use an installed package: its commands, and as a running exporter all files that it reads from the package."""
    check_commands(programs, directory)
    package = ROOT / "exporter"
    runbook = min((package / "runbooks").glob("*.md")).stem
    with running(programs, directory) as client:
        for path in ("/", "/help", "/api/v1/targets", f"/runbooks/{runbook}"):
            assert client.get(path).status_code == 200, path
        for file in (package / "web" / "static").iterdir():
            assert client.get(f"/static/{file.name}").content == file.read_bytes()
        metrics = until(
            lambda: (
                page
                if "kraken_custody_vault_balance{" in (page := client.get("/metrics").text)
                else None
            )
        )
    assert f'version="{__version__}"' in metrics


@pytest.mark.parametrize("minor", PYTHONS)
def test_the_wheel_works_with_the_newest_of_everything(
    built: Path, minor: int, tmp_path: Path
) -> None:
    check(install(only(built, "*.whl"), minor, tmp_path), tmp_path)


def test_the_wheel_works_with_the_oldest_of_everything_that_is_allowed(
    built: Path, tmp_path: Path
) -> None:
    """On the oldest Python only, because newer ones need newer packages."""
    lowest = "--resolution=lowest-direct"
    check(install(only(built, "*.whl"), OLDEST, tmp_path, lowest), tmp_path)


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("minor", PYTHONS)
def test_all_that_is_pinned_has_wheels_for_what_images_are_made_for(
    minor: int, architecture: str, tmp_path: Path
) -> None:
    done = uv(
        *("pip", "install", "--dry-run", "--target", tmp_path),
        *("--no-deps", "--require-hashes", "--only-binary=:all:"),
        *("--requirement", ROOT / "deploy" / "requirements.txt"),
        *("--requirement", ROOT / "deploy" / "requirements-build.txt"),
        *(f"--python-version=3.{minor}", f"--python-platform={architecture}-manylinux_2_28"),
    )
    assert done.returncode == 0, done.stderr


def test_the_sdist_can_be_installed(built: Path, tmp_path: Path) -> None:
    """What is installed then is the wheel that is tried above: test_contents compares both."""
    programs = install(only(built, "*.tar.gz"), sys.version_info.minor, tmp_path)
    check_commands(programs, tmp_path)
