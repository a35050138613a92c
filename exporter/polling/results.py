"""What the end of a poll changes: the target's state, the counters and, when the state changed, the log."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import cast

from exporter.custody.client import Exchange
from exporter.custody.errors import CustodyError
from exporter.custody.transport import Find
from exporter.logs import get_logger
from exporter.metrics.telemetry import Telemetry
from exporter.polling.pause import Cause
from exporter.resources import RESOURCES
from exporter.resources.fields import InvalidField, InvalidRow
from exporter.resources.resource import Exposable, Exposed
from exporter.resources.target import Target
from exporter.state import state as transitions
from exporter.state.history import PollResult
from exporter.state.state import Failure, TargetState
from exporter.state.store import Store
from exporter.turns import Steps

log = get_logger()

MAX_LOGGED_ROWS = 10


class Results:
    """Records the results of requests and polls.

    One log event for each change of a target's state, not for each poll: an outage of a night must not fill a disk.
    wall: returns Unix seconds.
    """

    def __init__(self, store: Store, telemetry: Telemetry, wall: Callable[[], float]) -> None:
        self._store = store
        self._telemetry = telemetry
        self._wall = wall
        # Duration of the last request for each target, by its key.
        self._seconds: dict[Hashable, float | None] = {}

    def exchanged(self, exchange: Exchange) -> None:
        """Record one request that has ended, whatever its outcome."""
        self._telemetry.requested(exchange.endpoint, exchange.status, exchange.seconds)
        if exchange.clock_skew is not None:
            self._telemetry.skewed(exchange.clock_skew)
        self._seconds[exchange.tag] = exchange.seconds

    def request_failed(self, target: Target, error: CustodyError) -> None:
        """Record one failed request, whether or not it is retried."""
        endpoint = RESOURCES[target.kind].endpoint
        self._telemetry.failed(endpoint, error.status, error.type, error.core_error)
        log.debug("request_failed", **_names(target), **_facts(error))
        if error.shape:
            log.debug("answer_shape", **_names(target), shape="; ".join(error.shape))

    def exposed(self, target: Target, answer: Exposable) -> Steps[Exposed]:
        """Return the exposition of `answer` for `target`."""
        return answer.expose(target, self._store.descriptions)

    def poll_succeeded(
        self,
        target: Target,
        balances: Exposed,
        *,
        read_at: float,
        refresh_interval: float | None,
    ) -> None:
        """Publish the answer for `target`, read at `read_at` (seconds of `clocks.boottime`).

        Raises CustodyError if there is no room for its series; the state is then unchanged.
        """
        before = self._store[target]
        self._store.put(
            transitions.succeeded(
                before,
                balances,
                self._result(target, None, balances.note),
                read_at=read_at,
                refresh_interval=refresh_interval,
            )
        )
        if before.failure is not None or before.is_stale:
            log.info("target_recovered", **_names(target), **self._trouble(before))
        elif not before.polls:
            log.info("target_up", **_names(target), series=balances.series)
        if balances.note and (before.balances is None or before.balances.note != balances.note):
            note = {**_names(target), "problem": balances.note}
            if balances.rows is None:
                log.warning("listing_refused", **note)
            else:
                log.warning("listing_empty", **note)
        self._log_rejected_rows(target, _news(before.rejected, balances.rejected))
        # Likewise for fields, however many rows have them.
        known_fields = {(field.field, field.problem) for field in before.unread}
        for field in balances.unread:
            if (field.field, field.problem) not in known_fields:
                _log_rejected_field(target, field)

    def try_failed(self, target: Target, error: CustodyError, *, began: float) -> None:
        """Record a failed request, sent at `began` (monotonic seconds), that is retried in the same poll."""
        before = self._store[target]
        self._store.put(transitions.failed_try(before, self._failure(error), began))

    def poll_failed(
        self, target: Target, error: CustodyError, *, refresh_interval: float | None
    ) -> None:
        """Record a failed poll, which changes no balance."""
        before = self._store[target]
        result = self._result(target, error.type)
        after = transitions.failed(before, self._failure(error), result, refresh_interval)
        self._change(before, after)

    def show_overdue_tries(self, began_by: float) -> None:
        """Show failed tries that began by `began_by` (monotonic seconds), if their polls have not succeeded since."""
        for state in self._store.overdue_tries(began_by):
            if state.failed_try:
                self._change(state, transitions.failing(state, state.failed_try.failure))

    def paused(self, credentials: frozenset[str]) -> None:
        """Show the targets of these credentials, and no others, as paused."""
        self._store.show_paused(credentials)

    def blocked(self, target: Target, cause: Cause) -> None:
        """Show `cause` as the failure of a target that is due but cannot be polled."""
        before = self._store[target]
        failure = Failure(cause.type, cause.status, cause.message, self._wall())
        if before.failure is None or not before.failure.is_like(failure):
            self._change(before, transitions.failing(before, failure))

    def _change(self, before: TargetState, after: TargetState) -> None:
        """Publish the state of a failing target."""
        self._store.put(after)
        failure = after.failure
        if failure and (before.failure is None or not before.failure.is_like(failure)):
            names = _names(after.target) | {"credential": after.target.credential}
            log.warning("target_failing", **names, **_facts(failure))

    def _failure(self, error: CustodyError) -> Failure:
        return Failure(error.type, error.status, error.message, self._wall(), error.shape)

    def _trouble(self, before: TargetState) -> dict[str, int]:
        """Return the log fields on the failures that a recovered target had."""
        facts = {"failed_polls": before.failed_polls}
        if before.failure is not None:
            facts["failing_seconds"] = round(self._wall() - before.failure.since)
        if before.is_stale and before.last_success is not None:
            facts["unread_seconds"] = round(self._wall() - before.last_success)
        return facts

    def withdraw_stale(self, now: float, lead: float) -> None:
        """Withdraw balances that are too old. now, lead: see `Store.withdraw_stale`."""
        for state in self._store.withdraw_stale(now, lead):
            self._log_stale(state)

    def withdraw(self, target: Target) -> None:
        """Withdraw the balances of `target`, if it has any: they may belong to another."""
        state = self._store[target]
        if state.balances is not None and not RESOURCES[target.kind].is_list:
            self._store.put(transitions.withdrawn(state))
            self._log_stale(state)

    def _log_stale(self, state: TargetState) -> None:
        # A target with balances has succeeded before.
        age = self._wall() - cast("float", state.last_success)
        log.warning("target_stale", **_names(state.target), age_seconds=round(age))

    def unasked_answer(self, credential: str, find: Find) -> None:
        """Record unrequested bytes on a connection of `credential`."""
        state = self._store.find(find.after)
        log.warning(
            "unasked_answer",
            **{"credential": credential, **(_names(state.target) if state else {})},
            bytes=find.size,
            **({"status": find.status} if find.status else {}),
            doubtful=len(find.suspects),
            problem="an unsolicited answer arrived, so answers on its connection may have been mixed up: the doubtful "
            "targets are read again on new connections; look for a proxy or gateway that repeats or delays answers",
        )

    def _result(self, target: Target, error: str | None, note: str = "") -> PollResult:
        return PollResult(self._wall(), error, self._seconds.get(target.key), note)

    @staticmethod
    def _log_rejected_rows(target: Target, rows: Sequence[InvalidRow]) -> None:
        for row in rows[:MAX_LOGGED_ROWS]:
            log.warning(
                "row_rejected",
                **_names(target),
                row=row.position,
                field=row.field,
                problem=row.problem,
            )
        if len(rows) > MAX_LOGGED_ROWS:
            more = len(rows) - MAX_LOGGED_ROWS
            log.warning("more_rows_rejected", **_names(target), rows=more)


def _news(before: Sequence[InvalidRow], now: Sequence[InvalidRow]) -> list[InvalidRow]:
    """Return which rejected rows to log: each once, as long as it is rejected for the same reason.

    Rows move: a new task moves all others down. So as many as have gone are taken for those that have come.
    """
    # As it is of nearly every poll.
    if now == before:
        return []
    stayed = set(before) & set(now)
    moved = Counter((it.field, it.problem) for it in before if it not in stayed)
    news = []
    for row in now:
        reason = row.field, row.problem
        if row in stayed:
            continue
        if moved[reason]:
            moved[reason] -= 1
        else:
            news.append(row)
    return news


def _log_rejected_field(target: Target, field: InvalidField) -> None:
    where = {} if field.position is None else {"rows": field.rows, "first_row": field.position}
    log.warning(
        "field_rejected", **_names(target), field=field.field, problem=field.problem, **where
    )


def _names(target: Target) -> dict[str, str]:
    return {label: value for label, value in target.labels.items() if value}


def _facts(error: CustodyError | Failure) -> dict[str, str | int]:
    facts = {"type": error.type, "status": error.status, "message": error.message}
    return {name: fact for name, fact in facts.items() if fact}
