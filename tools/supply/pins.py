"""The packages that are shipped: `deploy/requirements.txt` pins a version of each, and the hashes of its files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from packaging.utils import NormalizedName, canonicalize_name

ROOT: Final = Path(__file__).parent.parent.parent
PINS: Final = ROOT / "deploy" / "requirements.txt"

ENTRY: Final = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ]+)(?: ; [^\\\n]+)?(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)


def pinned(text: str) -> Mapping[NormalizedName, str]:
    """Return the version of each package; raises ValueError if `text` contains anything but pins with hashes."""
    entries = list(ENTRY.finditer(text))
    if "".join(entry[0] for entry in entries) != text:
        raise ValueError("contains something other than NAME==VERSION with sha256 hashes")
    return {canonicalize_name(entry["name"]): entry["version"] for entry in entries}
