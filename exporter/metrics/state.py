"""What is known of a target now: one immutable value for each, replaced whole, so that nobody sees half of it."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from exporter.custody.amounts import pack
from exporter.custody.models import (
    ROWS_AT_ONCE,
    Asset,
    InvalidField,
    InvalidRow,
    OrganizationBalance,
    VaultBalances,
)
from exporter.metrics import catalog
from exporter.metrics.render import (
    Lines,
    Page,
    asset_lines,
    count_series,
    organization_lines,
    renamed,
    vault_line_steps,
)
from exporter.targets import Target
from exporter.turns import Steps, at_once

MOST_RESULTS: Final = 20
NOBODY_ANSWERS: Final = frozenset(("transport/timeout", "transport/connect", "transport/protocol"))


@dataclass(frozen=True, slots=True)
class Balances:
    """An answer as it is exposed.

    read_at: when it was read, in seconds of `clocks.boottime`. amounts: as the API wrote them, packed
    (`amounts.unpack`). rows, invalid_rows: of a vault's answer; None for an organization. invalid_fields: of
    the rows that count, how many could not be read. asset_lines: of those of `assets` that nobody held before.
    """

    lines: Lines
    series: int
    assets: tuple[Asset, ...]
    read_at: float
    amounts: bytes
    rows: int | None = None
    invalid_rows: int | None = None
    invalid_fields: int = 0
    asset_lines: Mapping[Asset, Lines] = field(default_factory=dict)


def balances_of(
    target: Target,
    answer: VaultBalances | OrganizationBalance,
    read_at: float,
    held: Container[Asset] = (),
) -> Balances:
    """Return `answer` as it is exposed for `target`. held: the assets whose lines are known."""
    return at_once(balances_steps(target, answer, read_at, held))


def balances_steps(
    target: Target,
    answer: VaultBalances | OrganizationBalance,
    read_at: float,
    held: Container[Asset] = (),
) -> Steps[Balances]:
    """Return the same as `balances_of`, with a stop wherever others have waited long enough."""
    invalid_fields = sum(unread.rows for unread in answer.invalid_fields)
    if isinstance(answer, OrganizationBalance):
        lines = organization_lines(target, answer)
        return Balances(
            lines, count_series(lines), (), read_at, pack(answer), invalid_fields=invalid_fields
        )
    lines = yield from vault_line_steps(target, answer)
    assets: list[Asset] = []
    new: dict[Asset, Lines] = {}
    for position, row in enumerate(answer.rows):
        if position and position % ROWS_AT_ONCE == 0:
            yield
        assets.append(asset := row.description())
        if asset not in held:
            new[asset] = asset_lines(asset)
    return Balances(
        lines,
        count_series(lines),
        tuple(assets),
        read_at,
        pack(answer),
        asset_lines=new,
        rows=len(answer.rows) + len(answer.invalid),
        invalid_rows=len(answer.invalid),
        invalid_fields=invalid_fields,
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a target fails. status: HTTP's, None where none came. since: Unix seconds of the first failed request."""

    type: str
    status: int | None
    message: str
    since: float

    def is_like(self, other: "Failure") -> bool:
        """Whether it is the same as far as an operator minds: that nobody answers shows in one way, then in another."""
        return self.type == other.type or NOBODY_ANSWERS.issuperset((self.type, other.type))


class FailedTry(NamedTuple):
    """A failed request of a poll that goes on. began: when the first such request was sent, in monotonic seconds."""

    failure: Failure
    began: float


class PollResult(NamedTuple):
    """What a poll came to.

    at: Unix seconds of its end. error: its type, None where it succeeded. seconds: that its last request took from
    send to last byte, None where no answer came.
    """

    at: float
    error: str | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is known of a target.

    balances: the last good answer, None before the first and once it was withdrawn as too old. is_stale: whether it
    was. polls: how many polls have ended. failure: None while up and before anything failed. failed_try: of the poll
    under way, not shown yet. failed_polls: in a row, until now. last_success: Unix seconds of the last good answer.
    rows, invalid_rows: of the last good answer. refresh_interval: seconds between the last two polls. rejected: the
    rows of the last good answer that were left out. results: of the last polls, at most MOST_RESULTS, the latest last.
    """

    target: Target
    balances: Balances | None = None
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
    results: tuple[PollResult, ...] = ()

    @property
    def is_up(self) -> bool:
        """Whether the last poll succeeded."""
        return self.polls > 0 and self.failure is None

    def results_with(self, result: PollResult) -> tuple[PollResult, ...]:
        """Return `results` with one more, in place of the oldest where there is no room."""
        return (*self.results[1 - MOST_RESULTS :], result)

    def failing(self, failure: Failure) -> "TargetState":
        """Return the state in which `failure` shows; what failed before, or is not shown yet, says since when."""
        before = self.failure or (self.failed_try and self.failed_try.failure)
        since = before.since if before else failure.since
        return replace(self, failure=replace(failure, since=since), failed_try=None)

    def with_failed_try(self, failure: Failure, began: float) -> "TargetState":
        """Return the state after a request failed that began at `began` (monotonic), and is tried again."""
        if self.failed_try is None:
            return replace(self, failed_try=FailedTry(failure, began))
        first = self.failed_try
        failure = replace(failure, since=first.failure.since)
        return replace(self, failed_try=FailedTry(failure, first.began))

    def with_failed_poll(
        self, failure: Failure, result: PollResult, refresh_interval: float | None
    ) -> "TargetState":
        """Return the state after a poll failed for good: it changes no balance."""
        return replace(
            self.failing(failure),
            polls=self.polls + 1,
            failed_polls=self.failed_polls + 1,
            refresh_interval=refresh_interval,
            results=self.results_with(result),
        )


def moved(state: TargetState, target: Target) -> TargetState:
    """Return `state` as it is for `target`, the same resource after a reload; names in its samples change at once."""
    old, balances = state.target, state.balances
    if balances and (old.organization, old.vault) != (target.organization, target.vault):
        balances = replace(balances, lines=renamed(balances.lines, old, target))
    return replace(state, target=target, balances=balances)


def info_lines(targets: Iterable[Target]) -> Lines:
    """Return the samples that tell which targets there are."""
    page = Page()
    for target in targets:
        labels = (*_labels(target), target.id, target.credential)
        page.sample(catalog.TARGET_INFO, labels, 1)
    return page.done()


def paused_lines(targets: Iterable[Target], credentials: Container[str]) -> Lines:
    """Return the samples that tell which targets are paused, where `credentials` are."""
    page = Page()
    for target in targets:
        is_paused = target.credential in credentials
        page.sample(catalog.TARGET_PAUSED, _labels(target), int(is_paused))
    return page.done()


def _labels(target: Target) -> tuple[str, str, str]:
    return target.kind, target.organization, target.vault


def target_lines(state: TargetState) -> Lines:
    """Return the samples that tell how the target itself is."""
    page = Page()
    labels = _labels(state.target)
    page.sample(catalog.TARGET_STALE, labels, int(state.is_stale))
    if state.polls or state.failure:
        page.sample(catalog.TARGET_UP, labels, int(state.is_up))
    page.sample(catalog.TARGET_LAST_SUCCESS, labels, state.last_success)
    page.sample(catalog.TARGET_REFRESH_INTERVAL, labels, state.refresh_interval)
    page.sample(catalog.TARGET_ROWS, labels, state.rows)
    page.sample(catalog.TARGET_INVALID_ROWS, labels, state.invalid_rows)
    page.sample(catalog.TARGET_INVALID_FIELDS, labels, state.invalid_fields)
    if state.failure is not None:
        page.sample(catalog.TARGET_ERROR, (*labels, state.failure.type), 1)
    return page.done()
