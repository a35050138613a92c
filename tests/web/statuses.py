"""Statuses for tests of pages and JSON."""

from typing import Any

from msgspec.structs import replace

from exporter.coordination.coordinator import LeaseView
from exporter.polling.pause import Cause
from exporter.resources.target import Target
from exporter.shard import WHOLE
from exporter.state.history import History, PollResult
from exporter.state.state import Failure, TargetState
from exporter.status.model import (
    BudgetStatus,
    CredentialStatus,
    ExporterStatus,
    KeyBudget,
    PauseStatus,
    Status,
    TargetStatus,
)
from exporter.status.reading import state_of
from tests.resources.answers import (
    HOT,
    ORGANIZATION,
    ORGANIZATION_EXAMPLE,
    VAULT_EXAMPLE,
    exposed,
    read_organization,
    read_vault,
    vault_target,
)

NOW = 1_795_262_400.0
EVIL = "<script>alert('x')</script>\"&'"
COLD = replace(vault_target("cold"), id="VW44KPQC4C62K6")
FAILURE = Failure("http/502", 502, "Bad Gateway", NOW - 90)
PAUSE = PauseStatus(None, NOW - 12, NOW + 78, "http/429", "Slow down.", (), None)
REFUSED = PauseStatus(
    "treasury", NOW - 200, NOW + 40, "InvalidKey", "The key is not known.", ("acme", "beta"), None
)
SILENT = CredentialStatus(
    "treasury",
    ("acme", "beta"),
    unanswered=7,
    since=NOW - 75,
    cause=Cause("transport/timeout", "no complete answer within 10 s"),
    is_silent=True,
    is_key_shared=False,
)
OWN_LIMIT = KeyBudget("treasury", 10, 20.0, 7)

EXPORTER = ExporterStatus(
    version="1.2.3",
    started_at=NOW - 3700,
    config_file="/etc/exporter/config.yaml",
    loaded_at=NOW - 600,
    load_error=None,
    is_ready=True,
    trouble=None,
    lease=None,
    shard=WHOLE,
)
STANDBY = LeaseView(
    name="treasury",
    me="host-b-2",
    is_active=False,
    holder="host-a-1",
    since=NOW - 7300,
    standby="",
    problem="",
)
LEASE_HELD = replace(STANDBY, me="host-a-1", is_active=True, standby="host-b-2")
LEASE_OUT_OF_REACH = replace(STANDBY, holder="", since=None, problem="no answer within 6 s")
BUDGET = BudgetStatus(
    requests=100,
    window=30.0,
    used=37,
    history=((NOW - 10, 20), (NOW - 5, 41)),
    demand=0.5,
    rate=3.3,
    demand_ratio=0.5 / 3.3,
    stretch={},
    shortages=(),
    keys=(),
    pauses=(),
)


def told(target: Target = HOT, *, next_poll: float | None = NOW + 20, **facts: Any) -> TargetStatus:
    known = TargetState(target, **facts)
    return TargetStatus(
        known,
        state_of(known),
        is_polling=False,
        next_poll=next_poll,
        interval=60.0,
        stale_after=300.0,
        is_backed_off=False,
        pause=None,
    )


def up(target: Target = HOT) -> TargetStatus:
    """Return a target whose last poll succeeded 40 s ago, with the example of the API's documentation."""
    is_vault = target.kind == "vault"
    answer = read_vault(VAULT_EXAMPLE) if is_vault else read_organization(ORGANIZATION_EXAMPLE)
    balances = exposed(target, answer)
    return told(
        target,
        balances=balances,
        polls=2,
        last_success=NOW - 40,
        rows=balances.rows,
        invalid_rows=None if balances.rows is None else 0,
        invalid_fields=0,
        refresh_interval=60.02,
        results=History.of((PollResult(NOW - 100, None, 0.21), PollResult(NOW - 40, None, 0.0421))),
    )


def failing(target: Target = HOT, **facts: Any) -> TargetStatus:
    results = History.of(
        (PollResult(NOW - 90, "http/502", 0.1), PollResult(NOW - 30, "http/502", None))
    )
    defaults: dict[str, Any] = {
        "polls": 2,
        "failure": FAILURE,
        "failed_polls": 2,
        "results": results,
    }
    return told(target, **defaults | facts)


def status(*targets: TargetStatus, **parts: Any) -> Status:
    defaults: dict[str, Any] = {
        "at": NOW,
        "exporter": EXPORTER,
        "budget": BUDGET,
        "series": 14,
        "credentials": (),
        "discovery": None,
    }
    return Status(targets=targets or (up(ORGANIZATION), up()), **defaults | parts)
