"""The tasks of an organization that wait for approval: how many of each type, since when, and until when.

A task contains personal data: who requested it, from which address, with which words. `_picked` lists the fields that
are read; nothing else leaves this module.

Source: Kraken, "List tasks", in all revisions seen in 2026. None documents a filter by state, so the newest pages are
read with tasks in any state.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from exporter.config import ProblemError, vault_id
from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError
from exporter.custody.errors import OTHER, BoundedNames, CustodyError
from exporter.discovery.inventory import Inventory
from exporter.metrics.lines import Lines, Page, count_series
from exporter.metrics.metric import Metric
from exporter.resources.fields import (
    ROWS_AT_ONCE,
    Code,
    Count,
    FieldProblem,
    InvalidField,
    InvalidRow,
    Moment,
    UselessError,
    read_fields,
)
from exporter.resources.organization_parameter import OrganizationParameter
from exporter.resources.resource import (
    CACHED,
    Answer,
    Column,
    Counts,
    Description,
    Exposed,
    MakeRequest,
    Part,
    Resource,
)
from exporter.resources.target import Key, Target
from exporter.turns import Steps

ENDPOINT: Final = "tasks"
PAGE_ROWS: Final = 100
"""Kraken's default for `limit`."""
MOST_PAGES: Final = 5
"""Maximum pages of a poll; older tasks are not read."""
MOST_TASKS: Final = MOST_PAGES * PAGE_ROWS
"""Maximum tasks of a poll, even if the API ignores `limit` and sends every task there ever was."""
MOST_TYPES: Final = 64

PENDING: Final = "pending"
STATES: Final = frozenset(
    (PENDING, "approved", "rejected", "denied", "canceled", "expired", "failed", "executed")
)
"""`rejected` and `denied` are names of the same state in different revisions."""
_TYPE: Final = re.compile("[A-Za-z][A-Za-z0-9_]*")

_LABELS: Final = ("org", "org_id", "vault", "vault_id", "task_type")


def _metric(name: str, what: str, unit: str, fields: str) -> Metric:
    word = "fields" if "," in fields else "field"
    return Metric(
        name=f"kraken_custody_{name}",
        type="gauge",
        help=f"{what} (API {word} {fields}). {CACHED}",
        labels=_LABELS,
        unit=unit,
        source=fields,
        is_field=True,
    )


TASKS: Final = _metric(
    "pending_tasks",
    "Tasks that wait for approval, by vault and type; a type that was seen once stays at 0",
    "tasks",
    "state, type",
)
OLDEST: Final = _metric(
    "pending_task_oldest_timestamp_seconds",
    "When the oldest task that waits was created, in Unix time; absent while none waits",
    "seconds",
    "created_at",
)
NEXT_EXPIRY: Final = _metric(
    "pending_task_next_expiry_timestamp_seconds",
    "When the first of the tasks that wait expires, in Unix time; absent while none waits",
    "seconds",
    "expires_at",
)
MISSING: Final = _metric(
    "pending_task_missing_approvals",
    "Approvals that the tasks that wait lack all together",
    "approvals",
    "reviewer_statistics.required_quorum, reviewer_statistics.approved",
)
TRUNCATED: Final = Metric(
    name="kraken_custody_tasks_truncated",
    type="gauge",
    help=f"Whether there are more tasks than the newest, up to {MOST_TASKS}, that are looked at, so that "
    f"an older one may wait and not be counted (API field total). {CACHED}",
    labels=("org", "org_id"),
    unit="",
    source="total",
    is_field=True,
)


class _Task(msgspec.Struct, frozen=True):
    """The fields that are read of a task."""

    id: Code
    type: Code
    state: Code
    created_at: Moment = None
    expires_at: Moment = None
    vault_id: Code | None = None
    required_quorum: Count = None
    approved: Count = None


def _picked(element: object) -> object:
    """Return the fields that are read of a task. Its vault is `vault_info` or `vault_id`, depending on the revision."""
    if not isinstance(element, dict):
        return element
    names = ("id", "type", "state", "created_at", "expires_at", "vault_id")
    picked = {name: element[name] for name in names if name in element}
    vault, statistics = element.get("vault_info"), element.get("reviewer_statistics")
    if isinstance(vault, dict):
        picked["vault_id"] = vault.get("id")
    if isinstance(statistics, dict):
        picked |= {name: statistics.get(name) for name in ("required_quorum", "approved")}
    return picked


class Group(NamedTuple):
    """Tasks that are counted together. vault_id: empty for tasks of the organization."""

    vault_id: str
    type: str


class Waiting(NamedTuple):
    """The waiting tasks of a group.

    oldest, next_expiry: Unix seconds, None if unknown.
    missing: number of missing approvals, None if unknown for any task.
    """

    tasks: int = 0
    oldest: Decimal | None = None
    next_expiry: Decimal | None = None
    missing: int | None = 0

    def plus(self, other: "Waiting") -> "Waiting":
        """Return the sum of both."""
        missing = None
        if self.missing is not None and other.missing is not None:
            missing = self.missing + other.missing
        return Waiting(
            self.tasks + other.tasks,
            _first(self.oldest, other.oldest),
            _first(self.next_expiry, other.next_expiry),
            missing,
        )


def _first(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return min((it for it in (one, other) if it is not None), default=None)


class Rows(msgspec.Struct, frozen=True):
    """The tasks of the pages read so far.

    ids: of readable tasks.
    count: number of rows.
    is_news: whether the last page had any task that the pages before did not have.
    """

    groups: Mapping[Group, Waiting] = msgspec.field(default_factory=dict)
    ids: frozenset[str] = frozenset()
    count: int = 0
    rejected: tuple[InvalidRow, ...] = ()
    unread: Mapping[FieldProblem, InvalidField] = msgspec.field(default_factory=dict)
    is_news: bool = True


def read_page(elements: Iterable[object], before: Rows) -> Steps[Rows]:
    """Return the tasks of the pages `before`, and of one more.

    A task that is created between two pages moves all others down, so that one of them is in both; it counts once.
    Raises InvalidAnswerError if no task can be read.
    """
    groups, ids = dict(before.groups), set(before.ids)
    rejected, unread = list(before.rejected), dict(before.unread)
    count = before.count
    for element in elements:
        position, count = count, count + 1
        if position % ROWS_AT_ONCE == 0:
            yield
        try:
            task, mistakes = read_fields(_Task, _picked(element))
            group, waiting = _group(task), _waiting(task)
        except UselessError as error:
            rejected.append(InvalidRow(position, *error.mistake))
            continue
        if task.id in ids:
            continue
        ids.add(task.id)
        groups[group] = groups.get(group, Waiting()).plus(waiting)
        for mistake in mistakes:
            first = unread.get(mistake, InvalidField(*mistake, 0, position))
            unread[mistake] = first._replace(rows=first.rows + 1)
    if count and len(rejected) == count:
        # That no task is readable does not mean that none waits.
        reason = rejected[0]
        raise InvalidAnswerError(f"has no task that can be read: {reason.field} {reason.problem}")
    is_news = len(ids) > len(before.ids)
    return Rows(groups, frozenset(ids), count, tuple(rejected), unread, is_news)


def _group(task: _Task) -> Group:
    try:
        vault = "" if task.vault_id is None else vault_id(task.vault_id)
    except ProblemError:
        raise UselessError(FieldProblem("vault_id", "is not a vault id")) from None
    return Group(vault, task.type if _TYPE.fullmatch(task.type) else OTHER)


def _waiting(task: _Task) -> Waiting:
    state = task.state.lower()
    if state not in STATES:
        raise UselessError(FieldProblem("state", "is none of those that Kraken documents"))
    if state != PENDING:
        return Waiting()
    is_told = task.required_quorum is not None and task.approved is not None
    missing = max(0, (task.required_quorum or 0) - (task.approved or 0)) if is_told else None
    return Waiting(1, task.created_at, task.expires_at, missing)


def page_of(document: object) -> tuple[Sequence[object], int | None]:
    """Return the rows of a page, and the number of all tasks if it says so. Raises InvalidAnswerError."""
    match document:
        case {"result": list(elements), **envelope} | {"tasks": list(elements), **envelope}:
            return elements, _total(envelope.get("total"))
        case list(elements):
            return elements, None
    raise InvalidAnswerError("is neither an array of tasks nor an object with one")


def _total(value: object) -> int | None:
    """Return a total; None if it is unreadable, in which case pages are read until one is not full."""
    text = value.decode() if isinstance(value, bytes) else value
    return int(text) if isinstance(text, str) and re.fullmatch("[0-9]{1,9}", text) else None


class PendingTasks(msgspec.Struct, frozen=True):
    """What is kept of the tasks.

    groups: including those without waiting tasks.
    is_truncated: whether there are more tasks than were read.
    """

    groups: Mapping[Group, Waiting]
    is_truncated: bool

    def lines(self, target: Target, described: Sequence[object] = ()) -> Steps[Lines]:
        """Return the samples of each group. The label of a vault that is not polled is its id."""
        del described
        page = Page()
        for number, (group, waiting) in enumerate(sorted(self.groups.items())):
            if number % ROWS_AT_ONCE == 0:
                yield
            vault = target.vault_labels.get(group.vault_id, group.vault_id)
            labels = (target.organization, target.id, vault, *group)
            page.sample(TASKS, labels, waiting.tasks)
            page.sample(OLDEST, labels, waiting.oldest)
            page.sample(NEXT_EXPIRY, labels, waiting.next_expiry)
            page.sample(MISSING, labels, waiting.missing)
        page.sample(TRUNCATED, (target.organization, target.id), int(self.is_truncated))
        return page.done()

    def table(self, target: Target, described: Sequence[object], *, is_whole: bool) -> Counts:
        """Return a row for each group, what expires first at the top."""
        del described, is_whole
        rows = [
            (
                group.type,
                target.vault_labels.get(group.vault_id, group.vault_id),
                group.vault_id,
                waiting.tasks,
                waiting.oldest,
                waiting.next_expiry,
                waiting.missing,
            )
            for group, waiting in sorted(self.groups.items(), key=_urgency)
        ]
        note = (
            f"there are more tasks than the newest {MOST_TASKS}, which are read: an older one that waits "
            "is not counted"
        )
        return Counts(
            rows,
            empty="There is no task.",
            note=note if self.is_truncated else "",
            facts={"truncated": self.is_truncated},
            total=sum(waiting.tasks for waiting in self.groups.values()),
        )

    def worth(self, target: Target, described: Sequence[object], *, is_whole: bool) -> None:
        """Return no worth."""
        del target, described, is_whole


def _urgency(group: tuple[Group, Waiting]) -> tuple[bool, Decimal, Group]:
    of, waiting = group
    return not waiting.tasks, waiting.next_expiry or Decimal("Infinity"), of


class TaskList(msgspec.Struct, frozen=True):
    """The newest tasks of an organization."""

    rows: Rows
    tasks: PendingTasks

    def expose(self, target: Target, known: Container[Description]) -> Steps[Exposed]:
        """Return it as exposed for `target`."""
        del known
        lines = yield from self.tasks.lines(target)
        return Exposed(
            lines,
            count_series(lines),
            self.tasks,
            rows=self.rows.count,
            rejected=self.rows.rejected,
            unread=tuple(self.rows.unread.values()),
        )


class Requester:
    """Requests the tasks of organizations.

    It remembers the API's name for an organization in a query, and each group that had a task since the start: its
    metrics stay at 0 after the last one, so that an alert ends because of the value and not because of missing data.
    """

    def __init__(self) -> None:
        self._parameter = OrganizationParameter()
        # Each makes series that stay.
        self._bounded = BoundedNames(limit=MOST_TYPES)
        self._seen: dict[Key, set[Group]] = {}

    def __call__(self, target: Target) -> Request[Answer]:
        """Return the request for the newest page of an organization's tasks."""
        return self._page(target, Rows(), 1)

    def _page(self, target: Target, before: Rows, number: int) -> Request[Answer]:
        parameter = self._parameter.name

        def read(document: object) -> Steps[Answer]:
            elements, total = page_of(document)
            rows = yield from read_page(elements[: MOST_TASKS - before.count], before)
            is_whole = _is_whole(rows, len(elements), total, number)
            if is_whole or number == MOST_PAGES or rows.count == MOST_TASKS or not rows.is_news:
                return self._list(target, rows, is_truncated=not is_whole)
            return Part(self._page(target, rows, number + 1))

        def excuse(error: CustodyError) -> Answer | None:
            # The parameter offset is not documented. What was read so far counts.
            if number > 1 and error.type == "BadRequest":
                return self._list(target, before, is_truncated=True)
            return None

        return Request(
            endpoint=ENDPOINT,
            tag=target.key,
            path=ENDPOINT,
            id=target.id,
            query=f"?{parameter}={{id}}&limit={PAGE_ROWS}&offset={before.count}",
            read=read,
            reaction=self._parameter.reaction(parameter, is_first=number == 1),
            excuse=excuse,
            is_personal=True,
        )

    def _list(self, target: Target, rows: Rows, *, is_truncated: bool) -> TaskList:
        groups: dict[Group, Waiting] = {}
        for group, waiting in rows.groups.items():
            of = group._replace(type=self._bounded(group.type))
            groups[of] = groups.get(of, Waiting()).plus(waiting)
        seen = self._seen.setdefault(target.key, set())
        seen.update(groups)
        tasks = PendingTasks({of: groups.get(of, Waiting()) for of in seen}, is_truncated)
        return TaskList(replace(rows, groups={}, ids=frozenset()), tasks)


def _is_whole(rows: Rows, last: int, total: int | None, pages: int) -> bool:
    """Whether all tasks were read. last: number of tasks on the last page. total: according to the API."""
    # This could be the total of the page only.
    if total is None or (pages == 1 and total == last == PAGE_ROWS):
        return last < PAGE_ROWS
    return rows.count >= total


def _requester() -> MakeRequest:
    return Requester()


def _targets(inventory: Inventory) -> Iterable[Target]:
    for organization in inventory.organizations:
        if organization.is_here and PENDING_TASKS.kind in organization.collect:
            yield Target(
                kind=PENDING_TASKS.kind,
                id=organization.id,
                organization=organization.label,
                vault="",
                interval=organization.interval,
                credential=organization.credential,
                is_found=not organization.is_configured,
                # Most organizations have more tasks than are read.
                requests=MOST_PAGES,
                vault_labels=organization.vault_labels,
            )


PENDING_TASKS: Final = Resource(
    kind="pending_tasks",
    endpoint=ENDPOINT,
    singular="list of pending tasks",
    plural="lists of pending tasks",
    folder="/pending-tasks/",
    metrics=(TASKS, OLDEST, NEXT_EXPIRY, MISSING, TRUNCATED),
    targets=_targets,
    name=lambda _: "(pending tasks)",
    heading="Tasks that wait for approval",
    headline="Waiting tasks",
    columns=(
        Column("taskType", "Type", "text"),
        Column("vault", "Vault", "text"),
        Column("vaultId", "", "text"),
        Column("tasks", "Tasks"),
        Column("oldest", "Oldest", "moment"),
        Column("nextExpiry", "Next expiry", "moment"),
        Column("missingApprovals", "Missing approvals"),
    ),
    requester=_requester,
    cost=f"a list of pending tasks is counted as {MOST_PAGES} requests, one for every {PAGE_ROWS} tasks, which is the "
    "most that it takes",
)
