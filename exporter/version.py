"""The revision of the source that is running, if it is known."""

import subprocess
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent


@cache
def revision(package: Path = _PACKAGE) -> str:
    """Return the short commit: what a build or an archive recorded in `exporter/REVISION`, else that of the checkout.

    A checkout with changes that are not committed adds `-dirty`. "unknown" if there is neither. Looked up once, because
    a process keeps running what it has loaded.
    """
    recorded = (package / "REVISION").read_text(encoding="ascii").strip()
    # In a checkout the file has the placeholder that `git archive` replaces.
    if recorded and not recorded.startswith("$"):
        return recorded
    # Only if the package is in its own checkout: an environment may be inside another project's.
    if not (package.parent / ".git").exists():
        return "unknown"
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            [
                *("git", "-C", str(package.parent)),
                *("describe", "--always", "--dirty", "--exclude=*"),
            ],
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() or "unknown"
