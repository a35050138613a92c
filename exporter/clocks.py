"""Compares the machine's clocks, to detect that it slept or that its wall clock was set.

Balances age by a clock that continues while the machine sleeps. That is not enough if the machine does not know that it
was stopped, such as one restored from a snapshot: only its wall clock shows that, once it has been corrected.
"""

import time
from typing import Final, NamedTuple

STEP_SECONDS: Final = 60.0
"""How far the wall clock may gain on the others before that counts as set; NTP's corrections are smaller."""
SLEEP_SECONDS: Final = 1.0
"""A shorter sleep delays polls no more than the rounds of the loop do."""
BELIEVED_AFTER_TIMEOUTS: Final = 3
"""How long targets have to be read again, in units of `api.timeout`, before balances age by a clock that was set."""

_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Return monotonic seconds including the machine's sleep, if the system has such a clock."""
    return time.clock_gettime(_BOOTTIME)


class Moment(NamedTuple):
    """One look at all clocks.

    monotonic: the event loop's, which stops while the machine sleeps. boottime: continues meanwhile. wall: Unix time.
    All in seconds.
    """

    monotonic: float
    boottime: float
    wall: float

    @property
    def lead(self) -> float:
        """The wall clock's lead over `boottime`, which is constant unless the clock is set."""
        return self.wall - self.boottime


class Jump(NamedTuple):
    """What happened between two looks, in seconds, else 0. stepped: by which the wall clock was set forward."""

    slept: float
    stepped: float

    def __bool__(self) -> bool:
        """Whether anything did."""
        return self.slept > 0 or self.stepped > 0


class ClockWatch:
    """Compares looks at the clocks.

    believed_lead: the wall clock's; after a step forward the one from before, until the new one has held for a while.
    A step back is believed at once: what is read after it must not seem older than it is.
    """

    def __init__(self, now: Moment) -> None:
        self.believed_lead = now.lead
        self._last = now
        self._stepped_at: float | None = None

    def look(self, now: Moment, believed_after: float) -> Jump:
        """Return what happened since the last look. believed_after: seconds for which a step has to hold."""
        last, self._last = self._last, now
        slept = (now.boottime - now.monotonic) - (last.boottime - last.monotonic)
        stepped = now.lead - last.lead
        if stepped > STEP_SECONDS:
            self._stepped_at = now.boottime
        if self._stepped_at is not None and now.boottime - self._stepped_at >= believed_after:
            self._stepped_at = None
        is_believed = self._stepped_at is None or now.lead < self.believed_lead
        self.believed_lead = now.lead if is_believed else self.believed_lead
        return Jump(
            slept if slept > SLEEP_SECONDS else 0.0,
            stepped if stepped > STEP_SECONDS else 0.0,
        )


def missed(read_at: float, read_at_wall: float, believed_lead: float) -> float:
    """Return the seconds by which something is older than `boottime` says; 0 if the wall clock was not set since.

    read_at, read_at_wall: when it was read, by `boottime` and by the wall clock.
    """
    stepped = believed_lead - (read_at_wall - read_at)
    return stepped if stepped > STEP_SECONDS else 0.0
