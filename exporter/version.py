"""Which revision of the source is running, as far as that can be told."""

import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parent


def revision() -> str:
    """Return the short commit: what the build wrote to `exporter/REVISION`, else that of the checkout, else unknown."""
    recorded = _PACKAGE / "REVISION"
    if recorded.is_file():
        return recorded.read_text(encoding="ascii").strip() or "unknown"
    # Only where the package lies in its own checkout: an environment may lie in somebody else's.
    if not (_PACKAGE.parent / ".git").exists():
        return "unknown"
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            ["git", "-C", str(_PACKAGE.parent), "rev-parse", "--short", "HEAD"],  # noqa: S607 - wherever PATH has it
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() or "unknown"
