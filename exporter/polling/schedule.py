"""Which target is polled next: due times and priorities, as arithmetic over a given `now`.

The target that is most overdue in terms of its own interval goes first. If demand exceeds the budget, this stretches
all intervals by the same factor, and no target starves.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import (
    Callable,
    Collection,
    Container,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from typing import Final, NamedTuple

from exporter.polling.place import Place
from exporter.resources.target import AT_ONCE, Target, TargetChange, organizations_of
from exporter.turns import Steps

MOST_ONE_BY_ONE: Final = 50
"""Up to this many items are inserted into a sorted list one by one; more are appended and sorted."""


class Entry:
    """A target in the schedule, from when it is added until it is removed.

    Its place is a value; the schedule sees every change of it.

    position: among all targets, None before it has one. filed: the sorted list that it is in, and its item there, None
    while a request is in flight. They are the schedule's own.
    """

    __slots__ = ("_is_dropped", "_moved", "_place", "filed", "item", "position")

    def __init__(self, place: Place, moved: Callable[["Entry"], None]) -> None:
        self._place = place
        self._moved = moved
        self._is_dropped = False
        self.position: int | None = None
        self.filed: list[_Item] | None = None
        self.item: _Item = (0.0, 0)

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


_Item = tuple[float, int]
"""The moment to sort by, then the target's position in the configuration."""


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


class _Queue:
    """The targets of one credential without a request in flight, in sorted lists.

    waiting: by when their requests may be sent.
    ready: those that may be sent now, by when they were due.
    """

    def __init__(self) -> None:
        self.waiting: list[_Item] = []
        self.ready: defaultdict[_Group, list[_Item]] = defaultdict(list)

    def __bool__(self) -> bool:
        """Whether there is any target."""
        return bool(self.waiting) or any(self.ready.values())

    def first_retired(self) -> int:
        """Return the index in `waiting` of the first target without a next request."""
        return bisect_left(self.waiting, (math.inf, -1))


class Schedule:
    """All targets and when they are due; at the start all are due, in the given order.

    Each request and each outcome moves one target in sorted lists. Methods that move many yield in between, so that
    nothing waits for thousands. The given times never go back.
    """

    def __init__(self, targets: Iterable[Target], now: float) -> None:
        # By position, which stays the same until all are rearranged.
        self._entries: dict[int, Entry] = {}
        self._next_position = 0
        self._by_key: dict[Hashable, Entry] = {}
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        # One object for all entries: the garbage collector would have to visit thousands of them.
        self._on_move = self._file
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

    def change(self, changes: Iterable[TargetChange], gone: Iterable[Target], now: float) -> None:
        """Add or replace the targets in `changes` and remove those in `gone`."""
        self._organizations = None
        for target in gone:
            entry = self._by_key.pop(target.key)
            if entry.position is not None:
                del self._entries[entry.position]
            self._drop(entry)
        for target, old in changes:
            if old is None:
                self._add(self._new(target, now), self._next_position)
            else:
                entry = self._by_key[old.key]
                entry.move(entry.place.kept(target, now, is_renewed=False))
        # Also of credentials and intervals that no longer exist.
        self._queues = defaultdict(_Queue, {name: it for name, it in self._queues.items() if it})

    def arrange(self, keys: Sequence[Hashable]) -> None:
        """Put all targets into this order, which decides between equals."""
        if keys != list(self._by_key):
            self._arrange([self._by_key[key] for key in keys])

    def restart(self, now: float) -> Steps[None]:
        """Start again; requests in flight no longer matter."""
        # By key: releasing thousands of entries at once takes long.
        for number, key in enumerate(list(self._by_key), 1):
            old = self._by_key.get(key)
            if old is not None and (position := old.position) is not None:
                self._drop(old)
                self._add(self._new(old.target, now), position)
            if number % AT_ONCE == 0:
                yield

    def renew(self, credentials: Container[str], now: float) -> Steps[None]:
        """Retry at once what failed with credentials whose secrets, or whose way to the API, have changed."""
        return self._move_all(
            lambda place: (
                place.kept(place.target, now, is_renewed=True)
                if place.target.credential in credentials
                else place
            )
        )

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

    def make_all_due(self, now: float) -> Steps[None]:
        """Make every target due at once, except those whose poll is in progress."""
        return self._move_all(lambda place: place.due_by(now))

    def _move_all(self, move: Callable[[Place], Place]) -> Steps[None]:
        for number, entry in enumerate(self.entries, 1):
            if (place := move(entry.place)) is not entry.place and not entry.is_dropped:
                entry.move(place)
            if number % AT_ONCE == 0:
                yield

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
        return Entry(Place(target, due=now, ready_at=now), self._on_move)

    def _arrange(self, entries: Iterable[Entry]) -> None:
        """Schedule `entries` and no others, in this order."""
        self._queues.clear()
        self._by_key, self._entries, self._next_position = {}, {}, 0
        for entry in entries:
            entry.filed = None
            self._add(entry, self._next_position, list.append)
        for queue in self._queues.values():
            queue.waiting.sort()
        self._moved = None

    def _add(
        self, entry: Entry, position: int, put: Callable[[list[_Item], _Item], None] = insort
    ) -> None:
        """Give an entry a position, and a place in a queue."""
        self._next_position = max(self._next_position, position + 1)
        entry.position = position
        self._by_key[entry.target.key] = self._entries[position] = entry
        self._organizations = None
        self._file(entry, put)

    def _drop(self, entry: Entry) -> None:
        self._unfile(entry)
        entry.position = None
        entry.drop()

    def _file(self, entry: Entry, put: Callable[[list[_Item], _Item], None] = insort) -> None:
        """Put an entry into the queue for its current place."""
        self._unfile(entry)
        if self._moved is not None:
            self._moved.add(entry)
        place = entry.place
        if entry.position is not None and not place.is_sending:
            entry.filed = self._queues[place.target.credential].waiting
            entry.item = place.ready_at, entry.position
            put(entry.filed, entry.item)

    @staticmethod
    def _unfile(entry: Entry) -> None:
        if entry.filed is not None:
            del entry.filed[bisect_left(entry.filed, entry.item)]
            entry.filed = None

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
                entry = self._entries[item[1]]
                entry.filed, entry.item = queue.ready[group], item


def _add(items: list[_Item], more: list[_Item]) -> None:
    """Add `more` to a sorted list; thousands that become due together are added in one go."""
    if len(more) <= MOST_ONE_BY_ONE:
        for item in more:
            insort(items, item)
    else:
        items += more
        items.sort()
