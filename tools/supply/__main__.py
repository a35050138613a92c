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
    """Print what is known of licences and vulnerabilities; 1 where something is wrong, or could not be checked."""
    wrong = unfit(json.loads(SBOM.read_text("utf-8")))
    print("## Licences\n")
    print("\n".join(f"unfit: {name}: {text}" for name, text in wrong.items()) or "all are fit")
    print("\n## Known vulnerabilities\n")
    known = look_up(arguments)
    print(known)
    return int(bool(wrong) or not known.is_good)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
