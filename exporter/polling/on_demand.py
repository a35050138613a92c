"""Polls on demand: what an operator may have polled ahead of schedule without harm."""

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, field

from exporter.clocks import Moment
from exporter.polling.credential import Credential
from exporter.polling.pause import Pause
from exporter.polling.schedule import Entry
from exporter.resources import RESOURCES
from exporter.resources.target import AT_ONCE, Target
from exporter.turns import Steps

MOST_NAMED: Final = 10


class OnDemand(Struct):
    """The result of asking for polls. Times are monotonic seconds.

    to_wall: Unix seconds minus monotonic seconds.
    polled: targets that are polled as soon as the budget allows, or are being polled.
    too_soon: targets that were asked for less than a minute ago.
    paused: number of targets by why they are not polled and when that ends (None during a trial request).
    """

    to_wall: float = 0.0
    polled: list[Target] = field(default_factory=list)
    too_soon: list[Target] = field(default_factory=list)
    paused: dict[tuple[str, float | None], int] = field(default_factory=dict)

    @property
    def is_in_vain(self) -> bool:
        """Whether targets were requested and none of them may be polled now."""
        return not self.polled and bool(self.too_soon or self.paused)

    def leave_paused(self, why: str, pause: Pause) -> None:
        """Count a target that waits until `pause` ends."""
        until = pause.ends_at()
        key = why, until if until < math.inf else None
        self.paused[key] = self.paused.get(key, 0) + 1

    def lines(self) -> Iterable[str]:
        """Yield the result as text, line by line."""
        if self.polled:
            yield f"Will be polled as soon as the budget allows: {_names(self.polled)}."
        if self.too_soon:
            yield f"Not polled, requested less than a minute ago: {_names(self.too_soon)}."
        for (why, until), targets in self.paused.items():
            ends = "" if until is None else f" until {_clock(until + self.to_wall)}"
            yield f"Not polled, {why}{ends}: {targets} target{'s' if targets > 1 else ''}."
        if not (self.polled or self.too_soon or self.paused):
            yield "Nothing is failing or paused."


def poll_on_demand(
    entries: Iterable[Entry], credentials: Mapping[str, Credential], pause_of_all: Pause, at: Moment
) -> Steps[OnDemand]:
    """Poll `entries` before all others, despite their back-off and the pause of a refused credential.

    That pause ends early, for one trial request. A pause of everything and a lockout continue: the API asked for them.
    Each target, and each credential's pause, at most once a minute.
    """
    now = at.monotonic
    asked = OnDemand(to_wall=at.wall - now)
    ended: dict[str, bool] = {}
    for number, entry in enumerate(entries, 1):
        if number % AT_ONCE == 0:
            yield
        if entry.is_dropped:
            continue
        name = entry.target.credential
        pause = credentials[name].pause
        if not pause_of_all.is_active and name not in ended:
            ended[name] = not pause.is_active or pause.end_early(now)
        if pause_of_all.is_active:
            asked.leave_paused("everything is paused", pause_of_all)
        elif ended[name]:
            is_now = entry.place.is_sending or _hurry(entry, now)
            (asked.polled if is_now else asked.too_soon).append(entry.target)
        elif pause.is_lockout:
            asked.leave_paused(f"credential {name!r} is locked out by the API", pause)
        else:
            why = f"credential {name!r} is paused and was tried less than a minute ago"
            asked.leave_paused(why, pause)
    return asked


def _hurry(entry: Entry, now: float) -> bool:
    """Give its next request priority; return whether that was allowed."""
    if hurried := entry.place.hurried(now):
        entry.move(hurried)
    return hurried is not None


def _names(targets: Collection[Target]) -> str:
    named = [_name(target) for target in targets][:MOST_NAMED]
    more = len(targets) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _name(target: Target) -> str:
    of = f" of organization {target.organization!r}" if target.vault else ""
    return f"{RESOURCES[target.kind].singular} {(target.vault or target.owner)!r}{of}"


def _clock(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%H:%M:%S UTC")
