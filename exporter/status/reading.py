"""Reads how everything is from the parts of an exporter; it changes none of them."""

import math
from collections.abc import Iterator

from exporter import __version__
from exporter.assembly import Exporter
from exporter.metrics.state import TargetState
from exporter.polling.gate import Gate
from exporter.polling.plan import Plan
from exporter.polling.poller import Parts
from exporter.polling.schedule import Entry
from exporter.status.model import (
    BudgetStatus,
    ExporterStatus,
    KeyBudget,
    Pause,
    State,
    Status,
    TargetStatus,
)


def status_of(exporter: Exporter) -> Status:
    """Return how everything is now."""
    parts, plan = exporter.parts, exporter.plan
    now, wall = parts.monotonic(), exporter.wall()
    # What is planned by the one clock is told by the other, at the difference they have at this moment.
    to_wall = wall - now
    return Status(
        at=wall,
        exporter=ExporterStatus(
            version=__version__,
            started_at=exporter.began + wall - parts.moment().boottime,
            config_file=exporter.loading.file,
            loaded_at=exporter.loading.at,
            load_error=exporter.loading.problem,
            is_ready=exporter.poller.has_begun,
            trouble=exporter.poller.trouble(),
        ),
        budget=_budget(parts, plan, now, to_wall),
        targets=tuple(
            _target(exporter.store[entry.target], entry, parts, plan, to_wall)
            for entry in parts.schedule.entries
        ),
        series=exporter.store.series,
    )


def state_of(known: TargetState) -> State:
    """Return the one word for how a target is: of several that are true, what most needs a look."""
    if known.is_stale:
        return "stale"
    if known.failure:
        return "failing"
    return "up" if known.polls else "waiting"


def _target(
    known: TargetState, entry: Entry, parts: Parts, plan: Plan, to_wall: float
) -> TargetStatus:
    lane = parts.lanes[entry.target.credential]
    next_poll = max(entry.ready_at, parts.gate.ready_at(), lane.gate.ready_at())
    is_known = not entry.is_sending and next_poll < math.inf
    return TargetStatus(
        known=known,
        state=state_of(known),
        is_polling=entry.poll is not None,
        next_poll=next_poll + to_wall if is_known else None,
        interval=plan.refresh_interval(entry.target),
        stale_after=plan.stale_after(entry.target),
        is_backed_off=entry.refusals > 0,
    )


def _budget(parts: Parts, plan: Plan, now: float, to_wall: float) -> BudgetStatus:
    budget = parts.budget
    own = {name: lane.own_budget for name, lane in parts.lanes.items() if lane.own_budget}
    return BudgetStatus(
        requests=budget.requests,
        window=budget.window,
        used=budget.used(now),
        history=tuple((sample.at + to_wall, sample.used) for sample in parts.usage.samples(now)),
        demand=plan.demand,
        rate=plan.rate,
        demand_ratio=plan.demand_ratio,
        stretch={name: factor for name, factor in plan.stretch.items() if factor > 1},
        shortages=plan.shortages,
        keys=tuple(
            KeyBudget(name, budget.requests, budget.window, budget.used(now))
            for name, budget in own.items()
        ),
        pauses=tuple(_pauses(parts, to_wall)),
    )


def _pauses(parts: Parts, to_wall: float) -> Iterator[Pause]:
    gates: list[tuple[str | None, Gate]] = [(None, parts.gate)]
    gates += [(name, lane.gate) for name, lane in parts.lanes.items()]
    for credential, gate in gates:
        if gate.since is not None and gate.refusal is not None:
            until = gate.ready_at()
            yield Pause(
                credential=credential,
                since=gate.since + to_wall,
                until=until + to_wall if until < math.inf else None,
                type=gate.refusal.type,
                message=gate.refusal.message,
            )
