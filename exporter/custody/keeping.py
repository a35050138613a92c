"""Whether a connection may carry another request, as arithmetic over a given `now` (monotonic seconds)."""

import math
from dataclasses import dataclass
from typing import Final

LONGEST_AGE_SECONDS: Final = 60.0
"""A name that has moved to another address is followed after that time."""
LONGEST_IDLE_SECONDS: Final = 5.0
"""Many servers and proxies close an idle connection after that time, and a request that crosses the closing is lost."""
DISTRUST_SECONDS: Final = 3600.0


@dataclass(slots=True, eq=False)
class Trust:
    """Whether the connections of a credential are kept at all: not for an hour after a second find within an hour.

    A find is an answer that no request on its connection asked for. found_at: the last one.
    """

    found_at: float = -math.inf
    kept_from: float = -math.inf

    def found(self, now: float) -> None:
        """Take note of a find."""
        if now - self.found_at < DISTRUST_SECONDS:
            self.kept_from = now + DISTRUST_SECONDS
        self.found_at = now

    def keeps(self, now: float) -> bool:
        """Whether connections are kept."""
        return now >= self.kept_from


def idle_seconds(made_at: float, status: int, now: float) -> float:
    """Return how long a connection made at `made_at` may wait for a request after an answer with `status`; 0: not."""
    if status >= 500:
        # Perhaps the address no longer serves this name.
        return 0.0
    return max(0.0, min(LONGEST_IDLE_SECONDS, made_at + LONGEST_AGE_SECONDS - now))
