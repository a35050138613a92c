"""How prices, amounts and holds move, and when vaults come and go: pure functions of a seed and a time.

Times may be requested in any order, so two runs of the demo with the same seed agree.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b
from struct import unpack

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# (amplitude, period in seconds). Together they fall by at most 1.3 % in any hour, so that alerts on
# a falling balance stay quiet while nothing is wrong.
_SWINGS = ((0.040, 7 * DAY), (0.015, 31 * HOUR), (0.004, 5.3 * HOUR), (0.0015, 47 * MINUTE))

_HOLD_PERIOD = 15 * MINUTE
_HOLD_GAP = 0.5 * MINUTE  # without it two holds could join and seem never to clear


@dataclass(frozen=True, slots=True)
class Wander:
    """A smooth, bounded, endless walk around 1.

    `scale` is the part of the full swing (about 6 % to either side) that is taken, from 0 to 1.
    """

    phases: tuple[float, ...]
    scale: float

    @classmethod
    def seeded(cls, key: str, scale: float) -> "Wander":
        """Return the walk for `key`; equal keys give equal walks."""
        return cls(tuple(math.tau * chance for chance in _chances(key)), scale)

    def at(self, now: float) -> float:
        """Return the factor at `now` (Unix seconds)."""
        return 1 + self.scale * sum(
            amplitude * math.sin(math.tau * now / period + phase)
            for (amplitude, period), phase in zip(_SWINGS, self.phases, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Holds:
    """Withdrawals that wait for approval: each holds a part of the spot balance for 2 to 9 minutes.

    `chance` is the probability, from 0 to 1, of one hold in each quarter of an hour.
    """

    key: str
    chance: float

    def at(self, now: float) -> float:
        """Return the part of the spot balance (0 to 0.12) that is on hold at `now` (Unix seconds)."""
        quarter, elapsed = divmod(now, _HOLD_PERIOD)
        happens, lasting, beginning, size = _chances(f"{self.key}/{quarter:.0f}")
        lasts = (2 + 7 * lasting) * MINUTE
        begins = _HOLD_GAP + (_HOLD_PERIOD - _HOLD_GAP - lasts) * beginning
        holding = happens < self.chance and begins <= elapsed < begins + lasts
        return 0.01 + 0.11 * size if holding else 0.0


@dataclass(frozen=True, slots=True)
class Season:
    """A part of each period, such as ten minutes of each hour: from `begins` to `ends`, in seconds of it."""

    period: float
    begins: float
    ends: float

    def at(self, now: float) -> bool:
        """Return whether it is this season at `now` (Unix seconds)."""
        return self.begins <= now % self.period < self.ends


def _chances(key: str) -> tuple[float, ...]:
    # four numbers from 0 to 1; a hash, since seeding a Random takes most of a row's time
    digest = blake2b(key.encode(), digest_size=32).digest()
    return tuple(number / 2**64 for number in unpack("<4Q", digest))
