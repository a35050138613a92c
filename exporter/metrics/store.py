"""What is exposed now: the state of every target, as rendered lines; withdraws balances that are too old.

Everything is checked and rendered when it is put in. A scrape takes references, so it cannot fail, and what it
took cannot change under it.
"""

from collections.abc import Iterable
from dataclasses import replace

from exporter.custody.errors import SERIES_LIMIT_TYPE, CustodyError
from exporter.custody.models import Asset
from exporter.metrics import catalog
from exporter.metrics.catalog import Metric
from exporter.metrics.render import Lines, asset_lines, threshold_lines
from exporter.metrics.state import Balances, TargetState, target_lines
from exporter.targets import Target


class Store:
    """The states of all targets.

    stale_after: the age in seconds up to which balances are served. max_series: how many balance series are held
    at the most. series: how many are.
    """

    def __init__(self, targets: Iterable[Target], *, stale_after: float, max_series: int) -> None:
        self._stale_after = stale_after
        self._max_series = max_series
        self._states: dict[Target, TargetState] = {}
        self._target_lines: dict[Target, Lines] = {}
        self._thresholds = [threshold_lines(target) for target in targets]
        self._assets = _Assets()
        self.series = 0
        for target in targets:
            self.put(TargetState(target))

    def __getitem__(self, target: Target) -> TargetState:
        """Return the state of `target`."""
        return self._states[target]

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
        if state.balances is not held:
            self._assets.replace(_assets(held), _assets(state.balances))
        self._states[state.target] = state
        self._target_lines[state.target] = target_lines(state)

    def withdraw_stale(self, now: float) -> list[TargetState]:
        """Withdraw the balances that at `now` (monotonic) are older than they may be; return their targets' states."""
        withdrawn = [
            replace(state, balances=None, is_stale=True)
            for state in self._states.values()
            if state.balances is not None and now - state.balances.read_at > self._stale_after
        ]
        for state in withdrawn:
            self.put(state)
        return withdrawn

    def families(self) -> list[tuple[Metric, list[bytes]]]:
        """Return each metric that has samples now, with its lines in as many pieces as there are."""
        balances = [state.balances.lines for state in self._states.values() if state.balances]
        pages: list[tuple[tuple[Metric, ...], Iterable[Lines]]] = [
            (catalog.BALANCES, balances),
            ((catalog.MIN_AVAILABLE,), self._thresholds),
            (catalog.ASSETS, self._assets.pages()),
            (catalog.TARGETS, self._target_lines.values()),
        ]
        families = (
            (metric, [lines[metric.name] for lines in page if metric.name in lines])
            for metrics, page in pages
            for metric in metrics
        )
        return [(metric, lines) for metric, lines in families if lines]


def _series(balances: Balances | None) -> int:
    return balances.series if balances else 0


def _assets(balances: Balances | None) -> tuple[Asset, ...]:
    return balances.assets if balances else ()


class _Assets:
    """Every asset that is held anywhere, once, described as in the answer that came last.

    Vaults may describe an asset differently for a while. So each description is kept with the number of vaults that
    gave it, the latest last.
    """

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], dict[Asset, int]] = {}
        self._lines: dict[Asset, Lines] = {}

    def replace(self, old: tuple[Asset, ...], new: tuple[Asset, ...]) -> None:
        """Take note that a vault which held `old` holds `new`."""
        # What a vault holds rarely changes from one poll to the next.
        if old == new:
            return
        for asset in new:
            holders = self._holders.setdefault((asset.asset, asset.asset_class), {})
            holders[asset] = holders.pop(asset, 0) + 1
            if asset not in self._lines:
                self._lines[asset] = asset_lines(asset)
        for asset in old:
            key = (asset.asset, asset.asset_class)
            holders = self._holders[key]
            holders[asset] -= 1
            if not holders[asset]:
                del holders[asset], self._lines[asset]
            if not holders:
                del self._holders[key]

    def pages(self) -> list[Lines]:
        """Return the lines of each asset."""
        return [self._lines[next(reversed(holders))] for holders in self._holders.values()]
