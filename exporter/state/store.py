"""What is exposed: the state and the lines of every target. Withdraws balances that are too old.

Everything is checked, and its values are formatted, before it is stored. A scrape takes references, so it cannot fail,
and what it holds cannot change.
"""

import math
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import NamedTuple, cast

from msgspec.structs import replace

from exporter.clocks import missed
from exporter.custody.errors import SERIES_LIMIT_TYPE, CustodyError
from exporter.metrics.lines import Lines, Snapshot
from exporter.resources import RESOURCES
from exporter.resources.resource import Description, Exposed
from exporter.resources.target import AT_ONCE, Key, Target, TargetChange
from exporter.state.descriptions import Descriptions
from exporter.state.lines import TARGETS, OwnLines, StateLines, info_lines, paused_lines
from exporter.state.state import TargetState, exposed_again, withdrawn
from exporter.turns import Steps, at_once

StaleAfter = Callable[[Target], float]


class Renamed(NamedTuple):
    """Balances `before` and `after` a target is renamed."""

    before: Exposed
    after: Exposed


class Store:
    """The states of all targets.

    stale_after: returns the maximum age in seconds of a target's balances.
    max_series: maximum number of series made from answers: balances, tasks and whitelists.
    series: their number.
    """

    def __init__(
        self, targets: Iterable[Target], *, stale_after: StaleAfter, max_series: int
    ) -> None:
        self._states: dict[Key, TargetState] = {}
        self._descriptions = Descriptions()
        # When balances may become too old, earliest first, for the current lead of the wall clock; None if to be
        # computed.
        self._stale_at: list[tuple[float, Key]] | None = None
        self._watched: dict[Key, float] = {}
        self._lead = 0.0
        self._tries: dict[Key, float] = {}
        self._paused: frozenset[str] = frozenset()
        self._own_lines: dict[Key, OwnLines] = {}
        self._facts: dict[Key, Lines] = {}
        # Of all targets together; rendered again by the next scrape after a change.
        self._info_lines: Lines | None = None
        self._paused_lines: Lines | None = None
        self.series = 0
        self.plan(stale_after, max_series)
        self.change(map(TargetChange, targets))

    def renamed(self, targets: Iterable[Target]) -> Steps[Mapping[Key, Renamed]]:
        """Return the balances of targets that get other names or minima in `targets`, rendered again, for `change`.

        Yields wherever other tasks have waited long enough.
        """
        renamed = {}
        for target in targets:
            state = self._states.get(target.key)
            if state and state.balances and not state.target.is_exposed_as(target):
                before = state.balances
                renamed[target.key] = Renamed(before, (yield from exposed_again(before, target)))
                yield
        return renamed

    def plan(self, stale_after: StaleAfter, max_series: int) -> None:
        """Change the maximum age of balances, and the maximum number of series."""
        self._stale_after, self._max_series = stale_after, max_series
        self._stale_at = None

    def arrange(self, keys: Sequence[Key]) -> None:
        """Put all targets into this order."""
        if keys != list(self._states):
            self._states = {key: self._states[key] for key in keys}

    def change(
        self,
        changes: Iterable[TargetChange],
        gone: Iterable[Target] = (),
        *,
        renamed: Mapping[Key, Renamed] = MappingProxyType({}),
    ) -> None:
        """Add or replace the targets in `changes` and remove those in `gone`; what stays keeps its state.

        renamed: balances of those whose names change (see `renamed`); answers read since then are rendered again here.
        """
        for target in gone:
            state = self._states.pop(target.key)
            self._descriptions.exchange(_described(state.balances), ())
            self.series -= _series(state.balances)
            for known in (
                self._own_lines,
                self._facts,
                self._tries,
                self._watched,
            ):
                known.pop(target.key, None)
        for target, old in changes:
            self._put_target(target, old, renamed)
        self._info_lines = self._paused_lines = None

    def _put_target(
        self, target: Target, old: Target | None, renamed: Mapping[Key, Renamed]
    ) -> None:
        key = target.key
        before = self._states[key] if old else TargetState(target)
        state = self._moved(before, target, renamed) if old else before
        self._states[key] = state
        if old is None or (old.labels, old.credential) != (target.labels, target.credential):
            self._own_lines[key] = OwnLines.of(target)
        self._facts.pop(key, None)
        if target.facts:
            self._facts[key] = target.facts

    def _moved(
        self, state: TargetState, target: Target, renamed: Mapping[Key, Renamed]
    ) -> TargetState:
        balances = state.balances
        if balances and not state.target.is_exposed_as(target):
            prepared = renamed.get(target.key)
            if prepared and prepared.before is balances:
                balances = prepared.after
            else:
                balances = at_once(exposed_again(balances, target))
        return replace(state, target=target, balances=balances)

    def __getitem__(self, target: Target) -> TargetState:
        """Return the state of `target`, whatever its name."""
        return self._states[target.key]

    def find(self, key: Hashable) -> TargetState | None:
        """Return the state of the target with this key, None if there is no such target."""
        return cast("dict[Hashable, TargetState]", self._states).get(key)

    @property
    def descriptions(self) -> Container[Description]:
        """All current descriptions."""
        return self._descriptions.known

    def states(self) -> Iterable[TargetState]:
        """Return all states, in the order of the configuration."""
        return self._states.values()

    def put(self, state: TargetState) -> None:
        """Replace the state of a target.

        Raises CustodyError, and changes nothing, if its balances would exceed `max_series`.
        """
        old = self._states.get(state.target.key)
        held = old.balances if old else None
        series = self.series + _series(state.balances) - _series(held)
        if series > max(self._max_series, self.series):
            raise CustodyError(
                SERIES_LIMIT_TYPE,
                status=200,
                message=f"{_series(state.balances)} series would make {series} in all; "
                f"polling.max_series is {self._max_series}",
            )
        self.series = series
        if state.failed_try:
            self._tries[state.target.key] = state.failed_try.began
        else:
            self._tries.pop(state.target.key, None)
        if state.balances is not held:
            state = self._with_shared(state, _described(held))
            self._watch(state)
        self._states[state.target.key] = state

    def _with_shared(self, state: TargetState, held: tuple[Description, ...]) -> TargetState:
        """Return `state` with shared descriptions, which replace `held`, those that its target had before."""
        if state.balances is None:
            self._descriptions.exchange(held, ())
            return state
        shared = self._descriptions.exchange(held, state.balances.described, state.balances.new)
        return replace(state, balances=replace(state.balances, described=shared, new={}))

    def forget(self) -> Steps[None]:
        """Reset every target to its initial state; yields wherever other tasks have waited long enough."""
        # By key: releasing thousands of states at once takes long.
        for number, key in enumerate(list(self._states), 1):
            self.put(TargetState(self._states[key].target))
            if number % AT_ONCE == 0:
                yield

    def show_paused(self, credentials: frozenset[str]) -> None:
        """Show the targets of these credentials, and no others, as paused."""
        if credentials != self._paused:
            self._paused = credentials
            self._paused_lines = None

    def withdraw_stale(self, now: float, lead: float) -> list[TargetState]:
        """Withdraw balances that are too old; return their targets' states.

        now: seconds of `clocks.boottime`. lead: trusted lead of the wall clock over it.
        """
        if self._stale_at is None or abs(lead - self._lead) > 1:
            self._lead = lead
            held = [state for state in self.states() if state.balances]
            self._watched = {state.target.key: self._served_until(state) for state in held}
            self._stale_at = [(moment, key) for key, moment in self._watched.items()]
            heapify(self._stale_at)
        stale = []
        # Called before every request and every page: too often to look at thousands of targets.
        while self._stale_at and self._stale_at[0][0] < now:
            moment, key = heappop(self._stale_at)
            if self._watched.get(key) != moment:
                continue
            del self._watched[key]
            state = self._states[key]
            # Most have been read again meanwhile.
            if state.balances is None or self._served_until(state) >= now:
                self._watch(state)
                continue
            stale.append(withdrawn(state))
            self.put(stale[-1])
        return stale

    def _watch(self, state: TargetState) -> None:
        """Check a target again when its balances may be too old, whatever is read until then."""
        if self._stale_at is None or state.balances is None:
            return
        key, moment = state.target.key, self._served_until(state)
        if moment < self._watched.get(key, math.inf):
            self._watched[key] = moment
            heappush(self._stale_at, (moment, key))

    def _served_until(self, state: TargetState) -> float:
        """Return when the balances of a target expire, in seconds of `clocks.boottime`."""
        # A target with balances has succeeded before.
        older = missed(state.read_at, cast("float", state.last_success), self._lead)
        return state.read_at + self._stale_after(state.target) - older

    def overdue_tries(self, began_by: float) -> list[TargetState]:
        """Return the states with a failed try that began by `began_by` (monotonic) and is not shown yet."""
        return [self._states[key] for key, began in self._tries.items() if began <= began_by]

    def snapshot(self) -> Snapshot:
        """Return a snapshot of everything exposed."""
        resources = RESOURCES.values()
        described = [it.described.metrics for it in resources if it.described]
        if self._info_lines is None:
            self._info_lines = info_lines(self._own_lines.values())
        if self._paused_lines is None:
            self._paused_lines = paused_lines(self._own_lines.values(), self._paused)
        pages: dict[str, list[Lines]] = {it.kind: [] for it in resources}
        for state in self._states.values():
            if state.balances:
                pages[state.target.kind].append(state.balances.lines)
        return Snapshot(
            (
                *((it.metrics, tuple(pages[it.kind])) for it in resources),
                (
                    tuple(metric for it in resources for metric in it.facts),
                    tuple(self._facts.values()),
                ),
                (
                    tuple(metric for metrics in described for metric in metrics),
                    self._descriptions.pages(),
                ),
                (
                    TARGETS.metrics,
                    (*self._state_lines(), self._info_lines, self._paused_lines),
                ),
            ),
        )

    def _state_lines(self) -> list[StateLines]:
        """Return the samples of all states, AT_ONCE at a time."""
        states = [(own.labels, self._states[key]) for key, own in self._own_lines.items()]
        return [StateLines(states[it : it + AT_ONCE]) for it in range(0, len(states), AT_ONCE)]


def _series(balances: Exposed | None) -> int:
    return balances.series if balances else 0


def _described(balances: Exposed | None) -> tuple[Description, ...]:
    return balances.described if balances else ()
