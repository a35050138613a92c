"""Whether a connection may carry another request, as arithmetic over a given `now` (monotonic seconds)."""

import math
from typing import Final

from msgspec import Struct

LONGEST_AGE_SECONDS: Final = 60.0
"""Bounds how long a changed DNS record is ignored."""
LONGEST_IDLE_SECONDS: Final = 5.0
"""Many servers and proxies close idle connections after this time, and a request sent at that moment is lost."""
DISTRUST_SECONDS: Final = 3600.0


class Trust(Struct, eq=False):
    """Whether connections of a credential are kept alive: not for an hour after a second find within an hour.

    A find is an unrequested answer on a connection. found_at: when the last one was.
    """

    found_at: float = -math.inf
    kept_from: float = -math.inf

    def found(self, now: float) -> None:
        """Record a find."""
        if now - self.found_at < DISTRUST_SECONDS:
            self.kept_from = now + DISTRUST_SECONDS
        self.found_at = now

    def keeps(self, now: float) -> bool:
        """Whether connections are kept alive."""
        return now >= self.kept_from


def idle_seconds(made_at: float, status: int, now: float) -> float:
    """Return the seconds that a connection made at `made_at` is kept after a response with `status`; 0: not at all."""
    if status >= 500:
        # The address may no longer serve this name.
        return 0.0
    return max(0.0, min(LONGEST_IDLE_SECONDS, made_at + LONGEST_AGE_SECONDS - now))
