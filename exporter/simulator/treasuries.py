"""Who owns what in the demo: plain data, to which `portfolio` adds movement."""

from collections.abc import Mapping
from typing import NamedTuple

from exporter.simulator.wander import MINUTE, Season


class VaultPlan(NamedTuple):
    """A vault's name, the chance of a hold in a quarter of an hour, and what it holds.

    `holdings` maps asset codes to "spot staked pledged" in units of the asset.
    """

    name: str
    bustle: float
    holdings: Mapping[str, str]


# (id, name, vaults) of each organization
TREASURIES: tuple[tuple[str, str, tuple[VaultPlan, ...]], ...] = (
    (
        "NRTH WIND TRSY 0001",
        "Northwind Treasury",
        (
            VaultPlan(
                "cold-reserve",
                0.02,
                {"BTC": "1240.5 0 0", "ETH": "8200 0 0", "PAXG": "350 0 0", "XRP": "2400000 0 0"},
            ),
            VaultPlan(
                "hot-withdrawals",
                0.7,
                {
                    "BTC": "38.2 0 0",
                    "ETH": "410 0 0",
                    "SOL": "6200 0 0",
                    "XRP": "310000 0 0",
                    "USDC": "1250000 0 0",
                    "USDT": "840000 0 0",
                },
            ),
            VaultPlan(
                "staking",
                0.1,
                {
                    "ETH": "64 4096 0",
                    "SOL": "150 48000 0",
                    "DOT": "900 210000 0",
                    "ADA": "25000 3100000 0",
                    "ATOM": "400 92000 0",
                },
            ),
            VaultPlan(
                "collateral",
                0.05,
                {"BTC": "20 0 180", "ETH": "150 320 1200", "USDC": "100000 0 2500000"},
            ),
            VaultPlan(
                "fiat-settlement",
                0.5,
                {"USD": "4200000 0 0", "EUR": "1850000 0 0", "USDC": "600000 0 0"},
            ),
        ),
    ),
    (
        "HELX FUND CUST 0002",
        "Helix Fund",
        (
            VaultPlan(
                "otc-desk",
                0.8,
                {
                    "BTC": "95 0 0",
                    "ETH": "1300 0 0",
                    "LINK": "42000 0 0",
                    "USDT": "3600000 0 0",
                    "USD": "2750000 0 0",
                },
            ),
            VaultPlan(
                "equities", 0.2, {"AAPLX": "5200 0 0", "TSLAX": "3100 0 0", "USD": "310000 0 0"}
            ),
            VaultPlan(
                "ventures", 0.05, {"NOVA": "900000 0 0", "TIDE": "1250000 0 0", "LINK": "8000 0 0"}
            ),
            VaultPlan("validators", 0.1, {"SOL": "220 31000 4000", "ATOM": "150 64000 0"}),
            VaultPlan("cold-archive", 0.02, {"BTC": "310 0 25", "ETH": "2900 0 0"}),
        ),
    ),
)

# Vaults of the last organization that are repeatedly opened and archived, and the part of each period, in seconds, in
# which they are listed.
TEMPORARY: tuple[tuple[VaultPlan, Season], ...] = (
    (
        VaultPlan("airdrop-claims", 0.2, {"DOT": "900 0 0", "ATOM": "750 0 0"}),
        Season(20 * MINUTE, 4 * MINUTE, 14 * MINUTE),
    ),
    (
        VaultPlan("settlement-window", 0.4, {"USDC": "45000 0 0", "EUR": "12000 0 0"}),
        Season(30 * MINUTE, 11 * MINUTE, 27 * MINUTE),
    ),
)

# The vault that has another name during a part of each period.
RENAMED: Mapping[str, tuple[str, Season]] = {
    "validators": ("validators-eu", Season(40 * MINUTE, 9 * MINUTE, 33 * MINUTE))
}
