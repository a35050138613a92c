"""Targets that are due but cannot be polled: shown as failing, with the reason, earliest due first."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final

from exporter.polling.parts import Parts
from exporter.polling.pause import Cause
from exporter.polling.schedule import Entry

MOST_AT_ONCE: Final = 100
"""Maximum targets shown at a time: each is a log event, and thousands may be due when a key is refused."""


class _Blocked:
    """The targets of a credential that do not show error type `type_` yet, ordered by due time."""

    def __init__(self, type_: str, entries: Iterable[Entry]) -> None:
        self.type = type_
        self._count = 0
        self._due = [self._item(entry) for entry in entries]
        heapify(self._due)

    def add(self, entry: Entry) -> None:
        heappush(self._due, self._item(entry))

    def take(self, due_by: float) -> Entry | None:
        """Return the next target that was due by `due_by` and is still waiting, or None."""
        while self._due and self._due[0][0] <= due_by:
            due, _, entry = heappop(self._due)
            # A target that has moved since then was added again.
            if entry.place.due == due and not entry.place.is_sending and not entry.is_dropped:
                return entry
        return None

    def _item(self, entry: Entry) -> tuple[float, int, Entry]:
        self._count += 1
        return entry.place.due, self._count, entry


class BlockedTargets:
    """Shows blocked targets; each call looks only at those that have become due or moved since the last one."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._by_credential: dict[str, _Blocked] = {}

    def show(self, now: float, patience: float) -> bool:
        """Show the next blocked targets; return whether there are more.

        patience: seconds that an overdue target waits before it is shown while its credential's requests get no answer.
        """
        causes: dict[str, tuple[Cause, float]] = {}
        paused = set()
        for name, credential in self._parts.credentials.items():
            if cause := self._parts.pause_of_all.cause or credential.pause.cause:
                paused.add(name)
                causes[name] = cause, now
            elif credential.silence.is_total and credential.silence.cause:
                # A target whose turn is near is not blocked: a few quick failures must not make all targets fail.
                causes[name] = credential.silence.cause, now - patience
        self._parts.results.paused(frozenset(paused))
        self._follow({name: cause.type for name, (cause, _) in causes.items()})
        return any(self._show(name, *cause) for name, cause in causes.items())

    def _follow(self, types: dict[str, str]) -> None:
        """Track the targets of blocked credentials. types: the error type that blocks each, by credential."""
        schedule = self._parts.schedule
        moved = schedule.take_moved()
        self._by_credential = {
            name: blocked
            for name, blocked in self._by_credential.items()
            if moved is not None and types.get(name) == blocked.type
        }
        for entry in moved or ():
            if blocked := self._by_credential.get(entry.target.credential):
                blocked.add(entry)
        for name in types.keys() - self._by_credential.keys():
            entries = (entry for entry in schedule.entries if entry.target.credential == name)
            self._by_credential[name] = _Blocked(types[name], entries)

    def _show(self, name: str, cause: Cause, due_by: float) -> bool:
        blocked = self._by_credential[name]
        for _ in range(MOST_AT_ONCE):
            entry = blocked.take(due_by)
            if entry is None:
                return False
            self._parts.results.blocked(entry.target, cause)
        return True
