"""One asset in one vault: its amounts at a given time, and the row that the API returns for it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from exporter.simulator.assets import SimulatedAsset
from exporter.simulator.wander import DAY, Holds, Wander

QUOTE_ASSET = "USD"
_QUOTE_DECIMALS = 2


class HeldAmounts(NamedTuple):
    """Parts of one balance, in units of the asset, or in USD once valued. `hold` is a part of `spot`."""

    spot: Decimal
    hold: Decimal
    staked: Decimal
    pledged: Decimal

    @property
    def balance(self) -> Decimal:
        """Everything the vault owns of the asset."""
        return self.spot + self.staked + self.pledged

    @property
    def available(self) -> Decimal:
        """What could be withdrawn now."""
        return self.spot - self.hold

    def rounded(self, decimals: int) -> "HeldAmounts":
        """Return the parts rounded one by one, so that the sums stay exact after rounding."""
        return HeldAmounts(*(_rounded(part, decimals) for part in self))


@dataclass(frozen=True, slots=True)
class Holding:
    """An asset in a vault: the amounts around which it moves, and how it moves."""

    asset: SimulatedAsset
    base: HeldAmounts
    market: Wander
    flow: Wander
    holds: Holds

    def amounts(self, now: float) -> HeldAmounts:
        """Return the amounts at `now` (Unix seconds), with all decimals of the asset."""
        moved = Decimal(self.flow.at(now))
        return HeldAmounts(
            spot=self.base.spot * moved,
            # Of the base, not of the moving spot: the amount of a withdrawal does not change while it waits.
            hold=self.base.spot * Decimal(self.holds.at(now)),
            staked=self.base.staked * moved,
            pledged=self.base.pledged,
        ).rounded(self.asset.decimals)

    def price(self, now: float) -> Decimal | None:
        """Return the USD price of one unit at `now`, None if there is no rate."""
        if self.asset.price is None:
            return None
        return _rounded(
            self.asset.price * Decimal(self.market.at(now)),
            self.asset.rate_decimals,
        )

    def value(self, now: float) -> HeldAmounts | None:
        """Return the amounts at `now` in USD, each rounded to the cent; None without a rate."""
        price = self.price(now)
        if price is None:
            return None
        return HeldAmounts(*(part * price for part in self.amounts(now))).rounded(_QUOTE_DECIMALS)

    def row(self, now: float, *, full_precision: bool) -> dict[str, object]:
        """Return the row at `now` as JSON carries it (Kraken: List vault asset balances).

        Amounts have all decimals of the asset with `full_precision`, else its funding decimals;
        the quote fields value the unrounded amounts. Fiat rows leave out what only crypto has.
        """
        asset = self.asset
        decimals = asset.decimals if full_precision else asset.funding_decimals
        exact = self.amounts(now)
        shown = exact.rounded(decimals)
        change = shown.balance - self.amounts(now - DAY).rounded(decimals).balance
        price = self.price(now)
        crypto_only = {
            "balance_diff": f"{change:f}",
            "staked": f"{shown.staked:f}",
            "pledged": f"{shown.pledged:f}",
        }
        return {
            **asset.description(),
            "balance": f"{shown.balance:f}",
            "spot": f"{shown.spot:f}",
            "hold": f"{shown.hold:f}",
            "available": f"{shown.available:f}",
            **(crypto_only if asset.virtual else {}),
            "quote_balance": _quoted(exact.balance, price),
            "quote_spot_balance": _quoted(exact.spot, price),
            "quote_available": _quoted(exact.available, price),
            "quote_price": None if price is None else f"{price:f}",
            "quote_asset": QUOTE_ASSET,
            "quote_asset_class": "currency",
        }


def _rounded(amount: Decimal, decimals: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-decimals))


def _quoted(amount: Decimal, price: Decimal | None) -> str | None:
    return None if price is None else f"{_rounded(amount * price, _QUOTE_DECIMALS):f}"
