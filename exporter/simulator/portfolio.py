"""The organizations and vaults that the simulator answers for: deterministic for (seed, time)."""

from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from itertools import count

from exporter.simulator.assets import ASSETS, SimulatedAsset, invented_asset
from exporter.simulator.holdings import QUOTE_ASSET, HeldAmounts, Holding
from exporter.simulator.treasuries import RENAMED, TEMPORARY, TREASURIES, VaultPlan
from exporter.simulator.wander import DAY, Holds, Season, Wander

# Amounts move less than prices, so that a quote value falls by less than 2 % in any hour.
_FLOW_SCALE = 0.25


class UnknownIdError(LookupError):
    """No organization or vault of the portfolio has this id."""


@dataclass(frozen=True, slots=True)
class Vault:
    """A vault; `id` has the form `^V[A-Z2-7]{12}[ACEGIKMOQSUWY246]$`.

    `season` is when it is listed, None for always: before that it is not open yet, afterwards it is archived. Its
    balances can be read by id even then. `renamed` is another name, and when it has that name.
    """

    id: str
    name: str
    holdings: tuple[Holding, ...]
    status: str = "created"
    season: Season | None = None
    renamed: tuple[str, Season] | None = None

    def is_listed(self, now: float) -> bool:
        """Return whether it is in the list of vaults at `now` (Unix seconds)."""
        return self.season is None or self.season.at(now)

    def name_at(self, now: float) -> str:
        """Return its name at `now` (Unix seconds)."""
        if self.renamed is not None and self.renamed[1].at(now):
            return self.renamed[0]
        return self.name

    def rows(self, now: float, *, full_precision: bool) -> list[dict[str, object]]:
        """Return one row for each asset at `now` (Unix seconds)."""
        return [holding.row(now, full_precision=full_precision) for holding in self.holdings]

    def listed(self, now: float) -> dict[str, object]:
        """Return its row in the list of vaults at `now` (Unix seconds; Kraken: List vaults)."""
        worth, before = self._worth(now), self._worth(now - DAY)
        return {
            "id": self.id,
            "iiban": invented_iiban(self.id),
            "name": self.name_at(now),
            "status": self.status,
            "balance_fiat": f"{worth:f}",
            "balance_diff": f"{worth - before:f}",
            "missing_rates": [
                {"asset": holding.asset.asset, "asset_class": holding.asset.asset_class}
                for holding in self.holdings
                if holding.asset.price is None
            ],
            "attributes": [],
            "deposit_lock_rekeying_only": False,
            "otc_enabled": False,
        }

    def _worth(self, now: float) -> Decimal:
        values = [value for holding in self.holdings if (value := holding.value(now)) is not None]
        return sum((value.balance for value in values), Decimal("0.00"))


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization; `id` is written in four groups of four letters or digits."""

    id: str
    name: str
    vaults: tuple[Vault, ...]
    status: str = "active"

    def balance(self, now: float) -> dict[str, object]:
        """Return the total over all vaults at `now` (Unix seconds; Kraken: List balances)."""
        values = [
            value
            for vault in self.vaults
            for holding in vault.holdings
            if (value := holding.value(now)) is not None
        ]
        zero = Decimal("0.00")
        spot = sum((value.spot for value in values), zero)
        staked = sum((value.staked for value in values), zero)
        pledged = sum((value.pledged for value in values), zero)
        return {
            "quote_asset": QUOTE_ASSET,
            "balance": {
                "total": f"{spot + staked + pledged:f}",
                "spot": f"{spot:f}",
                "staked": f"{staked:f}",
                "pledged": f"{pledged:f}",
            },
        }


@dataclass(frozen=True)
class Portfolio:
    """Everything the simulator knows; ids are looked up with or without spaces."""

    organizations: tuple[Organization, ...]

    @cached_property
    def _organizations(self) -> dict[str, Organization]:
        return {compact(organization.id): organization for organization in self.organizations}

    @cached_property
    def _vaults(self) -> dict[str, Vault]:
        return {vault.id: vault for owner in self.organizations for vault in owner.vaults}

    def assets(self) -> list[dict[str, object]]:
        """Return a row for each asset that is held anywhere (Kraken: List assets)."""
        held = {
            holding.asset.asset: holding.asset
            for owner in self.organizations
            for vault in owner.vaults
            for holding in vault.holdings
        }
        return [asset.listed() for asset in held.values()]

    def organization(self, organization_id: str) -> Organization:
        """Return the organization, or raise `UnknownIdError`."""
        try:
            return self._organizations[compact(organization_id)]
        except KeyError as error:
            raise UnknownIdError(organization_id) from error

    def vault(self, vault_id: str) -> Vault:
        """Return the vault, or raise `UnknownIdError`."""
        try:
            return self._vaults[vault_id]
        except KeyError as error:
            raise UnknownIdError(vault_id) from error

    def vault_rows(
        self, vault_id: str, now: float, *, full_precision: bool
    ) -> list[dict[str, object]]:
        """Return the asset rows of a vault at `now` (Unix seconds), or raise `UnknownIdError`."""
        return self.vault(vault_id).rows(now, full_precision=full_precision)

    def organization_balance(self, organization_id: str, now: float) -> dict[str, object]:
        """Return the total of an organization at `now`, or raise `UnknownIdError`."""
        return self.organization(organization_id).balance(now)


def compact(organization_id: str) -> str:
    """Return an organization id without its spaces."""
    return organization_id.replace(" ", "")


def invented_vault_id(number: int) -> str:
    """Return a vault id of the documented form; different numbers below 2**64 give different ids.

    64 bits fill 13 base32 symbols, the last with one bit to spare: hence its 16 even values.
    """
    # An odd factor permutes the 64-bit numbers, so that ids look random and yet never collide.
    scattered = number * 0x9E37_79B9_7F4A_7C15 % 2**64
    return "V" + b32encode(scattered.to_bytes(8, "big")).decode()[:13]


def invented_iiban(vault_id: str) -> str:
    """Return the funding account number of a vault, with the check digits of an IBAN (ISO 13616)."""
    account = vault_id[2:]
    digits = "".join(str(int(character, 36)) for character in f"{account}AA00")
    number = f"AA{98 - int(digits) % 97:02}{account}"
    return " ".join(number[start : start + 4] for start in range(0, len(number), 4))


def demo_portfolio(seed: int) -> Portfolio:
    """Return the portfolio of `--demo`; ids and names are the same for every seed."""
    market = {code: _market(seed, asset) for code, asset in ASSETS.items()}
    numbers = count(1)
    return Portfolio(
        tuple(
            Organization(
                organization_id,
                name,
                tuple(_vault(seed, next(numbers), plan, market) for plan in plans),
            )
            for organization_id, name, plans in TREASURIES
        )
    )


def living_portfolio(seed: int) -> Portfolio:
    """Return the portfolio of `--demo` with vaults that come and go, and one that is renamed now and then."""
    portfolio = demo_portfolio(seed)
    market = {code: _market(seed, asset) for code, asset in ASSETS.items()}
    first = 1 + sum(len(organization.vaults) for organization in portfolio.organizations)
    temporary = tuple(
        replace(_vault(seed, number, plan, market), season=season)
        for number, (plan, season) in enumerate(TEMPORARY, first)
    )
    *others, last = (
        replace(
            organization,
            vaults=tuple(
                replace(vault, renamed=RENAMED.get(vault.name)) for vault in organization.vaults
            ),
        )
        for organization in portfolio.organizations
    )
    return Portfolio((*others, replace(last, vaults=(*last.vaults, *temporary))))


def large_portfolio(vaults: int, assets: int, seed: int = 1) -> Portfolio:
    """Return one organization of `vaults` vaults, each holding the same `assets` invented assets."""
    invented = [invented_asset(number) for number in range(assets)]
    market = {asset.asset: _market(seed, asset) for asset in invented}
    holdings = {asset.asset: "1000 100 10" for asset in invented}
    return Portfolio(
        (
            Organization(
                "BULK DEMO ORGN 0003",
                "Bulk",
                tuple(
                    _vault(seed, number, VaultPlan(f"vault-{number}", 0.2, holdings), market)
                    for number in range(1, vaults + 1)
                ),
            ),
        )
    )


_Market = Mapping[str, tuple[SimulatedAsset, Wander]]


def _market(seed: int, asset: SimulatedAsset) -> tuple[SimulatedAsset, Wander]:
    return asset, Wander.seeded(f"{seed}/{asset.asset}", asset.volatility)


def _vault(seed: int, number: int, plan: VaultPlan, market: _Market) -> Vault:
    return Vault(
        invented_vault_id(number),
        plan.name,
        tuple(
            _holding(f"{seed}/{number}/{code}", amounts, plan.bustle, *market[code])
            for code, amounts in plan.holdings.items()
        ),
    )


def _holding(
    key: str, amounts: str, bustle: float, asset: SimulatedAsset, market: Wander
) -> Holding:
    spot, staked, pledged = (Decimal(amount) for amount in amounts.split())
    return Holding(
        asset,
        HeldAmounts(spot, Decimal(0), staked, pledged),
        market,
        Wander.seeded(key, _FLOW_SCALE),
        Holds(key, bustle),
    )
