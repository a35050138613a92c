"""What is exposed now: the state of every target, as rendered lines; withdraws balances that are too old.

Everything is checked and rendered when it is put in. A scrape takes references, so it cannot fail, and what it
took cannot change under it.
"""

import math
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from exporter.clocks import missed
from exporter.custody.errors import SERIES_LIMIT_TYPE, CustodyError
from exporter.custody.models import Asset
from exporter.metrics import catalog
from exporter.metrics.assets import HeldAssets
from exporter.metrics.catalog import Metric
from exporter.metrics.render import Lines, threshold_lines
from exporter.metrics.state import (
    Balances,
    TargetState,
    info_lines,
    moved,
    paused_lines,
    target_lines,
)
from exporter.targets import Target, TargetChange

StaleAfter = Callable[[Target], float]


class Store:
    """The states of all targets.

    stale_after: the age in seconds up to which a target's balances are served. max_series: how many balance series
    are held at the most. series: how many are.
    """

    def __init__(
        self, targets: Iterable[Target], *, stale_after: StaleAfter, max_series: int
    ) -> None:
        self._states: dict[Target, TargetState] = {}
        self._assets = HeldAssets()
        self._version = 0
        # None of the balances that are held is too old before, by that lead of the wall clock.
        self._next_stale_at = math.inf
        self._lead = 0.0
        self._oldest_try_at = math.inf
        self._paused: frozenset[str] = frozenset()
        self.series = 0
        self.reload(map(TargetChange, targets), stale_after=stale_after, max_series=max_series)

    def reload(
        self,
        targets: Iterable[TargetChange],
        gone: Iterable[Target] = (),
        *,
        stale_after: StaleAfter,
        max_series: int,
    ) -> None:
        """Go on with `targets`: those that stay keep their states under their new names."""
        states = [
            moved(self._states[old], target) if old else TargetState(target)
            for target, old in targets
        ]
        for target in gone:
            self._assets.exchange(_assets(self._states[target].balances), ())
        self._states = {state.target: state for state in states}
        self._target_lines = {state.target: target_lines(state) for state in states}
        self._info_lines = info_lines(self._states)
        self._paused_lines = paused_lines(self._states, self._paused)
        self._thresholds = tuple(threshold_lines(state.target) for state in states)
        self._stale_after = stale_after
        self._max_series = max_series
        self._version += 1
        self.series = sum(_series(state.balances) for state in states)
        self._look_ahead()

    def __getitem__(self, target: Target) -> TargetState:
        """Return the state of `target`."""
        return self._states[target]

    @property
    def held_assets(self) -> Container[Asset]:
        """The assets that are held anywhere, as they are described."""
        return self._assets

    def states(self) -> Iterable[TargetState]:
        """Return all states, in the order of the configuration."""
        return self._states.values()

    def put(self, state: TargetState) -> None:
        """Replace the state of a target.

        Raises CustodyError, and changes nothing, where its balances would exceed the number of series that may be held.
        """
        old = self._states.get(state.target)
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
        self._version += 1
        self._next_stale_at = min(self._next_stale_at, self._stale_at(state))
        if state.failed_try:
            self._oldest_try_at = min(self._oldest_try_at, state.failed_try.began)
        if state.balances is not held:
            state = self._with_shared_assets(state, _assets(held))
        self._states[state.target] = state
        self._target_lines[state.target] = target_lines(state)

    def _with_shared_assets(self, state: TargetState, held: tuple[Asset, ...]) -> TargetState:
        """Return `state` with descriptions that all targets share, in place of `held`, which its target had before."""
        if state.balances is None:
            self._assets.exchange(held, ())
            return state
        shared = self._assets.exchange(held, state.balances.assets, state.balances.asset_lines)
        return replace(state, balances=replace(state.balances, assets=shared, asset_lines={}))

    def show_paused(self, credentials: frozenset[str]) -> None:
        """Show the targets of these credentials, and no others, as paused."""
        if credentials != self._paused:
            self._paused = credentials
            self._paused_lines = paused_lines(self._states, credentials)
            self._version += 1

    def withdraw_stale(self, now: float, lead: float) -> list[TargetState]:
        """Withdraw the balances that are older than they may be; return their targets' states.

        now: seconds of `clocks.boottime`. lead: of the wall clock over it, as far as it is believed.
        """
        # Asked before every request and every page: too often to look through thousands of targets each time.
        if now <= self._next_stale_at and abs(lead - self._lead) <= 1:
            return []
        self._lead = lead
        withdrawn = [
            replace(state, balances=None, is_stale=True)
            for state in self.states()
            if now > self._stale_at(state)
        ]
        for state in withdrawn:
            self.put(state)
        self._look_ahead()
        return withdrawn

    def _look_ahead(self) -> None:
        self._next_stale_at = min(map(self._stale_at, self.states()), default=math.inf)

    def _stale_at(self, state: TargetState) -> float:
        """Return until when the balances of a target are served, in seconds of `clocks.boottime`."""
        if state.balances is None:
            return math.inf
        read_at = state.balances.read_at
        # What has balances was read once.
        older = missed(read_at, cast("float", state.last_success), self._lead)
        return read_at + self._stale_after(state.target) - older

    def overdue_tries(self, began_by: float) -> list[TargetState]:
        """Return the states whose failed try began at `began_by` (monotonic) or before, and is not shown yet."""
        if began_by < self._oldest_try_at:
            return []
        tries = [(state, state.failed_try.began) for state in self.states() if state.failed_try]
        self._oldest_try_at = min(
            (began for _, began in tries if began > began_by), default=math.inf
        )
        return [state for state, began in tries if began <= began_by]

    def snapshot(self) -> "Snapshot":
        """Return what is exposed now."""
        return Snapshot(
            version=self._version,
            balances=tuple(state.balances.lines for state in self.states() if state.balances),
            thresholds=self._thresholds,
            assets=self._assets.pages(),
            targets=(*self._target_lines.values(), self._info_lines, self._paused_lines),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is exposed at one moment, in references: it is quickly made, and nothing of it changes any more.

    version: another number for each content.
    """

    version: int
    balances: tuple[Lines, ...]
    thresholds: tuple[Lines, ...]
    assets: tuple[Lines, ...]
    targets: tuple[Lines, ...]

    def families(self) -> Iterator[tuple[Metric, list[bytes]]]:
        """Yield each metric that has samples, with its lines in as many pieces as there are."""
        for metrics, pages in (
            (catalog.BALANCES, self.balances),
            ((catalog.MIN_AVAILABLE,), self.thresholds),
            (catalog.ASSETS, self.assets),
            (catalog.TARGETS, self.targets),
        ):
            for metric in metrics:
                lines = [page[metric.name] for page in pages if metric.name in page]
                if lines:
                    yield metric, lines


def _series(balances: Balances | None) -> int:
    return balances.series if balances else 0


def _assets(balances: Balances | None) -> tuple[Asset, ...]:
    return balances.assets if balances else ()
