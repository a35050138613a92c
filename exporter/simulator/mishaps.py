"""A timetable of occasional failures, so that the demo's error panels have something to show.

Failures are a pure function of (seed, time). Most requests succeed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from exporter.simulator import answers
from exporter.simulator.moods import Mood
from exporter.simulator.portfolio import Portfolio, compact
from exporter.simulator.wander import MINUTE


class Mishap(NamedTuple):
    """One of the documented problems, and for how many seconds one target has it."""

    status: int
    name: str
    data: dict[str, object]
    seconds: float


@dataclass(frozen=True, slots=True)
class Timetable:
    """One mishap in each `period` of seconds, at a drawn moment, for one drawn target."""

    key: str
    period: float
    targets: Sequence[str]
    mishaps: Sequence[Mishap]

    def at(self, now: float, target: str) -> Mishap | None:
        """Return what is wrong with `target` at `now` (Unix seconds), if anything is."""
        turn, elapsed = divmod(now, self.period)
        chance = Random(f"{self.key}/{turn:.0f}")
        victim = chance.choice(self.targets)
        mishap = chance.choice(self.mishaps)
        begins = chance.uniform(0, self.period - mishap.seconds)
        happens = target == victim and begins <= elapsed < begins + mishap.seconds
        return mishap if happens else None


_UPSTREAM = (
    Mishap(500, "gateway/ReadUpstream", {}, 0.5 * MINUTE),
    Mishap(503, "gateway/Connect", {}, 0.75 * MINUTE),
    Mishap(
        500,
        "Unknown",
        {
            "message": "Unhandled exception while servicing the request.",
            "core_error": "InternalError",
        },
        0.5 * MINUTE,
    ),
)
_DENIED = (Mishap(403, "PermissionDenied", {"message": "Permission denied."}, MINUTE),)


def demo_timetables(portfolio: Portfolio, seed: int) -> tuple[Timetable, ...]:
    """Return what will go wrong in the demo: a short outage now and then, rarely a denied vault."""
    organizations = [compact(organization.id) for organization in portfolio.organizations]
    vaults = [vault.id for owner in portfolio.organizations for vault in owner.vaults]
    return (
        Timetable(f"{seed}/upstream", 4 * MINUTE, organizations + vaults, _UPSTREAM),
        Timetable(f"{seed}/denied", 45 * MINUTE, vaults, _DENIED),
    )


def mishaps(timetables: Sequence[Timetable], wall: Callable[[], float]) -> Mood:
    """Return the mood that follows the timetables; `wall` gives Unix seconds."""

    async def mood(request: Request) -> Response | None:
        # The path of a list names no target, so a list has no mishap.
        target = "".join(request.path_params.values())
        now = wall()
        for timetable in timetables:
            if mishap := timetable.at(now, compact(target)):
                return answers.problem(mishap.status, mishap.name, mishap.data)
        return None

    return mood
