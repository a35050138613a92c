"""The rate-limit budget: never more than n requests in any window, as the server sees them.

What happens between sending and counting is out of sight: a request may reach the server at any time before its answer
arrives here. So two rules hold at once, both of them arithmetic over a given `now`:

*Slots.* A request holds one of n slots from its sending until `window` after its answer. Take any window at the
server, and of the requests in it the one sent last: every other one in it was answered later than `window` before
that sending, so all of them held a slot at that moment, and there are n.

*Pace.* Requests are let go `window / (n - 1)` apart. One that was late by up to one such gap does not delay those
after it, so that a slow answer costs no budget. In any window n are let go at the most, which also contents a server
that counts in fixed or two-bucket windows, where a burst after a silence would be counted double.

*Restart.* A process before this one may have sent until just now, and may have left as many requests on their way as it
could have in flight, k. So the first k places in the pace stay empty, and k slots are held as for requests
without an answer: sends of both processes in any window number n - k at the most, and k late arrivals fit beside them.
"""

import heapq
from collections import deque
from typing import Final, NamedTuple

from exporter.custody.errors import Delivery

SAMPLE_SECONDS: Final = 5.0
SAMPLES: Final = 120

UNANSWERED_GRACE_SECONDS: Final = 10.0
"""How long after we gave up on it a request may still reach the server."""


class Budget:
    """What may be sent when, under one limit.

    requests: n, how many requests any window may hold. window: its length in seconds. gap: seconds between sends.
    """

    def __init__(self, requests: int, window: float, *, in_flight: int, now: float) -> None:
        """Begin at `now` (monotonic seconds), where a predecessor may have had `in_flight` requests on their way."""
        self.requests = requests
        self.window = window
        self._in_flight = 0
        self._free_at: list[float] = []
        self.follow(in_flight, now)

    def follow(self, in_flight: int, now: float) -> None:
        """Begin again at `now`, until when another process may have sent, with `in_flight` requests on their way."""
        self._began, self._empty_places = now, in_flight + 1
        self._due = self._first_due
        for _ in range(min(in_flight, self.requests)):
            heapq.heappush(self._free_at, now + self.window + UNANSWERED_GRACE_SECONDS)

    @property
    def gap(self) -> float:
        """Seconds between two sends."""
        return self.window / max(1, self.requests - 1)

    @property
    def _first_due(self) -> float:
        return self._began + self._empty_places * self.gap

    def change(self, requests: int, window: float, now: float) -> None:
        """Go on under another limit; what was sent under the old one counts against it, for as long as it says."""
        self._free_at = [moment + window - self.window for moment in self._free_at]
        self.requests = requests
        self.window = window
        self._due = min(self._due, max(now + self.gap, self._first_due))

    def used(self, now: float) -> int:
        """Return the number of slots that are held."""
        while self._free_at and self._free_at[0] <= now:
            heapq.heappop(self._free_at)
        return self._in_flight + len(self._free_at)

    def ready_at(self, now: float) -> float:
        """Return when the next request may be sent if no answer comes before: infinity where only one will tell."""
        if self.used(now) < self.requests:
            return self._due
        return max(self._due, self._free_at[0] if self._free_at else float("inf"))

    def take(self, now: float) -> None:
        """Take the slot of a request that is sent now; `ready_at` must have come."""
        self._due = max(self._due, now - self.gap) + self.gap
        self._in_flight += 1

    def give_back(self, delivery: Delivery, now: float) -> None:
        """Let go of the slot of a request that has ended now, as soon as the server cannot count it any more."""
        self._in_flight -= 1
        if delivery is Delivery.ANSWERED:
            heapq.heappush(self._free_at, now + self.window)
        elif delivery is Delivery.UNANSWERED:
            heapq.heappush(self._free_at, now + self.window + UNANSWERED_GRACE_SECONDS)


class Sample(NamedTuple):
    """The most slots that were held within SAMPLE_SECONDS from `at` (monotonic seconds)."""

    at: float
    used: int


class Usage:
    """How much of the budget was in use over the last ten minutes; a gap is where nobody looked."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def note(self, used: int, now: float) -> None:
        """Note that `used` slots are held at `now`."""
        last = self._samples[-1] if self._samples else None
        if last is None or now - last.at >= SAMPLE_SECONDS:
            self._samples.append(Sample(now, used))
        elif used > last.used:
            self._samples[-1] = Sample(last.at, used)

    def samples(self, now: float) -> tuple[Sample, ...]:
        """Return the samples that at `now` are not older than the minutes that are kept."""
        oldest = now - SAMPLES * SAMPLE_SECONDS
        return tuple(sample for sample in self._samples if sample.at >= oldest)
