"""`make audit` and `make sbom`."""

import json
import sys
from collections.abc import Sequence

from tools.supply.licences import unfit
from tools.supply.sbom import SBOM, make
from tools.supply.vulnerabilities import look_up


def main(task: str, *arguments: str) -> int:
    """Do the task and return the exit status."""
    if task == "sbom":
        SBOM.write_text(make(), "utf-8")
        return 0
    return audit(arguments)


def audit(arguments: Sequence[str]) -> int:
    """Print licences and vulnerabilities; return 1 if something is wrong or could not be checked."""
    wrong = unfit(json.loads(SBOM.read_text("utf-8")))
    print("## Licences\n")
    print(
        "\n".join(f"not allowed: {name}: {text}" for name, text in wrong.items())
        or "all are allowed"
    )
    print("\n## Known vulnerabilities\n")
    known = look_up(arguments)
    print(known)
    return int(bool(wrong) or not known.is_good)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
