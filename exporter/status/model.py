"""What there is to tell: the exporter itself, the budget, and every target. All moments are Unix seconds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from exporter.coordination.coordinator import LeaseView
from exporter.discovery.inventory import Inventory
from exporter.polling.pause import Cause
from exporter.polling.plan import Shortage
from exporter.shard import WHOLE, Shard
from exporter.state.state import TargetState

State = Literal["stale", "failing", "waiting", "up"]
STATES: Final[tuple[State, ...]] = ("stale", "failing", "waiting", "up")
"""What most needs a look first. stale: its balances were withdrawn as too old. failing: the last poll failed, and the
balances from before are served, if there were any. waiting: not polled yet. up: the last poll succeeded."""


@dataclass(frozen=True, slots=True)
class PauseStatus:
    """A pause of polling.

    credential: whose, None where it is everybody's. organizations: that are read with it. since: when the first of the
    pauses in a row began. until: when one request may try, None while it does. type, message, status: of the error that
    brought it about, or of the last request that tried and had no answer.
    """

    credential: str | None
    since: float
    until: float | None
    type: str
    message: str
    organizations: tuple[str, ...] = ()
    status: int | None = None


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """One credential.

    organizations: that are read with it. unanswered: how many of its requests in a row had no answer, until now; since:
    when the first of them was sent, cause: why the last had none, both None after an answer. is_silent: whether it is
    the API that does not answer, and not some targets. is_key_shared: whether another program uses its key.
    """

    credential: str
    organizations: tuple[str, ...]
    unanswered: int = 0
    since: float | None = None
    cause: Cause | None = None
    is_silent: bool = False
    is_key_shared: bool = False


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """One target.

    known: what its polls came to. is_polling: whether a poll of it is under way. next_poll: when a request of it
    may go; past where it waits for its turn, None while a request is under way, or while a trial request is.
    interval: seconds between polls that the budget allows for. stale_after: seconds after which balances that were
    not read again are withdrawn, None where nothing is. is_backed_off: whether it is polled less often, since the
    API refuses it. pause: the one that holds it, None where it is not paused.
    """

    known: TargetState
    state: State
    is_polling: bool
    next_poll: float | None
    interval: float
    stale_after: float | None
    is_backed_off: bool = False
    pause: PauseStatus | None = None

    @property
    def latency(self) -> float | None:
        """Seconds that the last request took, None where there was none or no answer came."""
        return self.known.results[-1].seconds if self.known.results else None

    @property
    def series(self) -> int:
        """How many balance series it has."""
        return self.known.balances.series if self.known.balances else 0


@dataclass(frozen=True, slots=True)
class KeyBudget:
    """A limit of a credential's own, besides the common one."""

    credential: str
    requests: int
    window: float
    used: int


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """The rate limit.

    requests, window: at most so many in any so many seconds. used: slots that are held. history: the same over the last
    minutes, as (moment, slots). demand, rate: requests per second, asked for and budgeted. demand_ratio: above 1,
    intervals are stretched. stretch: by credential, the factor by which. shortages: the limits that do not suffice.
    keys: the limits of credentials' own.
    """

    requests: int
    window: float
    used: int
    history: tuple[tuple[float, int], ...]
    demand: float
    rate: float
    demand_ratio: float
    stretch: Mapping[str, float]
    shortages: tuple[Shortage, ...]
    keys: tuple[KeyBudget, ...]
    pauses: tuple[PauseStatus, ...]


@dataclass(frozen=True, slots=True)
class ExporterStatus:
    """The process.

    config_file: None for the demo. loaded_at: when the configuration was last loaded; load_error: what was wrong with
    it since. trouble: why polling makes no progress, None while it does. lease: None where this process always polls.
    shard: which part of all targets it polls.
    """

    version: str
    started_at: float
    config_file: str | None
    loaded_at: float
    load_error: str | None
    is_ready: bool
    trouble: str | None
    lease: LeaseView | None = None
    shard: Shard = WHOLE


@dataclass(frozen=True, slots=True)
class Status:
    """Everything, as it is at the moment `at`.

    targets: in the order of the configuration. discovery: what is listed and found, None where nothing is.
    """

    at: float
    exporter: ExporterStatus
    budget: BudgetStatus
    targets: tuple[TargetStatus, ...]
    series: int
    credentials: tuple[CredentialStatus, ...] = ()
    discovery: Inventory | None = None

    def counts(self) -> dict[State, int]:
        """Return how many targets are in each state."""
        found = Counter(target.state for target in self.targets)
        return {state: found[state] for state in STATES}

    @property
    def paused(self) -> int:
        """How many targets are paused, whatever their states."""
        return sum(target.pause is not None for target in self.targets)
