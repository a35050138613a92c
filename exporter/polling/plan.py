"""The polling plan: what the configured intervals ask of the budget, and what each target gets of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exporter.config import RateLimit, Settings
from exporter.targets import Target, targets_of


def sending_rate(limit: RateLimit) -> float:
    """Return the requests per second that the budget of `limit` can send, paced as `budget` does it."""
    return max(1, limit.budget - 1) / limit.window


@dataclass(frozen=True, slots=True)
class Plan:
    """What the configuration asks for and what it gets.

    demand, rate: requests per second, asked for and budgeted. demand_ratio: of the two, or of what a credential's
    targets ask for and a limit of its own allows where that is tighter; above 1 polls are stretched. stretch: by
    credential, the factor that its targets' intervals grow by; 1 where the budgets suffice.
    """

    targets: tuple[Target, ...]
    demand: float
    rate: float
    demand_ratio: float
    stretch: Mapping[str, float]

    def refresh_interval(self, target: Target) -> float:
        """Return the seconds between polls of `target` while every request succeeds at once."""
        return target.interval * self.stretch[target.credential]


def plan_of(settings: Settings) -> Plan:
    """Work out the plan for `settings`."""
    targets = targets_of(settings)
    demands = _demands(targets)
    own_rates = {
        name: sending_rate(source.rate_limit)
        for name, source in settings.credentials.items()
        if source.rate_limit is not None
    }
    rate = sending_rate(settings.api.rate_limit)
    return Plan(
        targets=targets,
        demand=sum(demands.values()),
        rate=rate,
        demand_ratio=max(
            sum(demands.values()) / rate,
            *(demands[name] / own_rate for name, own_rate in own_rates.items()),
            0.0,
        ),
        stretch=_stretch(demands, own_rates, rate),
    )


def _demands(targets: Iterable[Target]) -> dict[str, float]:
    """Return the requests per second that the targets of each credential ask for."""
    demands: defaultdict[str, float] = defaultdict(float)
    for target in targets:
        demands[target.credential] += 1 / target.interval
    return dict(demands)


def _stretch(
    demands: Mapping[str, float], own_rates: Mapping[str, float], rate: float
) -> dict[str, float]:
    """Return each credential's stretch.

    A credential with a limit of its own may be slowed by that already, and then leaves the others more: the
    rest of the common rate is shared by all who are not, at one factor.
    """
    own = {name: max(1.0, demands[name] / limit) for name, limit in own_rates.items()}
    slowed: set[str] = set()
    while True:
        sharing = sum(demand for name, demand in demands.items() if name not in slowed)
        left = rate - sum(demands[name] / own[name] for name in slowed)
        common = max(1.0, sharing / left) if sharing else 1.0
        slower = {name for name, stretch in own.items() if stretch > common}
        if slower == slowed:
            return {name: max(common, own.get(name, 1.0)) for name in demands}
        slowed = slower
