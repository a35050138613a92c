"""What the API has listed: one value for all lists, replaced by each new list."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from exporter.turns import Steps

GONE_AFTER_LISTINGS: Final = 2
"""Consecutive lists without an entry after which it is gone; a single one may be wrong."""
AT_ONCE: Final = 1_000


class Source(NamedTuple):
    """The source of a list. organization: the id of the one whose vaults it lists, empty for organizations."""

    credential: str
    organization: str = ""


class Listed(NamedTuple):
    """An organization or a vault as the API lists it.

    name, status: empty if the list does not say.
    missing_rates: number of a vault's assets without a quote rate, None if the list does not say.
    """

    id: str
    name: str = ""
    status: str = ""
    missing_rates: int | None = None


class Found(Struct, frozen=True):
    """Something that was listed. Times are Unix seconds.

    since: when this exporter first saw it.
    named_at: when it first saw it under this name.
    missed: number of latest lists in a row without it.
    """

    listed: Listed
    since: float
    named_at: float
    missed: int = 0


Finds = Mapping[str, Found]
"""By id."""
Known = Mapping[Source, Finds]
"""What each source has listed: no entry before a source's first list, an empty one after an empty list."""


def with_list(
    known: Known, source: Source, rows: Sequence[Listed], at: float, *, is_readable: bool = True
) -> Steps[Known]:
    """Return what is known after `source` listed `rows`, whose ids are distinct; `known` itself if nothing changed.

    is_readable: whether all rows of the list could be read; otherwise what is missing may be in the others, and stays.
    """
    before = known.get(source)
    after = yield from _with_list(before or {}, rows, at, is_readable=is_readable)
    return known if after == before else {**known, source: after}


def _with_list(
    before: Finds, rows: Sequence[Listed], at: float, *, is_readable: bool
) -> Steps[dict[str, Found]]:
    after = {}
    for number, row in enumerate(rows, 1):
        after[row.id] = _found(before.get(row.id), row, at)
        if number % AT_ONCE == 0:
            yield
    for id_, found in before.items():
        missed = found.missed + is_readable
        if id_ not in after and missed < GONE_AFTER_LISTINGS:
            after[id_] = replace(found, missed=missed)
    return after


def _found(before: Found | None, row: Listed, at: float) -> Found:
    if before is None:
        return Found(row, at, at)
    if before.listed == row and not before.missed:
        return before
    named_at = before.named_at if before.listed.name == row.name else at
    return Found(row, before.since, named_at)
