"""Which target is polled next: due times and priorities, as arithmetic over a given `now`.

The target that is most overdue in terms of its own interval goes first. If demand exceeds the budget, this stretches
all intervals by the same factor, and no target starves.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Hashable, Iterable, Mapping
from typing import Final, NamedTuple

from exporter.polling.difference import Difference
from exporter.polling.place import Place
from exporter.resources.target import Target, TargetChange, organizations_of

MOST_ONE_BY_ONE: Final = 50
"""Up to this many items are inserted into a sorted list one by one; more are appended and sorted."""


class Entry:
    """A target in the schedule, from when it is added until it is removed.

    Its place is a value; the schedule sees every change of it.
    """

    __slots__ = ("_is_dropped", "_moved", "_place")

    def __init__(self, place: Place, moved: Callable[["Entry"], None]) -> None:
        self._place = place
        self._moved = moved
        self._is_dropped = False

    @property
    def place(self) -> Place:
        """When its next request may be sent, and how its polls went."""
        return self._place

    @property
    def target(self) -> Target:
        """The target, with its current name and settings."""
        return self._place.target

    @property
    def is_dropped(self) -> bool:
        """Whether it was removed, so that requests in flight no longer matter."""
        return self._is_dropped

    def move(self, place: Place) -> None:
        """Replace its place."""
        self._place = place
        self._moved(self)

    def drop(self) -> None:
        """Record that it was removed."""
        self._is_dropped = True


class Turn(NamedTuple):
    """When targets of a credential may be polled. slow_turn_at: until then, slow ones go only if no other is ready."""

    ready_at: float
    slow_turn_at: float = 0.0


class _Group(NamedTuple):
    """What targets share whose order never changes: among them, the one due longest is always the most overdue."""

    is_slow: bool
    is_quick_retry: bool
    is_between_parts: bool
    interval: float


_Item = tuple[float, int]
"""The moment to sort by, then the target's position in the configuration."""


class _Queue:
    """The targets of one credential without a request in flight, in sorted lists.

    waiting: by when their requests may be sent.
    ready: those that may be sent now, by when they were due.
    """

    def __init__(self) -> None:
        self.waiting: list[_Item] = []
        self.ready: defaultdict[_Group, list[_Item]] = defaultdict(list)

    def first_retired(self) -> int:
        """Return the index in `waiting` of the first target without a next request."""
        return bisect_left(self.waiting, (math.inf, -1))


class Schedule:
    """All targets and when they are due; at the start all are due, in the given order.

    Each request and each outcome moves one target in sorted lists; only a reload or `hurry` looks at all targets. The
    given moments never go back.
    """

    def __init__(self, targets: Iterable[Target], now: float) -> None:
        # By position, which stays the same until all are rearranged.
        self._entries: dict[int, Entry] = {}
        self._next_position = 0
        self._by_key: dict[Hashable, Entry] = {}
        # Only entries with a position are in a queue.
        self._positions: dict[Entry, int] = {}
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._filed: dict[Entry, tuple[list[_Item], _Item]] = {}
        self._moved: set[Entry] | None = None
        self._organizations: Mapping[str, tuple[str, ...]] | None = None
        self._arrange([self._new(target, now) for target in targets])

    def __len__(self) -> int:
        """The number of targets."""
        return len(self._entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in the order of the configuration, then of discovery."""
        return tuple(self._entries.values())

    def get(self, key: Hashable) -> Entry | None:
        """Return the entry of a target, None if there is no such target."""
        return self._by_key.get(key)

    def reload(self, difference: Difference, renewed: Container[str], now: float) -> None:
        """Change all targets: those that stay keep their places, new ones are due at once, others are removed.

        renewed: the credentials whose failed targets are retried at once.
        """
        known = self._by_key
        self._arrange(())
        entries = []
        for target, old in difference.targets:
            entry = known[old.key] if old else self._new(target, now)
            is_renewed = target.credential in renewed
            if is_renewed or target != entry.target:
                entry.move(entry.place.kept(target, now, is_renewed=is_renewed))
            entries.append(entry)
        for target in difference.gone:
            known[target.key].drop()
        self._arrange(entries)

    def change(self, changes: Iterable[TargetChange], gone: Iterable[Target], now: float) -> None:
        """Add or replace the targets in `changes` and remove those in `gone`."""
        self._organizations = None
        for target in gone:
            entry = self._by_key.pop(target.key)
            self._unfile(entry)
            del self._entries[self._positions.pop(entry)]
            entry.drop()
        for target, old in changes:
            if old is None:
                entry = self._new(target, now)
                self._number(entry)
                self._file(entry)
            else:
                entry = self._by_key[old.key]
                entry.move(entry.place.kept(target, now, is_renewed=False))

    def restart(self, now: float) -> None:
        """Start again; requests in flight no longer matter."""
        entries = self.entries
        self._arrange(())
        for entry in entries:
            entry.drop()
        self._arrange([self._new(entry.target, now) for entry in entries])

    def renew(self, credential: str, now: float) -> None:
        """Retry at once what failed with a credential whose secrets have changed."""
        entries = self.entries
        self._arrange(())
        for entry in entries:
            if entry.target.credential == credential:
                entry.move(entry.place.kept(entry.target, now, is_renewed=True))
        self._arrange(entries)

    def take_moved(self) -> Collection[Entry] | None:
        """Return the entries that have moved since the last call, None if any may have."""
        moved, self._moved = self._moved, set()
        return moved

    @property
    def organizations(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the organizations of each credential's targets."""
        if self._organizations is None:
            self._organizations = organizations_of(entry.target for entry in self.entries)
        return self._organizations

    @property
    def retired(self) -> int:
        """The number of targets without a next request."""
        return sum(len(it.waiting) - it.first_retired() for it in self._queues.values())

    def unfinished(self) -> Collection[str]:
        """Return the credentials of targets that have a next request and none in flight."""
        return [
            name
            for name, queue in self._queues.items()
            if queue.first_retired() or any(queue.ready.values())
        ]

    def hurry(self, now: float) -> None:
        """Make every target due at once, except those whose poll is in progress."""
        entries = self.entries
        self._arrange(())
        for entry in entries:
            entry.move(entry.place.due_by(now))
        self._arrange(entries)

    def next(self, now: float, turns: Mapping[str, Turn]) -> tuple[Entry | None, float]:
        """Return the entry whose request goes next, or None and when to check again (infinity: after a response).

        turns: when targets may be polled, by credential.
        """
        chosen, unfinished, look_again_at = None, None, math.inf
        first_rank = (False, False, -math.inf, 0)
        for name, queue in self._queues.items():
            self._note_ready(queue, now)
            turn = turns[name]
            soonest = queue.waiting[0][0] if queue.waiting else math.inf
            if turn.ready_at > now:
                may_go_at = now if any(queue.ready.values()) else soonest
                look_again_at = min(look_again_at, max(may_go_at, turn.ready_at))
                continue
            look_again_at = min(look_again_at, soonest)
            for group, items in queue.ready.items():
                if not items:
                    continue
                position = items[0][1]
                entry = self._entries[position]
                gives_way = group.is_slow and now < turn.slow_turn_at
                rank = (
                    not gives_way,
                    group.is_quick_retry,
                    entry.place.overdue(now),
                    # Of equals, the first in the configuration.
                    -position,
                )
                if rank > first_rank:
                    chosen, first_rank = entry, rank
                if group.is_between_parts and not gives_way:
                    unfinished = min(unfinished or entry, entry, key=lambda it: it.place.due)
        # Otherwise all that one list found would be polled before the next list continues.
        if chosen and unfinished and chosen.place.was_found_after(unfinished.place):
            chosen = unfinished
        return chosen, look_again_at

    def _new(self, target: Target, now: float) -> Entry:
        return Entry(Place(target, due=now, ready_at=now), self._file)

    def _arrange(self, entries: Iterable[Entry]) -> None:
        """Schedule `entries` and no others, in this order."""
        self._queues.clear()
        self._filed.clear()
        self._moved = self._organizations = None
        self._by_key, self._entries, self._positions = {}, {}, {}
        self._next_position = 0
        for entry in entries:
            item = entry.place.ready_at, self._number(entry)
            if not entry.place.is_sending:
                waiting = self._queues[entry.target.credential].waiting
                waiting.append(item)
                self._filed[entry] = waiting, item
        for queue in self._queues.values():
            queue.waiting.sort()

    def _number(self, entry: Entry) -> int:
        """Give an entry the last position."""
        position, self._next_position = self._next_position, self._next_position + 1
        self._by_key[entry.target.key] = entry
        self._entries[position] = entry
        self._positions[entry] = position
        return position

    def _unfile(self, entry: Entry) -> None:
        if filed := self._filed.pop(entry, None):
            items, item = filed
            del items[bisect_left(items, item)]

    def _file(self, entry: Entry) -> None:
        """Put an entry into the queue for its current place."""
        self._unfile(entry)
        if self._moved is not None:
            self._moved.add(entry)
        position = self._positions.get(entry)
        if position is not None and not entry.place.is_sending:
            items, item = (
                self._queues[entry.target.credential].waiting,
                (entry.place.ready_at, position),
            )
            insort(items, item)
            self._filed[entry] = items, item

    def _note_ready(self, queue: _Queue, now: float) -> None:
        """Move targets that may be sent at `now` from `waiting` to `ready`."""
        ready = bisect_right(queue.waiting, (now, self._next_position))
        if not ready:
            return
        found: defaultdict[_Group, list[_Item]] = defaultdict(list)
        for _, position in queue.waiting[:ready]:
            place = self._entries[position].place
            is_quick_retry = place.is_retrying and not place.is_slow
            group = _Group(
                place.is_slow, is_quick_retry, place.is_between_parts, place.target.interval
            )
            found[group].append((place.due_since, position))
        del queue.waiting[:ready]
        for group, items in found.items():
            _add(queue.ready[group], items)
            for item in items:
                self._filed[self._entries[item[1]]] = queue.ready[group], item


def _add(items: list[_Item], more: list[_Item]) -> None:
    """Add `more` to a sorted list; thousands that become due together are added in one go."""
    if len(more) <= MOST_ONE_BY_ONE:
        for item in more:
            insort(items, item)
    else:
        items += more
        items.sort()
