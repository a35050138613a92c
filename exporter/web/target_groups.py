"""The targets of a page, grouped by organization."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from urllib.parse import quote

from exporter.status.model import TargetStatus
from exporter.web.row import TargetRow, row_of
from exporter.web.view import GroupKey, View


class TargetGroup(NamedTuple):
    """A group of targets.

    key: empty if the group has no name.
    address: of all targets of its organization.
    size: number of targets on all pages, for people.
    """

    key: str
    name: str
    address: str
    size: str
    rows: Sequence[TargetRow]


def groups_of(
    targets: Sequence[TargetStatus], chosen: Sequence[TargetStatus], view: View, now: float
) -> Iterator[TargetGroup]:
    """Yield `targets`, the part of `chosen` on this page, in groups."""
    counts = view.groups(chosen)
    if not counts:
        yield TargetGroup("", "", "", "", [row_of(target, now) for target in targets])
        return
    for key, some in groupby(targets, view.group):
        owner, state = key
        yield TargetGroup(
            f"group-{state or 'all'}-{quote(owner, safe='')}",
            owner,
            View(organization=owner).address(),
            _size(key, counts[key]),
            [row_of(target, now) for target in some],
        )


def _size(key: GroupKey, count: int) -> str:
    _, state = key
    return f"{count:,} {state or ('target' if count == 1 else 'targets')}"
