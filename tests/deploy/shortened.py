"""The files of deploy/ with every duration divided by sixty, so that an hour's story takes a minute.

All durations shrink alike, so their order stays the same. The plain number of seconds in
`target:refresh_interval_min6h` is left as it is: it only delays an alert.
"""

import re
from typing import Final

FACTOR: Final = 60
MILLISECONDS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# Not the windows in names such as `max1h`: a word boundary must precede the number.
DURATION: Final = re.compile(r"\b(\d+)(ms|[smhd])\b")


def shortened(text: str) -> str:
    """Return a configuration or rule file with its durations in milliseconds, divided by FACTOR and rounded up."""
    return DURATION.sub(
        lambda found: f"{-(-int(found[1]) * MILLISECONDS[found[2]] // FACTOR)}ms", text
    )
