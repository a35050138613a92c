"""Comparisons of the clocks: tables of what happened in between."""

import time
from itertools import pairwise

import pytest

from exporter.clocks import ClockWatch, Jump, Moment, boottime, missed

WALL = 1_795_262_400.0
NOTHING = Jump(0.0, 0.0)


def after(seconds: float, *, slept: float = 0.0, set_by: float = 0.0) -> Moment:
    """Read the clocks after some time awake, some asleep, and a step of the wall clock."""
    return Moment(
        100.0 + seconds, 5000.0 + seconds + slept, WALL + 5000.0 + seconds + slept + set_by
    )


@pytest.mark.parametrize(
    ("now", "jump"),
    [
        (after(0), NOTHING),
        (after(1), NOTHING),
        (after(3600), NOTHING),
        (after(1, slept=0.9), NOTHING),
        (after(1, slept=2), Jump(2, 0)),
        (after(1, slept=90_000), Jump(90_000, 0)),
        (after(1, set_by=60), NOTHING),
        (after(1, set_by=61), Jump(0, 61)),
        (after(1, set_by=-90_000), NOTHING),
        (after(1, slept=30, set_by=90_000), Jump(30, 90_000)),
        (after(1, slept=30, set_by=-90_000), Jump(30, 0)),
    ],
)
def test_a_comparison_of_the_clocks_shows_what_happened_in_between(now: Moment, jump: Jump) -> None:
    watch = ClockWatch(after(0))
    assert watch.look(now, believed_after=30) == pytest.approx(jump)
    assert bool(jump) == (jump != NOTHING)
    assert watch.look(now, believed_after=30) == NOTHING


def test_a_wall_clock_that_gains_slowly_is_never_set() -> None:
    watch = ClockWatch(after(0))
    for second in range(1, 1000):
        now = after(second, set_by=second * 0.5)
        assert not watch.look(now, believed_after=30)
        assert watch.believed_lead == now.lead


@pytest.mark.parametrize(("step", "believed_at"), [(3600.0, 40), (-3600.0, 10)])
def test_a_step_forward_is_believed_once_it_has_held_and_one_back_at_once(
    step: float, believed_at: int
) -> None:
    watch = ClockWatch(after(0))
    believed = []
    for second in range(1, 50):
        watch.look(after(second, set_by=step if second >= 10 else 0), believed_after=30)
        believed.append(round(watch.believed_lead - after(0).lead))
    changes = [number for number, (old, new) in enumerate(pairwise(believed), 2) if old != new]
    assert changes == [believed_at]
    assert believed[-1] == step


def test_of_steps_to_and_fro_none_forward_is_believed() -> None:
    watch = ClockWatch(after(0))
    for second in range(1, 200):
        watch.look(after(second, set_by=3600 if second % 40 < 20 else 0), believed_after=30)
        assert watch.believed_lead == pytest.approx(after(0).lead)


@pytest.mark.parametrize(
    ("gained", "seconds"), [(0, 0), (60, 0), (60.5, 60.5), (86_400, 86_400), (-86_400, 0)]
)
def test_what_was_read_before_a_step_missed_it(gained: float, seconds: float) -> None:
    assert missed(5000.0, WALL + 5000.0, WALL + gained) == seconds


def test_boottime_is_the_systems_clock_that_counts_sleep_where_it_has_one() -> None:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    assert time.clock_gettime(clock) <= boottime() <= time.clock_gettime(clock)
