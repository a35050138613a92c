"""The assets that the demo's vaults hold, described as the API describes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedAsset:
    """What an asset row says about the asset itself (Kraken: List vault asset balances).

    `price` is the USD price around which the asset wanders, None if no rate exists;
    `volatility` from 0 to 1 says how far it wanders. `launch_time` is in Unix seconds.
    """

    asset: str
    name: str
    price: Decimal | None
    volatility: float
    color_code: str
    decimals: int = 8
    display_decimals: int = 6
    rate_decimals: int = 4
    funding_decimals: int = 8
    min_lot: Decimal = Decimal("0.001")
    virtual: bool = True
    asset_class: str = "currency"
    launch_time: int | None = None

    def description(self) -> dict[str, object]:
        """Return the descriptive fields of a row, as JSON carries them."""
        return {
            "asset": self.asset,
            "asset_class": self.asset_class,
            "name": self.name,
            "name_full": self.name,
            "symbol": self.asset,
            "decimals": self.decimals,
            "display_decimals": self.display_decimals,
            "rate_decimals": self.rate_decimals,
            "funding_decimals": self.funding_decimals,
            "min_lot": f"{self.min_lot:.{self.decimals}f}",
            "reserve": False,
            "virtual": self.virtual,
            "metadata": {"color_code": self.color_code},
            "launch_time": None if self.launch_time is None else str(self.launch_time),
        }

    def listed(self) -> dict[str, object]:
        """Return its row in the list of assets; the names of the members are assumed."""
        actions = ["deposit", "withdraw", "transfer_to_spot", "transfer_to_vault"]
        names = ("asset", "asset_class", "name", "symbol", "decimals", "display_decimals")
        return {
            **{name: text for name, text in self.description().items() if name in names},
            "network": self.name if self.virtual else None,
            "actions": actions,
        }


def _coin(asset: str, name: str, price: str, volatility: float, color_code: str) -> SimulatedAsset:
    return SimulatedAsset(
        asset=asset,
        name=name,
        price=Decimal(price),
        volatility=volatility,
        color_code=color_code,
        decimals=10,
    )


def _stablecoin(asset: str, name: str, color_code: str) -> SimulatedAsset:
    return SimulatedAsset(
        asset=asset,
        name=name,
        price=Decimal(1),
        volatility=0.01,
        color_code=color_code,
        display_decimals=2,
        funding_decimals=6,
        min_lot=Decimal("0.01"),
    )


def _fiat(asset: str, name: str, price: str, volatility: float, color_code: str) -> SimulatedAsset:
    return SimulatedAsset(
        asset=asset,
        name=name,
        price=Decimal(price),
        volatility=volatility,
        color_code=color_code,
        decimals=4,
        display_decimals=2,
        funding_decimals=4,
        min_lot=Decimal("0.01"),
        virtual=False,
    )


def _stock(asset: str, name: str, price: str, color_code: str) -> SimulatedAsset:
    return SimulatedAsset(
        asset=asset,
        name=name,
        price=Decimal(price),
        volatility=0.4,
        color_code=color_code,
        asset_class="tokenised_asset",
        launch_time=1_751_241_600,  # 2025-06-30
    )


def _by_code(assets: Iterable[SimulatedAsset]) -> dict[str, SimulatedAsset]:
    return {asset.asset: asset for asset in assets}


ASSETS = _by_code(
    (
        SimulatedAsset(
            asset="BTC",
            name="Bitcoin",
            price=Decimal(65000),
            volatility=0.6,
            color_code="#F7931A",
            display_decimals=8,
            rate_decimals=8,
            min_lot=Decimal("0.0001"),
        ),
        _coin("ETH", "Ether", "3400", 0.7, "#627EEA"),
        _coin("SOL", "Solana", "168", 1.0, "#9945FF"),
        _coin("DOT", "Polkadot", "6.2", 0.9, "#E6007A"),
        _coin("ADA", "Cardano", "0.62", 0.9, "#0033AD"),
        _coin("ATOM", "Cosmos", "7.4", 0.9, "#2E3148"),
        _coin("XRP", "XRP", "1.35", 0.8, "#23292F"),
        _coin("LINK", "Chainlink", "17.8", 0.8, "#2A5ADA"),
        _coin("PAXG", "PAX Gold", "2650", 0.2, "#E4CE4D"),
        _stablecoin("USDC", "USD Coin", "#2775CA"),
        _stablecoin("USDT", "Tether USD", "#26A17B"),
        _fiat("USD", "US Dollar", "1", 0.0, "#85BB65"),
        _fiat("EUR", "Euro", "1.08", 0.1, "#003399"),
        _stock("AAPLX", "Apple xStock", "228", "#555555"),
        _stock("TSLAX", "Tesla xStock", "310", "#CC0000"),
        SimulatedAsset(
            asset="TIDE",
            name="Tidewater",
            price=Decimal("2.4"),
            volatility=1.0,
            color_code="#0FB5BA",
            launch_time=1_793_620_800,  # 2026-11-02
        ),
        SimulatedAsset(
            asset="NOVA",
            name="Nova Protocol (vesting)",
            price=None,
            volatility=0.0,
            color_code="#7A3FF2",
        ),
    )
)


def invented_asset(number: int) -> SimulatedAsset:
    """Return an asset for portfolios larger than the catalogue; equal numbers give equal assets."""
    return SimulatedAsset(
        asset=f"T{number:04d}",
        name=f"Token {number}",
        price=Decimal(1 + number % 997),
        volatility=0.5,
        color_code="#808080",
    )
