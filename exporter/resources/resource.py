"""The interface of a resource. All other code looks up `RESOURCES[target.kind]` and names no resource.

A new resource is one module with a `Resource`, and a line in `resources/__init__.py`.
"""

from collections.abc import Callable, Collection, Container, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, Protocol

from msgspec import Struct, field

from exporter.custody.client import Request
from exporter.custody.errors import FORESEEN
from exporter.discovery.inventory import Inventory
from exporter.metrics.lines import Lines
from exporter.metrics.metric import Group, Metric
from exporter.resources.fields import InvalidField, InvalidRow
from exporter.resources.target import Target
from exporter.resources.worth import Cell, Worth
from exporter.turns import Steps

CACHED: Final = "Read on the exporter's own schedule, not at the scrape."
"""Ends the help of each metric whose values come from an answer."""


class Description(Hashable, Protocol):
    """A description of something that is the same for all targets, such as an asset.

    It is exposed once, as last described.
    """

    @property
    def key(self) -> Hashable:
        """Identifies what is described."""

    def lines(self) -> Lines:
        """Return its samples."""


class Column(NamedTuple):
    """A column of amounts or of counts.

    field: of an amount, its name in the API or in the configuration; of a count, its name in JSON.
    title: on the page, empty if it is not shown there.
    form: type of the cells; a moment is in Unix seconds.
    """

    field: str
    title: str
    form: Literal["number", "text", "moment"] = "number"


class TableRow(NamedTuple):
    """A row of a table.

    asset: empty for a total of all assets.
    note: a remark for people.
    is_short: whether less is available than the configured minimum.
    is_unpriced: whether something is held without a price from the API.
    """

    asset: str
    asset_class: str
    name: str
    cells: tuple[Cell, ...]
    note: str = ""
    is_short: bool = False
    is_unpriced: bool = False


class Table(Struct, frozen=True):
    """The amounts of an answer, with every digit as received, and their configured minima.

    worth: the field that adds up, empty if none does.
    minimum: the field with the minima.
    empty: text to show if there are no rows.
    """

    rows: Sequence[TableRow]
    worth: str = ""
    minimum: str = ""
    empty: str = ""


CountCell = str | int | Decimal | None
"""None if unknown."""


class Counts(Struct, frozen=True):
    """What an answer counts.

    rows: a cell for each of `Resource.columns`.
    empty: text to show if there are no rows.
    note: a remark for people, empty if there is none.
    facts: numbers that are not a row's, by name in JSON.
    total: the number to show if there is room for one only.
    """

    rows: Sequence[tuple[CountCell, ...]]
    empty: str
    note: str = ""
    facts: Mapping[str, int] = field(default_factory=dict)
    total: int = 0


class Kept(Protocol):
    """What is kept of an answer: the source of its samples and its table, in little memory.

    described: the answer's descriptions, which are stored once for all targets.
    """

    def lines(self, target: Target, described: Sequence[Any]) -> Steps[Lines]:
        """Return the answer's samples for `target`, whose labels may have changed."""

    def table(
        self, target: Target, described: Sequence[Any], *, is_whole: bool
    ) -> Table | Counts | None:
        """Return the amounts or the counts; None if the answer has neither.

        is_whole: whether no row of the answer was left out.
        """

    def worth(self, target: Target, described: Sequence[Any], *, is_whole: bool) -> Worth | None:
        """Return what the amounts are worth; None if the resource has no worth."""


class Exposed(Struct, frozen=True):
    """An answer as exposed.

    lines: its samples.
    series: number of samples.
    described: its descriptions of things that other targets may share.
    new: samples of the descriptions that were not known before.
    rows: number of rows of the answer, None if it has no rows.
    rejected: invalid rows, which were left out.
    unread: fields that could not be read.
    note: a remark for people, empty if there is none.
    worth: what its amounts are worth, None if it has no worth.
    """

    lines: Lines
    series: int
    kept: Kept
    described: tuple[Description, ...] = ()
    new: Mapping[Description, Lines] = field(default_factory=dict)
    rows: int | None = None
    rejected: tuple[InvalidRow, ...] = ()
    unread: tuple[InvalidField, ...] = ()
    note: str = ""
    worth: Worth | None = None

    def table(self, target: Target) -> Table | Counts | None:
        """Return the amounts or the counts; None if the answer has neither."""
        return self.kept.table(target, self.described, is_whole=not self.rejected)


class Exposable(Protocol):
    """A validated answer of the API."""

    def expose(self, target: Target, known: Container[Description]) -> Steps[Exposed]:
        """Return the answer as exposed for `target`; yields in between, so that the event loop is not blocked.

        known: descriptions that already have samples.
        """


class Part(Struct, frozen=True):
    """A part of an answer. next: the request for the next part, which includes the parts so far."""

    next: Request["Exposable | Part"]


Answer = Exposable | Part

MakeRequest = Callable[[Target], Request[Answer]]
"""Returns the first request for a target. It remembers which parameters the API accepted and refused before."""


class Resource(Struct, frozen=True, kw_only=True):
    """A resource of the API.

    kind, endpoint: values of these labels.
    singular, plural: names for people.
    folder: of its targets' pages, as in `/vaults/ID`.
    metrics: metrics of its answers, which are withdrawn when too old and count against `polling.max_series`.
    facts: metrics known without an answer (`Target.facts`).
    described: metrics of its descriptions, None if it has none.
    foreseen: expected failures of its requests as (HTTP status, type), whose counters start at 0.
    targets: returns its targets.
    name: returns the name of a target within its organization.
    requester: creates the source of its requests, once for each exporter.
    is_list: whether its answers list what to poll: they have no samples, and stay valid until the next one.
    has_own_interval: whether it has its own polling interval, so that `polling.stale_after` does not apply.
    cost: the plan's remark on the requests that a poll takes, empty if it is one.
    heading: of the table on its page.
    headline: title of the total of its counts beside its organization's worth, empty if it has none.
    """

    kind: str
    endpoint: str
    singular: str
    plural: str
    folder: str
    metrics: tuple[Metric, ...]
    targets: Callable[[Inventory], Iterable[Target]]
    name: Callable[[Target], str]
    requester: Callable[[], MakeRequest]
    facts: tuple[Metric, ...] = ()
    described: Group | None = None
    foreseen: Collection[tuple[int | None, str]] = FORESEEN
    is_list: bool = False
    has_own_interval: bool = False
    cost: str = ""
    heading: str = "Last answer"
    headline: str = ""
    worth: Literal["total", "part"] | None = None
    columns: tuple[Column, ...] = ()
