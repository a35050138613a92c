"""Which targets a page shows and in which order, from its query; unknown parameters and values are ignored."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from exporter.resources import RESOURCES
from exporter.status.model import STATES, State, TargetStatus

LONGEST_TEXT: Final = 200
MOST_TARGETS: Final = 500
"""Maximum on one page: a browser takes seconds for thousands of rows."""
_PAGE: Final = re.compile("[1-9][0-9]{0,5}")
PAUSED: Final = "paused"
"""Search text that finds paused targets, whatever their state."""

SortKey = Callable[[TargetStatus], Any]
"""The sort key of a target; None comes last in either direction."""


class SortColumn(Struct, frozen=True):
    """A sortable column."""

    name: str
    title: str
    key: SortKey
    is_number: bool = False


def _names(target: TargetStatus) -> tuple[str, str, str]:
    of = target.known.target
    # Names that differ only in case are different groups.
    return of.owner.casefold(), of.owner, of.vault.casefold()


def _error(target: TargetStatus) -> str | None:
    return target.known.failure.type if target.known.failure else None


COLUMNS: Final = (
    SortColumn("state", "State", lambda target: STATES.index(target.state)),
    SortColumn("target", "Target", _names),
    SortColumn("success", "Last success", lambda target: _negative(target.known.last_success)),
    SortColumn("next", "Next poll", lambda target: target.next_poll),
    SortColumn(
        "interval", "Interval", lambda target: target.known.refresh_interval, is_number=True
    ),
    SortColumn("rows", "Rows", lambda target: target.known.rows, is_number=True),
    SortColumn("series", "Series", lambda target: target.series, is_number=True),
    SortColumn("latency", "Latency", lambda target: target.latency, is_number=True),
    SortColumn("error", "Last polls", _error),
)
_COLUMNS: Final = {column.name: column for column in COLUMNS}


def _negative(at: float | None) -> float | None:
    """Return the key that sorts the youngest first, because the page shows ages."""
    return None if at is None else -at


GroupKey = tuple[str, State | None]
_GROUPED: Final = ("state", "target")
"""Columns by which targets are sorted in groups of one organization."""


class View(Struct, frozen=True):
    """What the query selects.

    sort: name of a column.
    state, organization: filters, None for all.
    text: searched in names, ids and errors.
    page: from 1, with MOST_TARGETS each.
    """

    sort: str = COLUMNS[0].name
    is_descending: bool = False
    state: State | None = None
    organization: str | None = None
    text: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "View":
        """Read a query; unknown values are ignored."""
        sort = query.get("sort", "")
        return cls(
            sort=sort if sort in _COLUMNS else COLUMNS[0].name,
            is_descending=query.get("order") == "desc",
            state=next((state for state in STATES if state == query.get("state")), None),
            organization=query.get("org") or None,
            text=query.get("q", "").strip()[:LONGEST_TEXT],
            page=page_of(query),
        )

    @property
    def is_filtered(self) -> bool:
        """Whether some targets may be left out."""
        return bool(self.state or self.organization or self.text)

    def address(self, path: str = "/") -> str:
        """Return the address of this view. path: of the page."""
        default = View()
        parameters = {
            "sort": self.sort if self.sort != default.sort else None,
            "order": "desc" if self.is_descending else None,
            "state": self.state,
            "org": self.organization,
            "q": self.text or None,
            "page": self.page if self.page > 1 else None,
        }
        query = urlencode({name: value for name, value in parameters.items() if value})
        return f"{path}?{query}" if query else path

    def on_page(self, page: int) -> str:
        """Return the address of another page of this view."""
        return replace(self, page=page).address()

    def groups(self, chosen: Sequence[TargetStatus]) -> dict[GroupKey, int]:
        """Return the number of targets in each group; empty if the sort order has no groups."""
        if self.sort not in _GROUPED or len({of.known.target.owner for of in chosen}) < 2:
            return {}
        return Counter(map(self.group, chosen))

    def group(self, target: TargetStatus) -> GroupKey:
        """Return the group of a target: its owner and, when sorted by state, its state."""
        state = target.state if self.sort == COLUMNS[0].name else None
        return target.known.target.owner, state

    def in_state(self, state: State | None) -> "View":
        """Return the view of all targets in `state`, None for any, in the same order."""
        return View(sort=self.sort, is_descending=self.is_descending, state=state)

    def sorted_by(self, column: str) -> "View":
        """Return this view sorted by `column`, or in the other direction if it already is."""
        return replace(
            self,
            sort=column,
            is_descending=self.sort == column and not self.is_descending,
            page=1,
        )

    def direction(self, column: str) -> str | None:
        """Return the direction in which `column` is sorted, as in `aria-sort`; None if it is not."""
        if column != self.sort:
            return None
        return "descending" if self.is_descending else "ascending"

    def choose(self, targets: Iterable[TargetStatus]) -> list[TargetStatus]:
        """Return the selected targets in order; ties are broken by the worst state, then the configured order.

        With groups, targets of one organization are kept together: discovered ones are otherwise after all configured.
        """
        chosen = [target for target in targets if self.shows(target)]
        if self.sort in _GROUPED:
            places: dict[str, int] = {}
            for target in chosen:
                places.setdefault(target.known.target.owner, len(places))
            chosen.sort(key=lambda target: places[target.known.target.owner])
        chosen.sort(key=_COLUMNS["state"].key)
        key = _COLUMNS[self.sort].key
        known = [target for target in chosen if key(target) is not None]
        known.sort(key=key, reverse=self.is_descending)
        return known + [target for target in chosen if key(target) is None]

    def shows(self, target: TargetStatus) -> bool:
        """Whether a target is selected, on whichever page."""
        of, failure, pause = target.known.target, target.known.failure, target.pause
        if self.state not in (None, target.state):
            return False
        if self.organization not in (None, of.owner):
            return False
        if not self.text:
            return True
        texts = [of.owner, RESOURCES[of.kind].name(of), of.id, of.id.replace(" ", "")]
        if failure:
            texts += [failure.type, failure.message]
        if pause:
            texts += [PAUSED, pause.type, pause.message]
        sought = self.text.casefold()
        return any(sought in text.casefold() for text in texts)


def page_of(query: Mapping[str, str]) -> int:
    """Return the requested page, from 1."""
    page = query.get("page", "")
    return int(page) if _PAGE.fullmatch(page) else 1


class Part(NamedTuple):
    """The targets of one page.

    first, last: their positions among the `total`, from 1.
    previous, next: addresses of the neighbouring pages.
    """

    targets: Sequence[TargetStatus]
    first: int
    last: int
    total: int
    previous: str | None
    next: str | None

    @classmethod
    def of(
        cls, targets: Sequence[TargetStatus], requested: int, address: Callable[[int], str]
    ) -> "Part":
        """Return the requested page of `targets`, or the last one if there are fewer.

        requested: its number, from 1.
        address: returns the address of a page.
        """
        pages = max(1, -(-len(targets) // MOST_TARGETS))
        page = min(requested, pages)
        first = (page - 1) * MOST_TARGETS
        shown = targets[first : first + MOST_TARGETS]
        return cls(
            shown,
            first + 1,
            first + len(shown),
            len(targets),
            address(page - 1) if page > 1 else None,
            address(page + 1) if page < pages else None,
        )
