"""PromQL that several panels ask, so that a figure is the same wherever it is shown.

Two rules hold for all of it. Amounts of different assets are never added, worth only within one `quote_asset`. And
`max by` comes before any sum: a holding that two exporters or a restarted one show counts once.
"""

from dataclasses import dataclass
from typing import Final

_HOLDING: Final = "org, vault, vault_id, asset, asset_class"


@dataclass(frozen=True)
class Holdings:
    """Assets in vaults, by a selector such as `org=~"$org"`."""

    where: str

    def amount(self, name: str) -> str:
        """Return `kraken_custody_vault_<name>`: units of the asset."""
        return f"max by ({_HOLDING}) (kraken_custody_vault_{name}{{{self.where}}})"

    def highest(self, name: str, window: str) -> str:
        """Return the highest amount within a time such as `1h`."""
        highest = f"max_over_time(kraken_custody_vault_{name}{{{self.where}}}[{window}])"
        return f"max by ({_HOLDING}) ({highest})"

    def quote(self, name: str) -> str:
        """Return `kraken_custody_vault_quote_<name>`: units of the chosen quote asset."""
        where = f'{self.where},quote_asset="$quote_asset"'
        return f"max by ({_HOLDING}) (kraken_custody_vault_quote_{name}{{{where}}})"

    @property
    def worth(self) -> str:
        """What the holdings are worth."""
        return self.quote("balance")

    @property
    def parts(self) -> dict[str, str]:
        """What the parts of the holdings are worth, by what they are called."""
        return {
            "Available": self.quote("available_balance"),
            "On hold": self._valued("hold_balance"),
            "Staked": self._valued("staked_balance"),
            "Pledged": self._valued("pledged_balance"),
        }

    @property
    def flows(self) -> str:
        """Day-over-day changes of the balances at today's prices, which leaves out what prices did."""
        return self._valued("balance_diff")

    def share(self, part: str) -> str:
        """Return the share of a part in the worth of all."""
        return f"sum({self.parts[part]}) / sum({self.worth})"

    def _valued(self, name: str) -> str:
        return f"{self.amount(name)} * {self.quote('price')}"


def organizations(where: str, modifier: str = "") -> str:
    """Return the totals of organizations, as Kraken states them; a modifier such as `offset 1d` is for another time."""
    total = f'kraken_custody_organization_quote_balance{{{where},quote_asset="$quote_asset"}}'
    return f"max by (org, org_id) ({total} {modifier})".replace(" )", ")")


def change(where: str) -> str:
    """Return by which part the worth of organizations has changed within the time range.

    Only those count that are known at both its ends: one that is missing has not lost its worth.
    """
    now, past = organizations(where), organizations(where, "offset $__range")
    return f"sum({now} and {past}) / sum({past} and {now}) - 1"


def age(where: str) -> str:
    """Return the seconds since each target was last read."""
    metric = f"kraken_custody_target_last_success_timestamp_seconds{{{where}}}"
    return f"time() - max by (kind, org, vault) ({metric})"


def blank(where: str) -> str:
    """Return the targets whose balances are withheld as too old, or were never read since the start."""
    stale = f"kraken_custody_target_stale{{{where}}}"
    read = f"kraken_custody_target_last_success_timestamp_seconds{{{where}}}"
    return f"max by (kind, org, vault) ({stale} == 1 or ({stale} unless {read}))"


def none_is_zero(count: str) -> str:
    """Return a count that is 0, not absent, where there is nothing to count."""
    return f"{count} or vector(0)"


def firing(where: str) -> str:
    """Return the alerts that fire."""
    return f'ALERTS{{alertname=~"KrakenCustody.*",alertstate="firing",{where}}}'


def firing_count(where: str) -> str:
    """Return how many alerts fire: absent, not 0, where Prometheus does not have the rules."""
    return f"count({firing(where)}) or 0 * count(kraken_custody:threshold:outflow_ratio)"


def firing_since(where: str) -> str:
    """Return the Unix time in milliseconds, as Grafana wants it, since when each firing alert holds."""
    since = f'ALERTS_FOR_STATE{{alertname=~"KrakenCustody.*",{where}}}'
    labels = "severity, alertname, credential, org, vault, asset"
    return f"1000 * min by ({labels}) ({since} and ignoring (alertstate) {firing(where)})"
