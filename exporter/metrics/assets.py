"""What is told of assets: each that is held anywhere, once, whatever the vaults make of it."""

from collections.abc import Mapping
from types import MappingProxyType

from exporter.custody.models import Asset
from exporter.metrics.render import Lines, asset_lines


class HeldAssets:
    """Every asset that is held anywhere, once, under the description that appeared last.

    Vaults may describe an asset differently for a while. So each description is kept with the number of vaults that
    gave it, the latest last. A vault that only repeats itself does not bring an older one back.
    """

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], dict[Asset, int]] = {}
        self._known: dict[Asset, tuple[Asset, Lines]] = {}

    def __contains__(self, asset: object) -> bool:
        """Whether a vault holds it, described like this."""
        return asset in self._known

    def exchange(
        self,
        old: tuple[Asset, ...],
        new: tuple[Asset, ...],
        lines: Mapping[Asset, Lines] = MappingProxyType({}),
    ) -> tuple[Asset, ...]:
        """Take note that a vault which held `old` holds `new`; return `new` as the objects that all vaults share.

        lines: of those that nobody held before, where they are made already: thousands take longer than others may
        wait.

        Most vaults describe their assets in the same words, and each answer brings new copies of them: kept as they
        come, they would take half as much memory as the samples.
        """
        # What a vault holds rarely changes from one poll to the next.
        if old == new:
            return old
        held = set(old)
        for asset in new:
            if asset not in held:
                self._add(asset, lines)
        for asset in held.difference(new):
            self._remove(asset)
        return tuple(self._known[asset][0] for asset in new)

    def pages(self) -> tuple[Lines, ...]:
        """Return the lines of each asset."""
        return tuple(self._known[next(reversed(holders))][1] for holders in self._holders.values())

    def _add(self, asset: Asset, lines: Mapping[Asset, Lines]) -> None:
        holders = self._holders.setdefault((asset.asset, asset.asset_class), {})
        holders[asset] = holders.pop(asset, 0) + 1
        if asset not in self._known:
            self._known[asset] = asset, lines.get(asset) or asset_lines(asset)

    def _remove(self, asset: Asset) -> None:
        key = (asset.asset, asset.asset_class)
        holders = self._holders[key]
        holders[asset] -= 1
        if not holders[asset]:
            del holders[asset], self._known[asset]
        if not holders:
            del self._holders[key]
