"""How long an event loop is held: how late it comes back to a coroutine that asks to be woken every millisecond.

Part of that may be the machine's doing: on a few cores the kernel gives the core to another process for as long as it
likes. Linux tells how long each thread was ready to run and did not (`/proc/PID/task/TID/schedstat`, in the kernel's
Documentation/scheduler/sched-stats.rst), so that both can be told apart.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TICK_SECONDS = 0.001


class _Moment(NamedTuple):
    """Seconds: of the clock, of the loop's thread on a core, and of all threads in waiting for a core."""

    clock: float
    worked: float
    waited: float

    @classmethod
    def now(cls) -> "_Moment":
        waited = sum(map(_waited, Path("/proc/self/task").iterdir()))
        return cls(time.perf_counter(), time.thread_time(), waited)


@dataclass
class LoopWatch:
    """The longest holds so far, in seconds.

    longest: by the clock. longest_of_its_own: without the time in which the loop's thread, or another of the process
    that it may have waited for, was ready to run and another process had the core; at least what the loop's thread
    worked.
    """

    longest: float = 0.0
    longest_of_its_own: float = 0.0

    async def watch(self, until: asyncio.Event) -> None:
        """Watch the loop that this runs in."""
        while not until.is_set():
            before = _Moment.now()
            await asyncio.sleep(TICK_SECONDS)
            after = _Moment.now()
            held = after.clock - before.clock - TICK_SECONDS
            # The waits of a thread that has ended meanwhile are not known any more.
            waited = max(0.0, after.waited - before.waited)
            own = max(after.worked - before.worked, held - waited)
            self.longest = max(self.longest, held)
            self.longest_of_its_own = max(self.longest_of_its_own, own)


def _waited(thread: Path) -> float:
    """Return how many seconds a thread of this process was ready to run but did not."""
    with contextlib.suppress(OSError):
        _, nanoseconds, _ = (thread / "schedstat").read_text().split()
        return int(nanoseconds) / 1e9
    # The thread has ended, or the kernel does not say.
    return 0.0
