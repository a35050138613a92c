"""How long an event loop is blocked: how late it wakes a coroutine that sleeps for a millisecond.

Part of the delay may be the machine's: with few cores, the kernel may give the core to another process for any time.
Linux reports how long each thread was runnable but not running (`/proc/PID/task/TID/schedstat`, in the kernel's
Documentation/scheduler/sched-stats.rst), which separates the two.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TICK_SECONDS = 0.001


class _Moment(NamedTuple):
    """Seconds of the clock, of the loop's thread on a core, and of all threads waiting for a core."""

    clock: float
    worked: float
    waited: float

    @classmethod
    def now(cls) -> "_Moment":
        waited = sum(map(_waited, Path("/proc/self/task").iterdir()))
        return cls(time.perf_counter(), time.thread_time(), waited)


@dataclass
class LoopWatch:
    """The longest times that the loop was blocked so far, in seconds.

    longest: by the clock. longest_of_its_own: without the time in which the loop's thread, or another of the process
    that it may have waited for, was runnable while another process had the core; at least the work of the loop's
    thread.
    """

    longest: float = 0.0
    longest_of_its_own: float = 0.0

    async def watch(self, until: asyncio.Event) -> None:
        """Watch the running loop."""
        while not until.is_set():
            before = _Moment.now()
            await asyncio.sleep(TICK_SECONDS)
            after = _Moment.now()
            held = after.clock - before.clock - TICK_SECONDS
            # The waits of a thread that has ended meanwhile are no longer known.
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
