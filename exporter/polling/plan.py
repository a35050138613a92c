"""The polling plan: what the configured intervals demand of the budget, and the interval that each target gets."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from exporter.config import ALL_CREDENTIALS, RateLimit, Settings
from exporter.discovery.inventory import inventory_of
from exporter.logs import get_logger
from exporter.resources import RESOURCES, name_of, targets_of
from exporter.resources.target import Target
from exporter.turns import at_once

log = get_logger()

SHORTEST_STALE_AFTER_SECONDS: Final = 300.0
"""Minimum if `polling.stale_after` is not configured."""


NO_VAULTS: Final = (
    "`collect` names only what vaults have, and no vault is configured: "
    "add vaults, discovery, or `balances` to collect"
)
EVERYTHING_EXCLUDED: Final = (
    "discovery.organizations excludes every organization, and none is configured: "
    "change include or exclude, or add organizations"
)


def sending_rate(limit: RateLimit) -> float:
    """Return the requests per second that the budget of `limit` allows, paced as in `budget`."""
    return max(1, limit.budget - 1) / limit.window


class Shortage(Struct, frozen=True):
    """A rate limit that is smaller than the demand.

    credential: the one with this limit, None for the common one.
    demand, rate: requests per second, demanded and allowed; the common limit leaves out credentials that their own
        limit slows more.
    """

    credential: str | None
    demand: float
    rate: float

    @property
    def stretch(self) -> float:
        """The factor by which intervals are stretched."""
        return self.demand / self.rate


class Plan(Struct, frozen=True):
    """What the configuration demands and what it gets.

    demand, rate: requests per second, demanded and allowed.
    demand_ratio: the largest ratio of demand to rate, of the common limit or of a credential's own; above 1 intervals
        are stretched.
    stretch: by credential, the factor by which its targets' intervals are stretched; 1 if the budgets suffice.
    shortages: the limits that do not suffice.
    configured_stale_after: seconds, None if it follows from the intervals.
    nothing_polled: why the configuration leaves nothing to poll; empty if there is something, or if discovery may find
        some.
    """

    targets: tuple[Target, ...]
    demand: float
    rate: float
    demand_ratio: float
    stretch: Mapping[str, float]
    shortages: tuple[Shortage, ...]
    configured_stale_after: float | None = None
    nothing_polled: str = ""

    def refresh_interval(self, target: Target) -> float:
        """Return the seconds between polls of `target` while all requests succeed at the first try."""
        # While a reload is applied, there are targets of credentials that the plan does not have any more.
        return target.interval * self.stretch.get(target.credential, 1.0)

    def stale_after(self, target: Target) -> float:
        """Return the age in seconds at which balances of `target` are withdrawn.

        Infinity for a list, which holds until it is read again.
        """
        if RESOURCES[target.kind].is_list:
            return math.inf
        # What is read once an hour is not to be gone after the minutes that are right for balances.
        has_own = RESOURCES[target.kind].has_own_interval
        if self.configured_stale_after is not None and not has_own:
            return self.configured_stale_after
        return max(SHORTEST_STALE_AFTER_SECONDS, 3 * self.refresh_interval(target))

    @property
    def withdrawn_between_polls(self) -> tuple[Target, ...]:
        """The targets whose planned interval is longer than `polling.stale_after`."""
        return tuple(t for t in self.targets if self.refresh_interval(t) >= self.stale_after(t))


def plan_of(settings: Settings, targets: tuple[Target, ...] | None = None) -> Plan:
    """Return the plan for `settings`. targets: all targets, None before discovery."""
    if targets is None:
        targets = at_once(targets_of(at_once(inventory_of(settings, {}))))
    demands = _demands(targets, settings.credentials)
    own_rates = {
        name: sending_rate(source.rate_limit)
        for name, source in settings.credentials.items()
        if source.rate_limit is not None
    }
    rate = sending_rate(settings.api.rate_limit)
    shortages = _shortages(demands, own_rates, rate)
    stretches = {shortage.credential: shortage.stretch for shortage in shortages}
    return Plan(
        targets=targets,
        demand=sum(demands.values()),
        rate=rate,
        demand_ratio=max(
            sum(demands.values()) / rate,
            *(demands[name] / own_rate for name, own_rate in own_rates.items()),
            0.0,
        ),
        stretch={name: stretches.get(name, stretches.get(None, 1.0)) for name in demands},
        shortages=shortages,
        configured_stale_after=settings.polling.stale_after,
        nothing_polled=_nothing_polled(settings, targets),
    )


def _nothing_polled(settings: Settings, targets: Iterable[Target]) -> str:
    if any(not RESOURCES[target.kind].is_list for target in targets):
        return ""
    discovery = settings.discovery
    if discovery is None:
        # The targets of an exporter may all belong to other shards.
        return "" if settings.shard.of > 1 else NO_VAULTS
    finds_nothing = discovery.organizations.admits_nothing and not settings.organizations
    return EVERYTHING_EXCLUDED if finds_nothing else ""


def log_warnings(plan: Plan) -> None:
    """Log what the plan cannot keep: no targets, limits that are too small, balances stale between two polls."""
    if plan.nothing_polled:
        log.warning("nothing_to_poll", problem=plan.nothing_polled)
    for shortage in plan.shortages:
        log.warning(
            "budget_too_small",
            credential=shortage.credential or ALL_CREDENTIALS,
            demanded_requests_per_second=round(shortage.demand, 3),
            budgeted_requests_per_second=round(shortage.rate, 3),
            intervals_stretched_by=round(shortage.stretch, 2),
        )
    if short := plan.withdrawn_between_polls:
        log.warning(
            "stale_after_too_short",
            targets=len(short),
            example=name_of(short[0]),
            stale_after_seconds=plan.stale_after(short[0]),
            planned_interval_seconds=round(plan.refresh_interval(short[0]), 1),
            problem="their balances are withdrawn between polls: increase or remove polling.stale_after",
        )


def _demands(targets: Iterable[Target], credentials: Iterable[str]) -> dict[str, float]:
    """Return the demand of each credential's targets in requests per second; in a shard it may have none."""
    demands = dict.fromkeys(credentials, 0.0)
    for target in targets:
        demands[target.credential] += target.requests / target.interval
    return demands


def _shortages(
    demands: Mapping[str, float], own_rates: Mapping[str, float], rate: float
) -> tuple[Shortage, ...]:
    """Return the limits that are too small, the common one first.

    A credential that its own limit slows more leaves more of the common rate to the others, which share it at one
    factor.
    """
    own = {name: Shortage(name, demands[name], limit) for name, limit in own_rates.items()}
    slowed: set[str] = set()
    while True:
        sharing = sum(demand for name, demand in demands.items() if name not in slowed)
        common = Shortage(None, sharing, rate - sum(own[name].rate for name in slowed))
        factor = max(1.0, common.stretch) if sharing else 1.0
        slower = {name for name, shortage in own.items() if shortage.stretch > factor}
        if slower == slowed:
            tightest = tuple(own[name] for name in own if name in slowed)
            return (common, *tightest) if factor > 1 else tightest
        slowed = slower
