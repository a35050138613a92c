"""Known vulnerabilities of the pinned packages, from pip-audit. A failed look-up counts as a failure.

pip-audit itself succeeds without findings if it found advisories for no package at all.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tools.supply.pins import PINS

PIP_AUDIT: Final = (
    *(sys.executable, "-m", "pip_audit", "--progress-spinner=off", "--format=json"),
    *("--disable-pip", "--require-hashes", "--requirement", str(PINS)),
)
NO_ADVISORIES: Final = "this package index has no advisories; use another source: ARGS='-s osv'"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a look-up.

    vulnerable: a line for each vulnerability.
    unchecked: names of packages that could not be looked up.
    problem: why none could, empty otherwise.
    """

    vulnerable: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether every package was looked up and none is vulnerable."""
        return not (self.vulnerable or self.unchecked or self.problem)

    def __str__(self) -> str:
        """Format it for people, one finding a line."""
        lines = [f"vulnerable: {line}" for line in self.vulnerable]
        if self.unchecked:
            names = ", ".join(self.unchecked)
            lines.append(f"could not be checked: {names}: {NO_ADVISORIES}")
        if self.problem:
            lines.append(f"could not be checked: {self.problem}")
        return "\n".join(lines or ["no package has a known vulnerability"])


def look_up(arguments: Sequence[str] = (), command: Sequence[str] = PIP_AUDIT) -> Finding:
    """Look up advisories for the pinned packages. arguments: additional ones for pip-audit, such as `-s osv`."""
    done = subprocess.run(
        [*command, *arguments],
        check=False,
        text=True,
        capture_output=True,
    )
    try:
        return finding(json.loads(done.stdout))
    except ValueError:
        said = done.stderr.strip().splitlines()
        return Finding(problem=said[-1] if said else f"pip-audit ended with {done.returncode}")


def finding(report: dict[str, Any]) -> Finding:
    """Read pip-audit's report."""
    packages = report["dependencies"]
    if not packages:
        return Finding(problem="pip-audit looked at no package at all")
    return Finding(
        vulnerable=tuple(
            f"{package['name']} {package['version']}: {flaw['id']}, fixed in "
            f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
            for package in packages
            for flaw in package.get("vulns", ())
        ),
        unchecked=tuple(package["name"] for package in packages if "skip_reason" in package),
    )
