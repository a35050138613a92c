"""The common part of lists of organizations and of vaults: their rows, and the handling of a whole list.

An unreadable row is reported and left out. Since it may be any entry that is missing, a list with such a row removes
nothing.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from exporter.config import ProblemError
from exporter.custody.document import InvalidAnswerError
from exporter.custody.errors import CustodyError
from exporter.discovery.known import Known, Listed, Source, with_list
from exporter.metrics.lines import Lines
from exporter.resources.fields import (
    Code,
    Elements,
    FieldProblem,
    GivenName,
    InvalidField,
    InvalidRow,
    UselessError,
    read_fields,
)
from exporter.resources.resource import Description, Exposed
from exporter.resources.target import Target
from exporter.turns import Steps

AT_ONCE: Final = 500


class _Row(msgspec.Struct, frozen=True):
    id: Code
    name: GivenName = None
    status: Code | None = None
    missing_rates: Elements | None = None


class Rows(msgspec.Struct, frozen=True):
    """Rows of a list. ids: of the readable rows, which are distinct."""

    listed: tuple[Listed, ...] = ()
    rejected: tuple[InvalidRow, ...] = ()
    unread: Mapping[FieldProblem, InvalidField] = msgspec.field(default_factory=dict)
    ids: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """Number of rows, including unreadable ones."""
        return len(self.listed) + len(self.rejected)


NO_ROWS: Final = Rows()


def read_rows(
    elements: Iterable[object],
    before: Rows,
    what: str,
    read_id: Callable[[object], str],
    id_fields: Sequence[str],
) -> Steps[Rows]:
    """Return the rows of `before` and of `elements`, each of which is a `what`.

    read_id: returns an id in canonical form, or raises ProblemError.
    id_fields: names of the id in the revisions of the API.

    Raises InvalidAnswerError if something is listed twice: then the list changed while it was read, and may lack
    another row.
    """
    listed, rejected = list(before.listed), list(before.rejected)
    unread, ids = dict(before.unread), set(before.ids)
    for position, element in enumerate(elements, before.count):
        if position % AT_ONCE == 0:
            yield
        try:
            row, mistakes = read_fields(_Row, _with_id(element, id_fields))
            id_ = read_id(row.id)
        except UselessError as error:
            rejected.append(InvalidRow(position, *error.mistake))
            continue
        except ProblemError as problem:
            rejected.append(InvalidRow(position, "id", str(problem)))
            continue
        if id_ in ids:
            raise InvalidAnswerError(
                f"lists {what} {id_} twice: the list changed while it was read"
            )
        ids.add(id_)
        rates = None if row.missing_rates is None else len(row.missing_rates)
        listed.append(Listed(id_, row.name or "", row.status or "", rates))
        for mistake in mistakes:
            first = unread.get(mistake, InvalidField(*mistake, 0, position))
            unread[mistake] = first._replace(rows=first.rows + 1)
    return Rows(tuple(listed), tuple(rejected), unread, frozenset(ids))


def _with_id(element: object, id_fields: Sequence[str]) -> object:
    if not isinstance(element, dict):
        return element
    ids = [element[name] for name in id_fields if element.get(name) is not None]
    return {**element, "id": ids[0]} if ids else element


class Listing(msgspec.Struct, frozen=True):
    """A whole list."""

    source: Source
    rows: Rows

    def expose(self, target: Target, known: Container[Description]) -> Steps[Exposed]:
        """Return the list without samples: its entries are exposed with the targets made from them."""
        del target, known
        yield from ()
        rows = self.rows
        return Exposed(
            {},
            0,
            _NOTHING,
            rows=rows.count,
            rejected=rows.rejected,
            unread=tuple(rows.unread.values()),
            note="" if rows.count else self._seen_nothing(),
        )

    def _seen_nothing(self) -> str:
        if self.source.organization:
            return "the list is empty: make the API user a member of the vaults that it should see"
        return "the list is empty: check the API user's organization and rights"

    def merged_into(self, known: Known, at: float) -> Steps[Known]:
        """Return what is known including this list, read at `at` (Unix seconds); `known` itself if nothing changed."""
        rows = self.rows
        return with_list(known, self.source, rows.listed, at, is_readable=not rows.rejected)


class NotAllowed(msgspec.Struct, frozen=True):
    """The API's answer to a key that may not list. what: the resource that it may not list."""

    what: str

    def expose(self, target: Target, known: Container[Description]) -> Steps[Exposed]:
        """Return it with a note and without samples."""
        del target, known
        yield from ()
        note = f"the key may not list {self.what}: only those in the configuration are polled"
        return Exposed({}, 0, _NOTHING, note=note)


def excuse(target: Target, what: str) -> Callable[[CustodyError], NotAllowed | None]:
    """Return a function that accepts a denied request as NotAllowed if the configuration already has some `what`."""

    def excused(error: CustodyError) -> NotAllowed | None:
        return NotAllowed(what) if target.is_optional and error.denies_permission else None

    return excused


class _Nothing:
    """Nothing is kept of a list here: discovery keeps its entries."""

    def lines(self, target: Target, described: Sequence[Any]) -> Steps[Lines]:
        """Return no samples."""
        del target, described
        yield from ()
        return MappingProxyType({})

    def table(self, target: Target, described: Sequence[Any], *, is_whole: bool) -> None:
        """Return no table."""
        del target, described, is_whole

    def worth(self, target: Target, described: Sequence[Any], *, is_whole: bool) -> None:
        """Return no worth."""
        del target, described, is_whole


_NOTHING: Final = _Nothing()
