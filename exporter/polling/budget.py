"""The rate-limit budget: never more than n requests in any window, as the server sees them.

When the server counts a request is unknown: at any time between sending it and receiving its response. So two rules
apply together, both arithmetic over a given `now`:

*Slots.* A request holds one of n slots from when it is sent until `window` after its response. Proof: take any window
at the server and the request in it that was sent last. Every other request in that window was answered less than
`window` before that send, or later, so all of them held a slot at that moment, and there are only n.

*Pace.* Requests are sent `window / (n - 1)` apart. A request that is late by up to one gap does not delay later ones,
so a slow response costs no budget. At most n are sent in any window, which also satisfies servers that count in fixed
or two-bucket windows, where a burst after an idle period would count twice.

*Restart.* A previous process may have sent requests until just now and left up to k in flight. So the first k places in
the pace stay empty, and k slots are held as for unanswered requests: both processes together send at most n - k in any
window, which leaves room for k late arrivals.
"""

import heapq
from collections import deque
from typing import Final, NamedTuple

from exporter.custody.errors import Delivery

SAMPLE_SECONDS: Final = 5.0
SAMPLES: Final = 120

UNANSWERED_GRACE_SECONDS: Final = 10.0
"""How long an abandoned request may still take to reach the server."""


class Budget:
    """When requests may be sent under one rate limit.

    requests: n, the maximum requests in any window.
    window: its length in seconds.
    gap: seconds between sends.
    """

    def __init__(self, requests: int, window: float, *, in_flight: int, now: float) -> None:
        """Start at `now` (monotonic seconds), when a previous process may have left `in_flight` requests in flight."""
        self.requests = requests
        self.window = window
        self._in_flight = 0
        self._free_at: list[float] = []
        self.follow(in_flight, now)

    def follow(self, in_flight: int, now: float) -> None:
        """Start again at `now`, when another process may have left `in_flight` requests in flight."""
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
        """Change the limit; requests sent under the old one count against the new one, for the new window."""
        self._free_at = [moment + window - self.window for moment in self._free_at]
        self.requests = requests
        self.window = window
        self._due = min(self._due, max(now + self.gap, self._first_due))

    def used(self, now: float) -> int:
        """Return the number of slots in use."""
        while self._free_at and self._free_at[0] <= now:
            heapq.heappop(self._free_at)
        return self._in_flight + len(self._free_at)

    def ready_at(self, now: float) -> float:
        """Return when the next request may be sent if no response arrives first; infinity if it needs a response."""
        if self.used(now) < self.requests:
            return self._due
        return max(self._due, self._free_at[0] if self._free_at else float("inf"))

    def take(self, now: float) -> None:
        """Take a slot for a request sent now; `ready_at` must have passed."""
        self._due = max(self._due, now - self.gap) + self.gap
        self._in_flight += 1

    def give_back(self, delivery: Delivery, now: float) -> None:
        """Release the slot of a request that ended at `now` once the server can no longer count it."""
        self._in_flight -= 1
        if delivery is Delivery.ANSWERED:
            heapq.heappush(self._free_at, now + self.window)
        elif delivery is Delivery.UNANSWERED:
            heapq.heappush(self._free_at, now + self.window + UNANSWERED_GRACE_SECONDS)


class Sample(NamedTuple):
    """The most slots in use within SAMPLE_SECONDS from `at` (monotonic seconds)."""

    at: float
    used: int


class Usage:
    """Budget use over the last ten minutes; periods without an observation are gaps."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def note(self, used: int, now: float) -> None:
        """Record that `used` slots are in use at `now`."""
        last = self._samples[-1] if self._samples else None
        if last is None or now - last.at >= SAMPLE_SECONDS:
            self._samples.append(Sample(now, used))
        elif used > last.used:
            self._samples[-1] = Sample(last.at, used)

    def samples(self, now: float) -> tuple[Sample, ...]:
        """Return the samples of the last ten minutes before `now`."""
        oldest = now - SAMPLES * SAMPLE_SECONDS
        return tuple(sample for sample in self._samples if sample.at >= oldest)
