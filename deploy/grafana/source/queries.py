"""PromQL that several panels share, so that a figure is the same wherever it is shown.

Two rules hold for all of it. Amounts of different assets are never added, worth only within one `quote_asset`. And
`max by` comes before any sum: a holding exposed by two exporters, or by one before and after a restart, counts once.
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
        """Day-over-day changes of the balances at today's prices: price changes are left out."""
        return self._valued("balance_diff")

    def share(self, part: str) -> str:
        """Return the share of a part in the worth of all."""
        return f"sum({self.parts[part]}) / sum({self.worth})"

    def _valued(self, name: str) -> str:
        return f"{self.amount(name)} * {self.quote('price')}"


def organizations(where: str, modifier: str = "") -> str:
    """Return the totals of organizations as Kraken states them. modifier: such as `offset 1d`, for another time."""
    total = f'kraken_custody_organization_quote_balance{{{where},quote_asset="$quote_asset"}}'
    return f"max by (org, org_id) ({total} {modifier})".replace(" )", ")")


def change(where: str) -> str:
    """Return the relative change of the organizations' worth within the time range.

    Only organizations known at both ends count: one that is missing has not lost its worth.
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


def of_shards(metric: str, labels: str, each: str = "") -> str:
    """Return the sum of a gauge, each shard counted once, even while Prometheus has series of two lease holders.

    labels: those that distinguish its series besides `job` and `shard`, such as `, org`. each: ` by (...)` of the sum.
    """
    shard = "on (job, instance) group_left (shard) kraken_custody_exporter_shard_info"
    return f"sum{each} (max by (job, shard{labels}) ({metric} * {shard}))"


def polled(where: str) -> str:
    """Return the processes that poll, not those that wait for a lease."""
    return f"(kraken_custody_exporter_active{{{where}}} == 1)"


def shards_up(where: str) -> str:
    """Return how many shards have a process that polls."""
    info = f"kraken_custody_exporter_shard_info{{{where}}}"
    return f"count(group by (job, shard, shards) ({info} and on (job, instance) {polled(where)}))"


def standbys(where: str) -> str:
    """Return how many processes wait for a lease and could take it over."""
    waiting = f"kraken_custody_exporter_active{{{where}}} == 0"
    return (
        f"count(kraken_custody_exporter_lease_up{{{where}}} == 1 and on (job, instance) {waiting})"
    )


def new_and_gone(where: str) -> str:
    """Return the vaults that are polled now and were not at the start of the time range as 1, and the reverse as 0.

    Only in organizations that are known at both ends: an exporter that was down has not lost its vaults.
    """
    now = f"kraken_custody_target_info{{{where}}}"
    past = f"{now} offset $__range"
    new = f"group by (org, vault, id) ({now} unless on (id) {past} and on (org) {past})"
    ever = f"last_over_time({now}[$__range])"
    gone = f"group by (org, vault, id) ({ever} unless on (id) {now} and on (org) {now})"
    return f"{new} or 0 * {gone}"


def none_is_zero(count: str) -> str:
    """Return a count that is 0, not absent, if there is nothing to count."""
    return f"{count} or vector(0)"


def firing(where: str) -> str:
    """Return the alerts that fire."""
    return f'ALERTS{{alertname=~"KrakenCustody.*",alertstate="firing",{where}}}'


def firing_count(where: str) -> str:
    """Return how many alerts fire: absent, not 0, if Prometheus does not have the rules."""
    return f"count({firing(where)}) or 0 * count(kraken_custody:threshold:outflow_ratio)"


def firing_since(where: str) -> str:
    """Return since when each firing alert has been active: a Unix time in milliseconds, as Grafana reads it."""
    since = f'ALERTS_FOR_STATE{{alertname=~"KrakenCustody.*",{where}}}'
    labels = "severity, alertname, credential, org, vault, asset"
    return f"1000 * min by ({labels}) ({since} and ignoring (alertstate) {firing(where)})"
