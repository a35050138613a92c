"""The Dockerfile: its lines, and the image that buildah makes of it if the machine has buildah."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
LINES: Final = (REPOSITORY / "Dockerfile").read_text("utf-8").splitlines()

BASE: Final = "localhost/python-of-this-machine"
IMAGE: Final = "localhost/kraken-custody-exporter"
MOUNTED: Final = tuple(
    path
    for path in (
        *("/usr", "/etc/ssl", "/etc/pip.conf", sys.base_prefix),
        os.environ.get("PIP_FIND_LINKS", "/usr"),
    )
    if Path(path).exists()
)
"""What the base image takes from this machine without a copy: Python, a shell, and pip's way to packages."""


class Buildah:
    """Images and containers in their own directory, removed with it. Processes in them run on this machine."""

    def __init__(self, store: Path) -> None:
        self._command = ("buildah", "--root", str(store / "root"), "--runroot", str(store / "run"))
        self._volumes = [f"--volume={path}:{path}:ro" for path in dict.fromkeys(MOUNTED)]

    def command(self, *arguments: str | Path) -> list[str]:
        return [*self._command, *map(str, arguments)]

    def do(self, *arguments: str | Path) -> str:
        """Return what a command prints; fail with its whole output if it fails."""
        done = _quietly(self.command(*arguments))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def build(self, *arguments: str | Path) -> None:
        # A Dockerfile's HEALTHCHECK is kept in this format only.
        self.do(
            "build", "--layers", "--isolation=chroot", "--format=docker", *self._volumes, *arguments
        )

    def run(self, container: str, *arguments: str, **environ: str) -> list[str]:
        """Return the command that runs another one in a container, as the image's user and in its directory."""
        variables = [f"--env={name}={value}" for name, value in environ.items()]
        isolated = ("run", "--isolation=chroot", *variables, *self._volumes)
        return self.command(*isolated, container, "--", *arguments)

    def make_base(self, directory: Path) -> None:
        """Make BASE, in which everything except a few links is mounted."""
        for name in ("bin", "sbin", "lib", "lib64"):
            Path(directory, name).symlink_to(f"usr/{name}")
        Path(directory, "tmp").mkdir()
        container = self.do("from", "scratch")
        self.do("copy", "--quiet", container, directory, "/")
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        for name, value in {**pip, "PATH": f"{sys.base_prefix}/bin:/usr/bin"}.items():
            self.do("config", f"--env={name}={value}", container)
        self.do("commit", "--quiet", container, BASE)
        checked = _quietly(self.run(container, "/bin/sh", "-c", "python --version"))
        if checked.returncode:
            pytest.skip(f"buildah can run nothing on this machine: {checked.stderr}")

    def configuration(self) -> dict[str, Any]:
        """Return Docker's configuration of IMAGE."""
        inspected = json.loads(self.do("inspect", "--type=image", IMAGE))
        configuration: dict[str, Any] = inspected["Docker"]["config"]
        return configuration


@contextmanager
def buildah(directory: Path) -> Iterator[Buildah]:
    """Yield a Buildah; skip the test if the machine has none."""
    if not shutil.which("buildah"):
        pytest.skip("buildah is not installed: apt-get install buildah")
    tool = Buildah(directory)
    yield tool
    tool.do("rm", "--all")
    tool.do("rmi", "--all", "--force")


def _quietly(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
