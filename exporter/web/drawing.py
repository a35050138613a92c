"""The charts of the status page, as SVG paths: use of the budget, and the last polls of a target."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from exporter.polling.budget import SAMPLE_SECONDS, SAMPLES
from exporter.state.history import MOST_RESULTS

CHART_WIDTH: Final = 600
CHART_HEIGHT: Final = 100
CHART_SECONDS: Final = SAMPLES * SAMPLE_SECONDS
LONGEST_GAP_SECONDS: Final = 3 * SAMPLE_SECONDS
"""Maximum time between two samples that are joined by a line."""
BAR_WIDTH: Final = 5
GOOD_MIDDLE: Final = 12.5
BAD_MIDDLE: Final = 8


class Chart(NamedTuple):
    """The slots in use over the last minutes.

    area, line: paths in CHART_WIDTH by CHART_HEIGHT, whose upper edge is the limit. least, most: slots.
    """

    area: str
    line: str
    least: int
    most: int


def chart(history: Sequence[tuple[float, int]], requests: int, now: float) -> Chart | None:
    """Draw `history`, pairs of time and slots, under a limit of `requests`; None if there is nothing to draw."""
    if not history:
        return None
    used = [slots for _, slots in history]
    # The current value is that of the last sample.
    points = (*history, (now, used[-1]))
    runs: list[list[str]] = []
    drawn_until = -math.inf
    for at, slots in points:
        if at - drawn_until > LONGEST_GAP_SECONDS:
            runs.append([])
        x = CHART_WIDTH * max(0.0, 1 - (now - at) / CHART_SECONDS)
        y = CHART_HEIGHT * (1 - min(1.0, slots / requests))
        runs[-1].append(f"{x:.1f},{y:.1f}")
        drawn_until = at
    lines = [" ".join(run) for run in runs]
    areas = [f"M{_foot(run[0])}L{' '.join(run)}L{_foot(run[-1])}Z" for run in runs]
    return Chart("".join(areas), "".join(f"M{line}" for line in lines), min(used), max(used))


def _foot(point: str) -> str:
    return f"{point.partition(',')[0]},{CHART_HEIGHT}"


class Strip(NamedTuple):
    """The last polls as bars, the latest on the right: one path for successes, one for failures.

    Each path is the centre line of a run of bars, which the style sheet draws with a dashed stroke: low for success,
    high for failure, so that they differ not only in colour.
    """

    good: str
    bad: str


def strip(results: Sequence[bool]) -> Strip:
    """Draw the outcomes of polls: whether each succeeded."""
    paths = {True: "", False: ""}
    place = MOST_RESULTS - len(results)
    for succeeded, run in groupby(results):
        length = len(list(run))
        height = GOOD_MIDDLE if succeeded else BAD_MIDDLE
        paths[succeeded] += f"M{place * BAR_WIDTH} {height}h{length * BAR_WIDTH}"
        place += length
    return Strip(paths[True], paths[False])
