"""What a resource says of itself. Everything else asks `RESOURCES[target.kind]` and names none.

A new resource is one module with a `Resource`, and a line in `resources/__init__.py`.
"""

from collections.abc import Callable, Collection, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, Protocol

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
"""Ends the help of each metric that an answer has the values of."""


class Description(Hashable, Protocol):
    """What an answer says of something that is the same whichever target has it, such as an asset.

    It is exposed once, as it was described last.
    """

    @property
    def key(self) -> Hashable:
        """What is described."""

    def lines(self) -> Lines:
        """Return its samples."""


class Column(NamedTuple):
    """A column of amounts, or of counts.

    field: of an amount, its name in the API or in the configuration; of a count, its name in JSON. title: on the page,
    empty where it is not shown. form: what a cell is; a moment is in Unix seconds.
    """

    field: str
    title: str
    form: Literal["number", "text", "moment"] = "number"


class TableRow(NamedTuple):
    """A row of a table. asset: empty where it is of all assets. note: what people should know of it.

    is_short: whether less is available than the configured minimum. is_unpriced: whether something is held whose worth
    the API does not tell.
    """

    asset: str
    asset_class: str
    name: str
    cells: tuple[Cell, ...]
    note: str = ""
    is_short: bool = False
    is_unpriced: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The amounts of an answer, with each digit as it came, and the minima that the configuration has for them.

    worth: the field whose cells add up, empty where none do; minimum: the field with the minima. empty: what is said
    where there are no rows.
    """

    rows: Sequence[TableRow]
    worth: str = ""
    minimum: str = ""
    empty: str = ""


CountCell = str | int | Decimal | None
"""None where it is not known."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What an answer counts.

    rows: a cell for each of `Resource.columns`. empty: what is said where there are no rows. note: what people should
    know of them. facts: what is not a row's, by name in JSON.
    """

    rows: Sequence[tuple[CountCell, ...]]
    empty: str
    note: str = ""
    facts: Mapping[str, int] = field(default_factory=dict)


class Kept(Protocol):
    """What is kept of an answer: all that its samples and its table are made from, in as little memory as it takes.

    described: what the answer described; it is kept once for all targets.
    """

    def lines(self, target: Target, described: Sequence[Any]) -> Steps[Lines]:
        """Return the answer's samples for `target`, whose names may be others than before."""

    def table(
        self, target: Target, described: Sequence[Any], *, is_whole: bool
    ) -> Table | Counts | None:
        """Return the amounts, or what is counted; None where there is neither.

        is_whole: whether no row of the answer was left out.
        """

    def worth(self, target: Target, described: Sequence[Any], *, is_whole: bool) -> Worth | None:
        """Return what the amounts are worth; None where that is not for them to say."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """An answer as it is exposed.

    lines, series: its samples, and how many they are. described: what it says of things that other targets may have
    too; new: the samples of those of them that nobody described like this before. rows: of the answer; None where it
    has none to judge. rejected: those that were left out. unread: fields that could not be read. note: what people
    should know of it, if anything. worth: what its amounts are worth, None where it says nothing of that.
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
        """Return the amounts, or what is counted; None where there is neither."""
        return self.kept.table(target, self.described, is_whole=not self.rejected)


class Exposable(Protocol):
    """An answer of the API that was read and checked."""

    def expose(self, target: Target, known: Container[Description]) -> Steps[Exposed]:
        """Return the answer as it is exposed for `target`, with a stop wherever others have waited long enough.

        known: descriptions whose samples are made already.
        """


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer. next: the request for the part after it, which knows of this one and those before."""

    next: Request["Exposable | Part"]


Answer = Exposable | Part

Ask = Callable[[Target], Request[Answer]]
"""Returns the first request for a target's answer. It remembers what the API took and refused before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of the API.

    kind, endpoint: its values of these labels. singular, plural: what people call it. folder: of its targets' pages,
    as in `/vaults/ID`. metrics: of its answers; they are withdrawn when they are too old, and count against
    `polling.max_series`. facts: of what is known without an answer (`Target.facts`). described: of what its
    answers describe, None where they describe nothing. foreseen: the failures of its requests, as (HTTP status, type),
    that are known before they happen. targets: what there is of it to poll. name: what a target is called within its
    organization. asking: makes what asks for its targets, anew for each exporter. is_list: whether its answers say what
    there is to poll: they have no samples, and what they said holds until another one says otherwise.
    has_own_interval: whether it is polled at an interval of its own, so that `polling.stale_after` is not for it. cost:
    what the plan says of the requests that a poll takes, empty where it is one. heading: of what its page shows.
    """

    kind: str
    endpoint: str
    singular: str
    plural: str
    folder: str
    metrics: tuple[Metric, ...]
    targets: Callable[[Inventory], Iterable[Target]]
    name: Callable[[Target], str]
    asking: Callable[[], Ask]
    facts: tuple[Metric, ...] = ()
    described: Group | None = None
    foreseen: Collection[tuple[int | None, str]] = FORESEEN
    is_list: bool = False
    has_own_interval: bool = False
    cost: str = ""
    heading: str = "Last answer"
    worth: Literal["total", "part"] | None = None
    columns: tuple[Column, ...] = ()
