"""Reads how everything is from the parts that poll; it changes none of them."""

import math
from collections.abc import Iterator, Mapping

from exporter.clocks import Moment
from exporter.polling.parts import Parts
from exporter.polling.pause import Pause
from exporter.polling.plan import Plan
from exporter.polling.schedule import Entry
from exporter.resources.target import organizations_of
from exporter.state.state import TargetState
from exporter.state.store import Store
from exporter.status.model import (
    BudgetStatus,
    CredentialStatus,
    ExporterStatus,
    KeyBudget,
    PauseStatus,
    State,
    Status,
    TargetStatus,
)

Organizations = Mapping[str, tuple[str, ...]]
"""By the name of the credential that they are read with."""


def status_of(
    exporter: ExporterStatus, plan: Plan, parts: Parts, store: Store, at: Moment
) -> Status:
    """Return how everything is at the moment `at`. exporter: how the process is."""
    now = at.monotonic
    # What is planned by the one clock is told by the other, at the difference they have at this moment.
    to_wall = at.wall - now
    organizations = organizations_of(plan.targets)
    pauses = {pause.credential: pause for pause in _pauses(parts, organizations, to_wall)}
    return Status(
        at=at.wall,
        exporter=exporter,
        budget=_budget(parts, plan, now, to_wall, tuple(pauses.values())),
        targets=tuple(
            _target(store[entry.target], entry, parts, plan, to_wall=to_wall, pauses=pauses)
            for entry in parts.schedule.entries
        ),
        series=store.series,
        credentials=tuple(_credentials(parts, organizations, now, to_wall)),
    )


def state_of(known: TargetState) -> State:
    """Return the one word for how a target is: of several that are true, what most needs a look."""
    if known.is_stale:
        return "stale"
    if known.failure:
        return "failing"
    return "up" if known.polls else "waiting"


def _target(  # noqa: PLR0913 - what a target's status is read from
    known: TargetState,
    entry: Entry,
    parts: Parts,
    plan: Plan,
    *,
    to_wall: float,
    pauses: Mapping[str | None, PauseStatus],
) -> TargetStatus:
    credential = parts.credentials[entry.target.credential]
    next_poll = max(entry.place.ready_at, parts.pause_of_all.ends_at(), credential.pause.ends_at())
    is_known = not entry.place.is_sending and next_poll < math.inf
    stale_after = plan.stale_after(entry.target)
    return TargetStatus(
        known=known,
        state=state_of(known),
        is_polling=entry.place.poll is not None,
        next_poll=next_poll + to_wall if is_known else None,
        interval=plan.refresh_interval(entry.target),
        stale_after=stale_after if stale_after < math.inf else None,
        is_backed_off=entry.place.refusals > 0,
        pause=pauses.get(None) or pauses.get(entry.target.credential),
    )


def _budget(
    parts: Parts, plan: Plan, now: float, to_wall: float, pauses: tuple[PauseStatus, ...]
) -> BudgetStatus:
    budget = parts.budget
    own = {
        name: credential.own_budget
        for name, credential in parts.credentials.items()
        if credential.own_budget
    }
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
        pauses=pauses,
    )


def _pauses(parts: Parts, organizations: Organizations, to_wall: float) -> Iterator[PauseStatus]:
    pauses: list[tuple[str | None, Pause]] = [(None, parts.pause_of_all)]
    pauses += [(name, credential.pause) for name, credential in parts.credentials.items()]
    for name, pause in pauses:
        if pause.since is not None and pause.cause is not None:
            until = pause.ends_at()
            yield PauseStatus(
                credential=name,
                since=pause.since + to_wall,
                until=until + to_wall if until < math.inf else None,
                type=pause.cause.type,
                message=pause.cause.message,
                organizations=organizations.get(name, ()) if name else (),
                status=pause.cause.status,
            )


def _credentials(
    parts: Parts, organizations: Organizations, now: float, to_wall: float
) -> Iterator[CredentialStatus]:
    for name, credential in parts.credentials.items():
        silence = credential.silence
        yield CredentialStatus(
            credential=name,
            organizations=organizations.get(name, ()),
            unanswered=silence.requests,
            since=None if silence.since is None else silence.since + to_wall,
            cause=silence.cause,
            is_silent=silence.is_total,
            is_key_shared=credential.nonce_watch.says_shared(now),
        )
