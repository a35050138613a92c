"""Reads the status from the parts that poll, without changing them."""

import math
from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from exporter.clocks import Moment
from exporter.discovery.inventory import Inventory
from exporter.polling.parts import Parts
from exporter.polling.pause import Pause
from exporter.polling.place import Place
from exporter.polling.plan import Plan
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
"""By the name of the credential that they are polled with."""


def look_at(  # noqa: PLR0913, PLR0917 - what a status is read from
    exporter: ExporterStatus,
    plan: Plan,
    parts: Parts,
    store: Store,
    discovery: Inventory | None,
    at: Moment,
) -> Callable[[], Status]:
    """Take the status at the time `at`; return a function that builds it, in any thread.

    exporter: the status of the process. discovery: what is listed and found, None without discovery.
    Only immutable values are collected in the event loop: building 20,000 statuses would block it.
    """
    now = at.monotonic
    # Plans are by the monotonic clock, the status by the wall clock, at their current difference.
    to_wall = at.wall - now
    organizations = parts.schedule.organizations
    pauses = {pause.credential: pause for pause in _pauses(parts, organizations, to_wall)}
    without = Status(
        at=at.wall,
        exporter=exporter,
        budget=_budget(parts, plan, now, to_wall, tuple(pauses.values())),
        targets=(),
        series=store.series,
        credentials=tuple(_credentials(parts, organizations, now, to_wall)),
        discovery=discovery,
    )
    everything = parts.pause_of_all.ends_at()
    pause_ends = {
        name: max(everything, credential.pause.ends_at())
        for name, credential in parts.credentials.items()
    }
    states = tuple(store.states())
    places = tuple(entry.place for entry in parts.schedule.entries)

    def status() -> Status:
        return replace(
            without,
            targets=tuple(
                _target(
                    known,
                    place,
                    plan,
                    max(place.ready_at, pause_ends[place.target.credential]),
                    to_wall=to_wall,
                    pause=pauses.get(None) or pauses.get(place.target.credential),
                )
                for known, place in zip(states, places, strict=True)
            ),
        )

    return status


def state_of(known: TargetState) -> State:
    """Return a target's state: if several apply, the most urgent one."""
    if known.is_stale:
        return "stale"
    if known.failure:
        return "failing"
    return "up" if known.polls else "waiting"


def _target(  # noqa: PLR0913 - what a target's status is read from
    known: TargetState,
    place: Place,
    plan: Plan,
    next_poll: float,
    *,
    to_wall: float,
    pause: PauseStatus | None,
) -> TargetStatus:
    is_known = not place.is_sending and next_poll < math.inf
    stale_after = plan.stale_after(place.target)
    return TargetStatus(
        known=known,
        state=state_of(known),
        is_polling=place.poll is not None,
        next_poll=next_poll + to_wall if is_known else None,
        interval=plan.refresh_interval(place.target),
        stale_after=stale_after if stale_after < math.inf else None,
        is_backed_off=place.refusals > 0,
        pause=pause,
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
