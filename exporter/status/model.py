"""The status of the exporter, the budget and every target. All times are Unix seconds."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from exporter.coordination.coordinator import LeaseView
from exporter.discovery.inventory import Inventory
from exporter.polling.pause import Cause
from exporter.polling.plan import Shortage
from exporter.shard import Shard
from exporter.state.state import TargetState

State = Literal["stale", "failing", "waiting", "up"]
STATES: Final[tuple[State, ...]] = ("stale", "failing", "waiting", "up")
"""The most urgent first. stale: its balances were withdrawn as too old. failing: the last poll failed, and earlier
balances are served, if there are any. waiting: not polled yet. up: the last poll succeeded."""


class PauseStatus(Struct, frozen=True):
    """A pause.

    credential: whose, None for a pause of everything.
    organizations: those polled with the credential.
    since: when the first pause of the series began.
    until: when the trial request may be sent, None while it is in flight.
    type, message, status: of the error that caused it, or of the last trial request without a response.
    """

    credential: str | None
    since: float
    until: float | None
    type: str
    message: str
    organizations: tuple[str, ...]
    status: int | None


class CredentialStatus(Struct, frozen=True):
    """A credential.

    organizations: those polled with it.
    unanswered: number of its latest requests in a row without a response.
    since: when the first of them was sent, None after a response.
    cause: why the last of them had none, None after a response.
    is_silent: whether the API rather than some targets does not respond.
    is_key_shared: whether another program uses its key.
    """

    credential: str
    organizations: tuple[str, ...]
    unanswered: int
    since: float | None
    cause: Cause | None
    is_silent: bool
    is_key_shared: bool


class TargetStatus(Struct, frozen=True):
    """A target.

    known: its state.
    is_polling: whether a poll is in progress.
    next_poll: when its next request may be sent; in the past if it waits for its turn, None while a request of it or a
        trial request is in flight.
    interval: seconds between polls that the budget allows.
    stale_after: age in seconds at which balances are withdrawn, None if they are not.
    is_backed_off: whether it is polled less often because the API refuses it.
    pause: the pause that applies to it, None if it is not paused.
    """

    known: TargetState
    state: State
    is_polling: bool
    next_poll: float | None
    interval: float
    stale_after: float | None
    is_backed_off: bool
    pause: PauseStatus | None

    @property
    def latency(self) -> float | None:
        """Duration of the last request in seconds, None without a request or a response."""
        return self.known.results[-1].seconds if self.known.results else None

    @property
    def series(self) -> int:
        """The number of series made from its last good answer."""
        return self.known.balances.series if self.known.balances else 0


class KeyBudget(Struct, frozen=True):
    """A credential's own rate limit, in addition to the common one."""

    credential: str
    requests: int
    window: float
    used: int


class BudgetStatus(Struct, frozen=True):
    """The rate-limit budget.

    requests, window: maximum requests in any window, and its length in seconds.
    used: slots in use.
    history: slots in use over the last minutes, as (time, slots).
    demand, rate: requests per second, demanded and allowed.
    demand_ratio: above 1, intervals are stretched.
    stretch: by credential, the factor by which its intervals are stretched.
    shortages: the limits that do not suffice.
    keys: credentials' own limits.
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


class ExporterStatus(Struct, frozen=True):
    """The process.

    config_file: None for the demo.
    loaded_at: when the configuration was last loaded.
    load_error: what was wrong with it since.
    trouble: why polling is stuck, None if it is not.
    lease: None if this process always polls.
    shard: the part of all targets that it polls.
    """

    version: str
    started_at: float
    config_file: str | None
    loaded_at: float
    load_error: str | None
    is_ready: bool
    trouble: str | None
    lease: LeaseView | None
    shard: Shard


class Status(Struct, frozen=True):
    """The status of everything at the time `at`.

    targets: in the order of the configuration.
    discovery: what is listed and found, None without discovery.
    """

    at: float
    exporter: ExporterStatus
    budget: BudgetStatus
    targets: tuple[TargetStatus, ...]
    series: int
    credentials: tuple[CredentialStatus, ...]
    discovery: Inventory | None

    def counts(self) -> dict[State, int]:
        """Return the number of targets in each state."""
        found = Counter(target.state for target in self.targets)
        return {state: found[state] for state in STATES}

    @property
    def paused(self) -> int:
        """The number of paused targets, whatever their states."""
        return sum(target.pause is not None for target in self.targets)
