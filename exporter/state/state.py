"""The state of a target: an immutable value that is replaced as a whole, so that a reader never sees half a change.

Every change is a function of the previous state.
"""

from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from exporter.resources.fields import InvalidField, InvalidRow
from exporter.resources.resource import Exposed
from exporter.resources.target import Target
from exporter.state.history import NO_HISTORY, History, PollResult
from exporter.turns import Steps

NOBODY_ANSWERS: Final = frozenset(("transport/timeout", "transport/connect", "transport/protocol"))


class Failure(Struct, frozen=True):
    """Why a target fails.

    status: of HTTP, None without a response.
    since: Unix seconds of the first failed request.
    shape: of an answer not in the documented form, empty elsewhere.
    """

    type: str
    status: int | None
    message: str
    since: float
    shape: tuple[str, ...] = ()

    def is_like(self, other: "Failure") -> bool:
        """Whether it is the same to an operator: an API that does not respond fails in several ways."""
        return self.type == other.type or NOBODY_ANSWERS.issuperset((self.type, other.type))


class FailedTry(NamedTuple):
    """A failed request of a poll in progress. began: when the first such request was sent, in monotonic seconds."""

    failure: Failure
    began: float


class TargetState(Struct, frozen=True):
    """The state of a target.

    balances: the last good answer, None before the first and after it was withdrawn as too old.
    read_at: when it was read, in seconds of `clocks.boottime`.
    is_stale: whether it was withdrawn.
    polls: number of polls that have ended.
    failure: None while up and before any failure.
    failed_try: of the poll in progress, not shown yet.
    failed_polls: number of failed polls in a row.
    last_success: Unix seconds of the last good answer.
    rows, invalid_rows, invalid_fields: of the last good answer; rows are None if the resource has no rows.
    refresh_interval: seconds between the last two polls.
    rejected: rows of the last good answer that were left out.
    unread: fields of the last good answer that could not be read.
    results: of the last polls.
    invalid_shape: of the last answer that was not in the documented form.
    """

    target: Target
    balances: Exposed | None = None
    read_at: float = 0.0
    is_stale: bool = False
    polls: int = 0
    failure: Failure | None = None
    failed_try: FailedTry | None = None
    failed_polls: int = 0
    last_success: float | None = None
    rows: int | None = None
    invalid_rows: int | None = None
    invalid_fields: int | None = None
    refresh_interval: float | None = None
    rejected: tuple[InvalidRow, ...] = ()
    unread: tuple[InvalidField, ...] = ()
    results: History = NO_HISTORY
    invalid_shape: tuple[str, ...] = ()

    @property
    def is_up(self) -> bool:
        """Whether the last poll succeeded."""
        return self.polls > 0 and self.failure is None


def succeeded(
    before: TargetState,
    balances: Exposed,
    result: PollResult,
    *,
    read_at: float,
    refresh_interval: float | None,
) -> TargetState:
    """Return the state after a poll ended with `result`, an answer read at `read_at` (boottime)."""
    has_rows = balances.rows is not None
    return TargetState(
        before.target,
        balances=balances,
        read_at=read_at,
        polls=before.polls + 1,
        last_success=result.at,
        rows=balances.rows,
        invalid_rows=len(balances.rejected) if has_rows else None,
        invalid_fields=sum(field.rows for field in balances.unread),
        refresh_interval=refresh_interval,
        rejected=balances.rejected,
        unread=balances.unread,
        results=before.results.plus(result),
        invalid_shape=before.invalid_shape,
    )


def failing(before: TargetState, failure: Failure) -> TargetState:
    """Return the state that shows `failure`, since the first failure, shown or not."""
    first = before.failure or (before.failed_try and before.failed_try.failure)
    since = first.since if first else failure.since
    return replace(
        before,
        failure=replace(failure, since=since),
        failed_try=None,
        invalid_shape=failure.shape or before.invalid_shape,
    )


def failed_try(before: TargetState, failure: Failure, began: float) -> TargetState:
    """Return the state after a request failed that began at `began` (monotonic) and is retried."""
    first = before.failed_try
    if first is None:
        return replace(before, failed_try=FailedTry(failure, began))
    failure = replace(failure, since=first.failure.since)
    return replace(before, failed_try=FailedTry(failure, first.began))


def failed(
    before: TargetState, failure: Failure, result: PollResult, refresh_interval: float | None
) -> TargetState:
    """Return the state after a poll failed, which changes no balance."""
    return replace(
        failing(before, failure),
        polls=before.polls + 1,
        failed_polls=before.failed_polls + 1,
        refresh_interval=refresh_interval,
        results=before.results.plus(result),
    )


def withdrawn(before: TargetState) -> TargetState:
    """Return the state without balances, which are too old or may belong to another."""
    return replace(before, balances=None, is_stale=True)


def exposed_again(balances: Exposed, target: Target) -> Steps[Exposed]:
    """Return `balances` for `target`, the same target with other names or minima."""
    kept, described = balances.kept, balances.described
    lines = yield from kept.lines(target, described)
    worth = kept.worth(target, described, is_whole=not balances.rejected)
    return replace(balances, lines=lines, worth=worth)
