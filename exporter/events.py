"""What happened: the last log events that tell of a change, kept in memory, as nobody may keep the log.

Of each subject so many are kept that thousands of targets that fail at once leave the pause that explains it.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import chain
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, get_args

MOST_KEPT: Final = 500
"""Of each subject."""

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
"""By the name in the log: what it is about, and what people call it."""

Fact = str | int | float | bool | None


class Event(NamedTuple):
    """A log event. at: Unix seconds. facts: what the log says besides."""

    at: float
    level: str
    name: str
    facts: Mapping[str, Fact]

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return EVENTS[self.name][0]

    @property
    def title(self) -> str:
        """What people call it."""
        return EVENTS[self.name][1]


class RecentEvents:
    """The last events of each subject. since: Unix seconds, from when on they are kept."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.since = wall()
        self._kept: Mapping[Subject, deque[tuple[int, Event]]] = {
            subject: deque(maxlen=MOST_KEPT) for subject in SUBJECTS
        }
        self._count = 0

    def keep(self, line: Mapping[str, object]) -> None:
        """Keep what a line of the log says, if it tells of a change."""
        name = str(line["event"])
        # A pause that is only renewed is no change; the log has it for whoever looks for a fault.
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
        # As tuples: whoever logs in another thread may add to them meanwhile.
        numbered = chain.from_iterable(map(tuple, kept))
        return [event for _, event in sorted(numbered, reverse=True, key=lambda it: it[0])]


RECENT: Final = RecentEvents()
"""Of this process, as its log is."""
