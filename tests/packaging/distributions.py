"""The wheel and the sdist, built from this directory as a release builds them, but without an isolated environment."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def build(source: Path, directory: Path, *targets: str) -> Path:
    """Build `source` with hatchling into `directory`, and return that."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(directory)]
    for target in targets:
        command += ["--target", target]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def release(directory: Path) -> Path:
    """Return the directory with the distributions: DISTRIBUTIONS in the environment, or built into `directory`."""
    if given := os.environ.get("DISTRIBUTIONS"):
        return Path(given)
    return build(ROOT, directory)


def only(directory: Path, pattern: str) -> Path:
    """Return the only file in a directory whose name matches the pattern."""
    (found,) = directory.glob(pattern)
    return found


def unpacked(sdist: Path, directory: Path) -> Path:
    """Unpack an sdist into `directory` and return where its files are."""
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    return only(directory, "kraken_custody_exporter-*")
