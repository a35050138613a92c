"""Long work in steps, so that it does not block the event loop."""

import asyncio
from collections.abc import Generator
from typing import TypeVar

Returned = TypeVar("Returned")
Steps = Generator[None, None, Returned]
"""Work that yields where other tasks may run, and returns its result at the end."""


def at_once(steps: Steps[Returned]) -> Returned:
    """Run all steps and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            returned: Returned = end.value
            return returned


async def in_turns(steps: Steps[Returned]) -> Returned:
    """Run all steps and return the result; other tasks run in between."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            returned: Returned = end.value
            return returned
        await asyncio.sleep(0)
