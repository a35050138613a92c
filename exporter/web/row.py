"""A target as a row of the status page: cells are formatted here, because templates are slow for thousands of rows."""

import functools
from collections import Counter
from typing import NamedTuple
from urllib.parse import quote

from exporter.durations import duration
from exporter.resources import RESOURCES
from exporter.resources.target import Target
from exporter.status.model import State, TargetStatus
from exporter.web.drawing import Strip, strip
from exporter.web.error_help import advice
from exporter.web.formatting import UNKNOWN, Timestamp, age, lasting, moment, wait
from exporter.web.runbooks import address_of


class Polls(NamedTuple):
    """The results of the last polls, in words and as bars."""

    outcome: str
    bars: Strip


class TargetRow(NamedTuple):
    """The cells of a target. If a timestamp is None, the text beside it says why."""

    key: str
    state: State
    path: str
    organization: str
    name: str
    success: Timestamp | None
    success_text: str
    next_poll: Timestamp | None
    next_poll_text: str
    interval: str
    planned_interval: str
    rows: int | str
    invalid_rows: int
    series: int
    latency: str
    polls: Polls
    error: str
    runbook: str
    message: str
    note: str
    failing: Timestamp | None
    failing_text: str
    paused: Timestamp | None
    paused_text: str
    paused_why: str


def path_of(target: Target) -> str:
    """Return the path of a target's page."""
    return RESOURCES[target.kind].folder + quote(name_in_path(target), safe="")


def name_in_path(target: Target) -> str:
    """Return a target's name in a path; ids of organizations have no spaces there."""
    _, name = target.key
    return name.replace(" ", "")


def row_of(target: TargetStatus, now: float) -> TargetRow:
    """Return the row of `target` at `now`, in Unix seconds."""
    known, failure = target.known, target.known.failure
    of = known.target
    success, next_poll, latency = known.last_success, target.next_poll, target.latency
    interval, pause = known.refresh_interval, target.pause
    is_shown = pause is not None and failure is not None and failure.type == pause.type
    return TargetRow(
        key=f"{of.kind}-{name_in_path(of)}",
        state=target.state,
        path=path_of(of),
        organization=of.owner,
        name=RESOURCES[of.kind].name(of),
        success=None if success is None else moment(success),
        success_text="never" if success is None else age(now - success),
        next_poll=None if next_poll is None else moment(next_poll),
        next_poll_text=next_poll_text(target, now),
        interval=UNKNOWN if interval is None else duration(interval),
        planned_interval=duration(target.interval),
        rows=UNKNOWN if known.rows is None else known.rows,
        invalid_rows=known.invalid_rows or 0,
        series=target.series,
        latency=UNKNOWN if latency is None else duration(latency),
        polls=polls_of(known.results.errors),
        error=failure.type if failure else "",
        runbook=address_of(advice(failure.type, failure.status).runbook) if failure else "",
        message=failure.message if failure and failure.message != failure.type else "",
        note=known.balances.note if known.balances else "",
        failing=moment(failure.since) if failure else None,
        failing_text=lasting(now - failure.since) if failure else "",
        paused=moment(pause.since) if pause else None,
        paused_text=lasting(now - pause.since) if pause else "",
        paused_why=pause.type if pause and not is_shown else "",
    )


def next_poll_text(target: TargetStatus, now: float) -> str:
    """Return when the next request for `target` may be sent."""
    if target.next_poll is not None:
        seconds = target.next_poll - now
        return wait(seconds) if seconds >= 1 else "due"
    return "polling" if target.is_polling else "paused"


# Without, a page of 2,000 targets would take 64 ms, not 53 ms.
@functools.lru_cache(maxsize=4096)
def polls_of(errors: tuple[str | None, ...]) -> Polls:
    """Return the results of polls from their errors, None for each that succeeded. Cached: most targets share one."""
    if not errors:
        return Polls("not polled yet", strip(()))
    failed = Counter(error for error in errors if error is not None)
    polls = "poll" if len(errors) == 1 else "polls"
    succeeded = f"{len(errors) - failed.total()} of {len(errors)} {polls} succeeded"
    outcome = "; ".join(
        [succeeded, *(f"{count} failed with {type_}" for type_, count in failed.items())]
    )
    return Polls(outcome, strip(tuple(error is None for error in errors)))
