"""How much of the budget was in use over the last minutes, for those who look at how full it is."""

from collections import deque
from typing import Final, NamedTuple

SAMPLE_SECONDS: Final = 5.0
SAMPLES: Final = 120


class Sample(NamedTuple):
    """The most slots that were held within SAMPLE_SECONDS from `at` (monotonic seconds)."""

    at: float
    used: int


class Usage:
    """The samples of the last ten minutes, the oldest first; a gap is where nobody looked."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def note(self, used: int, now: float) -> None:
        """Take note that `used` slots are held at `now`."""
        last = self._samples[-1] if self._samples else None
        if last is None or now - last.at >= SAMPLE_SECONDS:
            self._samples.append(Sample(now, used))
        elif used > last.used:
            self._samples[-1] = Sample(last.at, used)

    def samples(self, now: float) -> tuple[Sample, ...]:
        """Return the samples that at `now` are not older than the minutes that are kept."""
        oldest = now - SAMPLES * SAMPLE_SECONDS
        return tuple(sample for sample in self._samples if sample.at >= oldest)
