"""Waits for other processes and threads, with a deadline instead of a guess at how long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PAUSE_SECONDS = 0.02
DEADLINE_SECONDS = 30.0


def until(condition: Callable[[], Found | None], deadline: float = DEADLINE_SECONDS) -> Found:
    """Return the result of `condition` as soon as it is true; fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {condition}")
        time.sleep(PAUSE_SECONDS)
