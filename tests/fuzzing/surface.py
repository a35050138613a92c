"""Feeds a surface with inputs and reports outcomes, the slowest input, and every defect."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from math import ceil
from random import Random
from typing import Final

MOST_DEFECTS: Final = 20
"""Defects after which a surface is abandoned: they usually have one or two causes."""


class DefectError(Exception):
    """An input had a result that is not allowed; any other exception is a defect as well."""


Feed = Callable[[bytes], Awaitable[str]]
"""Feeds one input and names the outcome, one of a small number."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Something that outsiders can reach.

    make: an input from a random source. open: yields the function that takes inputs. share: of the inputs that other
    surfaces get.
    """

    name: str
    make: Callable[[Random], bytes]
    open: Callable[[], AbstractAsyncContextManager[Feed]]
    share: float = 1.0


@dataclass(slots=True)
class Report:
    """How a surface fared. worst_seconds: of the processor, for a single input. defects: input and what was wrong."""

    name: str
    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    worst_seconds: float = 0.0
    worst: bytes = b""
    defects: list[tuple[bytes, str]] = field(default_factory=list)


def inputs(surface: Surface, count: int, seed: int) -> Iterator[bytes]:
    """Make the same inputs for the same `seed`, as many as the surface's share of `count`."""
    # Each from its own random source: the thousandth can be made again without those before it.
    return (
        surface.make(Random(f"{surface.name} {seed} {number}"))
        for number in range(ceil(count * surface.share))
    )


async def fuzz(
    surface: Surface, count: int, *, seed: int = 1, slow_seconds: float = float("inf")
) -> Report:
    """Feed the surface's share of `count` inputs. slow_seconds: processor time above which an input is a defect too."""
    report = Report(surface.name)
    async with surface.open() as feed:
        for sample in inputs(surface, count, seed):
            began = time.process_time()
            try:
                report.outcomes[await feed(sample)] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                report.defects.append((sample, f"{type(error).__name__}: {error}"))
            seconds = time.process_time() - began
            report.inputs += 1
            if seconds > report.worst_seconds:
                report.worst_seconds, report.worst = seconds, sample
            if seconds > slow_seconds:
                report.defects.append((sample, f"took {seconds:.2f} s"))
            if len(report.defects) >= MOST_DEFECTS:
                break
    return report
