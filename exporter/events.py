"""Recent events: the last log events that report a change, kept in memory in case the log is not kept.

They are limited by subject, so that thousands of failing targets do not displace the pause that explains them.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import chain
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, get_args

MOST_KEPT: Final = 500
"""Maximum events kept of each subject."""

Subject = Literal["target", "polling", "lease", "discovery", "exporter"]
SUBJECTS: Final[tuple[Subject, ...]] = get_args(Subject)

EVENTS: Final[Mapping[str, tuple[Subject, str]]] = MappingProxyType(
    {
        "target_up": ("target", "up"),
        "target_recovered": ("target", "up again"),
        "target_failing": ("target", "failing"),
        "target_stale": ("target", "stale"),
        "polling_paused": ("polling", "paused"),
        "polling_resumed": ("polling", "resumed"),
        "poll_requested": ("polling", "polls requested"),
        "secrets_changed": ("polling", "secrets changed"),
        "secrets_unusable": ("polling", "secrets unusable"),
        "key_shared": ("polling", "key shared"),
        "nonce_behind": ("polling", "nonce behind"),
        "machine_slept": ("polling", "machine slept"),
        "wall_clock_stepped": ("polling", "clock stepped"),
        "lease_acquired": ("lease", "acquired"),
        "lease_lost": ("lease", "lost"),
        "lease_held": ("lease", "held by another"),
        "lease_unreachable": ("lease", "unreachable"),
        "lease_reachable": ("lease", "reachable"),
        "vault_discovered": ("discovery", "vault discovered"),
        "vault_gone": ("discovery", "vault gone"),
        "vault_renamed": ("discovery", "vault renamed"),
        "organization_discovered": ("discovery", "organization discovered"),
        "organization_gone": ("discovery", "organization gone"),
        "organization_renamed": ("discovery", "organization renamed"),
        "renamed_into_exclusion": ("discovery", "renamed into exclusion"),
        "too_many_vaults": ("discovery", "too many vaults"),
        "listing_refused": ("discovery", "listing refused"),
        "listing_empty": ("discovery", "empty list"),
        "started": ("exporter", "started"),
        "reloaded": ("exporter", "reloaded"),
        "reload_failed": ("exporter", "reload failed"),
    }
)
"""By the event's name in the log: its subject and its title."""

Fact = str | int | float | bool | None


class Event(NamedTuple):
    """A log event.

    at: Unix seconds.
    facts: the remaining fields.
    """

    at: float
    level: str
    name: str
    facts: Mapping[str, Fact]

    @property
    def subject(self) -> Subject:
        """The subject that it concerns."""
        return EVENTS[self.name][0]

    @property
    def title(self) -> str:
        """Its title for people."""
        return EVENTS[self.name][1]


class RecentEvents:
    """The last events of each subject. since: Unix seconds since which events are kept."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.since = wall()
        self._kept: Mapping[Subject, deque[tuple[int, Event]]] = {
            subject: deque(maxlen=MOST_KEPT) for subject in SUBJECTS
        }
        self._count = 0

    def keep(self, line: Mapping[str, object]) -> None:
        """Keep a line of the log if it reports a change."""
        name = str(line["event"])
        # The renewal of a pause is not a change; it is logged for debugging.
        if name not in EVENTS or line["level"] == "debug":
            return
        facts = {
            key: value if isinstance(value, Fact) else str(value)
            for key, value in line.items()
            if key not in ("ts", "level", "event")
        }
        at = datetime.fromisoformat(str(line["ts"])).timestamp()
        event = Event(at, str(line["level"]), name, facts)
        # Two may have the same time.
        self._count += 1
        self._kept[event.subject].append((self._count, event))

    def last(self, subject: Subject | None = None) -> list[Event]:
        """Return what happened, of all subjects or of one, the latest first."""
        kept = self._kept.values() if subject is None else [self._kept[subject]]
        # As tuples: another thread may log meanwhile.
        numbered = chain.from_iterable(map(tuple, kept))
        return [event for _, event in sorted(numbered, reverse=True, key=lambda it: it[0])]


RECENT: Final = RecentEvents()
"""The events of this process."""
