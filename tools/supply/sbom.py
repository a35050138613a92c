"""The bill of materials of the shipped packages: CycloneDX, reproducible, without URLs."""

import json
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from exporter import __version__
from tools.supply.pins import PINS, ROOT

SBOM: Final = ROOT / "deploy" / "sbom.cdx.json"


def make() -> str:
    """Install only the pinned packages into a new environment; return its bill of materials."""
    with TemporaryDirectory() as directory:
        venv.create(directory, with_pip=False)
        python = str(Path(directory) / "bin" / "python")
        _run(
            "pip",
            *("--python", python, "--quiet", "--disable-pip-version-check", "install"),
            *("--require-hashes", "--only-binary=:all:", "--requirement", str(PINS)),
        )
        written = _run(
            "cyclonedx_py",
            *("environment", "--output-reproducible", "--spec-version=1.6"),
            *("--pyproject", str(ROOT / "pyproject.toml"), python),
        )
    return tidied(json.loads(written))


def tidied(bom: dict[str, Any]) -> str:
    """Format a bill of materials without the packages' URLs."""
    metadata = bom["metadata"]
    metadata["component"]["version"] = __version__
    for component in (*bom["components"], *metadata["tools"]["components"]):
        component.pop("externalReferences", None)
    return json.dumps(bom, indent=1, sort_keys=True) + "\n"


def _run(module: str, *arguments: str) -> str:
    command = (sys.executable, "-m", module, *arguments)
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
