"""Which target is polled next: due times and their order, as arithmetic over a given `now`.

The most overdue target goes first, in terms of its own interval. While all goes well that is whoever is due; when
more is wanted than the budget allows, every interval is stretched by the same factor and nobody starves.
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
"""Items are added to a sorted list one by one up to here, which looks at few of those in it."""


class Entry:
    """A target in the schedule, from the configuration that brings it to the one that drops it.

    Its place is a value, and changes in the schedule's sight only.
    """

    __slots__ = ("_is_dropped", "_moved", "_place")

    def __init__(self, place: Place, moved: Callable[["Entry"], None]) -> None:
        self._place = place
        self._moved = moved
        self._is_dropped = False

    @property
    def place(self) -> Place:
        """When its next request may go, and how its polls went."""
        return self._place

    @property
    def target(self) -> Target:
        """The target, as the configuration calls it now."""
        return self._place.target

    @property
    def is_dropped(self) -> bool:
        """Whether the configuration has let go of it, so that what is under way means nothing any more."""
        return self._is_dropped

    def move(self, place: Place) -> None:
        """Replace its place."""
        self._place = place
        self._moved(self)

    def drop(self) -> None:
        """Note that the configuration has let go of it."""
        self._is_dropped = True


class Turn(NamedTuple):
    """When the targets of a credential may go. slow_turn_at: until then, its slow ones only where no other wants to."""

    ready_at: float
    slow_turn_at: float = 0.0


class _Group(NamedTuple):
    """What targets have in common of which the one that has been due for longest is the most overdue at any time."""

    is_slow: bool
    is_quick_retry: bool
    is_between_parts: bool
    interval: float


_Item = tuple[float, int]
"""A moment by which targets are sorted, then their position in the configuration."""


class _Queue:
    """The targets of one credential of which no request is under way, in sorted lists.

    waiting: by when their requests may go. ready: those that may, by when they were due.
    """

    def __init__(self) -> None:
        self.waiting: list[_Item] = []
        self.ready: defaultdict[_Group, list[_Item]] = defaultdict(list)

    def first_retired(self) -> int:
        """Return where in `waiting` those begin that have no next request."""
        return bisect_left(self.waiting, (math.inf, -1))


class Schedule:
    """All targets and when they are due; at the start all are, in the given order.

    Each request and each outcome moves one target in sorted lists; only a reload, or a hurry of all, looks at every
    one. The moments that it is given never go back.
    """

    def __init__(self, targets: Iterable[Target], now: float) -> None:
        # By position, which entries keep until all are arranged anew.
        self._entries: dict[int, Entry] = {}
        self._next_position = 0
        self._by_key: dict[Hashable, Entry] = {}
        # Only an entry with a position is filed.
        self._positions: dict[Entry, int] = {}
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._filed: dict[Entry, tuple[list[_Item], _Item]] = {}
        self._moved: set[Entry] | None = None
        self._organizations: Mapping[str, tuple[str, ...]] | None = None
        self._arrange([self._new(target, now) for target in targets])

    def __len__(self) -> int:
        """How many targets there are."""
        return len(self._entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in the order of the configuration, then in the order in which they were found."""
        return tuple(self._entries.values())

    def get(self, key: Hashable) -> Entry | None:
        """Return the entry of a target, None where there is no such target."""
        return self._by_key.get(key)

    def reload(self, difference: Difference, renewed: Container[str], now: float) -> None:
        """Go on with other targets: those that stay keep their places, new ones are due at once, others are dropped.

        renewed: the credentials that what failed with them is tried again at once with.
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
        """Go on with some targets as others, or besides those there are, and without those that are gone."""
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
        """Begin again as at the start; what is under way means nothing any more."""
        entries = self.entries
        self._arrange(())
        for entry in entries:
            entry.drop()
        self._arrange([self._new(entry.target, now) for entry in entries])

    def renew(self, credential: str, now: float) -> None:
        """Try again at once what failed with a credential whose secrets are not what they were."""
        entries = self.entries
        self._arrange(())
        for entry in entries:
            if entry.target.credential == credential:
                entry.move(entry.place.kept(entry.target, now, is_renewed=True))
        self._arrange(entries)

    def take_moved(self) -> Collection[Entry] | None:
        """Return which entries have moved since this was last asked, None where all may have."""
        moved, self._moved = self._moved, set()
        return moved

    @property
    def organizations(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the organizations that are read with each credential."""
        if self._organizations is None:
            self._organizations = organizations_of(entry.target for entry in self.entries)
        return self._organizations

    @property
    def retired(self) -> int:
        """How many targets have no next request."""
        return sum(len(it.waiting) - it.first_retired() for it in self._queues.values())

    def unfinished(self) -> Collection[str]:
        """Return the credentials of targets that have a next request, and none under way."""
        return [
            name
            for name, queue in self._queues.items()
            if queue.first_retired() or any(queue.ready.values())
        ]

    def hurry(self, now: float) -> None:
        """Make every target due at once, but for those whose poll is under way."""
        entries = self.entries
        self._arrange(())
        for entry in entries:
            entry.move(entry.place.due_by(now))
        self._arrange(entries)

    def next(self, now: float, turns: Mapping[str, Turn]) -> tuple[Entry | None, float]:
        """Return the entry whose request goes next, or None and when to look again (infinity: after an answer).

        turns: by the name of the credential, when its targets may go.
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
                    # Of those that are due alike, the first in the configuration.
                    -position,
                )
                if rank > first_rank:
                    chosen, first_rank = entry, rank
                if group.is_between_parts and not gives_way:
                    unfinished = min(unfinished or entry, entry, key=lambda it: it.place.due)
        # Else what one list has found would all be polled before the next list has gone on.
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
        """Give an entry the position after all others."""
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
        """Put an entry where its place is now."""
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
        """Let those that have waited until `now` be among those that may go."""
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
    """Add `more` to a sorted list: thousands that have become due together in one go."""
    if len(more) <= MOST_ONE_BY_ONE:
        for item in more:
            insort(items, item)
    else:
        items += more
        items.sort()
