"""Long work in steps, so that whatever else the event loop has to do comes between them."""

import asyncio
from collections.abc import Generator
from typing import TypeVar

Returned = TypeVar("Returned")
Steps = Generator[None, None, Returned]
"""Work that stops (yields) where others may come first, and returns its result at the end."""


def at_once(steps: Steps[Returned]) -> Returned:
    """Return what `steps` return, without a stop."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            returned: Returned = end.value
            return returned


async def in_turns(steps: Steps[Returned]) -> Returned:
    """Return what `steps` return; at each stop the event loop goes round once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            returned: Returned = end.value
            return returned
        await asyncio.sleep(0)
