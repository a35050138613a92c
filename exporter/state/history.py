"""The results of a target's last polls, in as little memory as they take."""

import math
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Self

from msgspec import Struct

MOST_RESULTS: Final = 20

_NUMBERS: Final = struct.Struct("=dd")


class PollResult(NamedTuple):
    """The result of a poll.

    at: Unix seconds of its end.
    error: its type, None after success.
    seconds: of its last request from send to last byte, None without a response.
    note: what to know of a success, such as that the key may not list.
    """

    at: float
    error: str | None
    seconds: float | None
    note: str = ""


class History(Struct, frozen=True):
    """The results of the last polls, at most MOST_RESULTS, the latest last.

    As objects, those of 20,000 targets would be 400,000, which a full garbage collection visits for 100 ms.
    numbers: `at` and `seconds` of each. errors: the error of each. notes: the note of each, empty if there is none.
    """

    numbers: bytes = b""
    errors: tuple[str | None, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, results: Iterable[PollResult]) -> Self:
        """Return a history of these results."""
        history = cls()
        for result in results:
            history = history.plus(result)
        return history

    def plus(self, result: PollResult) -> Self:
        """Return the history with one more result, without the oldest if there are too many."""
        at, error, seconds, note = result
        number = _NUMBERS.pack(at, math.nan if seconds is None else seconds)
        kept = (1 - MOST_RESULTS) * _NUMBERS.size
        notes = self.notes
        if note or notes:
            notes = (*(notes or ("",) * len(self)), note)[-MOST_RESULTS:]
        return type(self)(
            self.numbers[kept:] + number,
            (*self.errors[1 - MOST_RESULTS :], error),
            notes if any(notes) else (),
        )

    def __len__(self) -> int:
        """The number of results."""
        return len(self.errors)

    def __iter__(self) -> Iterator[PollResult]:
        """Return them, the latest last."""
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> PollResult:
        """Return one of them; raises IndexError if there is none."""
        error = self.errors[index]
        at, seconds = _NUMBERS.unpack_from(self.numbers, index % len(self) * _NUMBERS.size)
        note = self.notes[index] if self.notes else ""
        return PollResult(at, error, None if math.isnan(seconds) else seconds, note)


NO_HISTORY: Final = History()
