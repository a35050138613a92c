"""The targets of a page, those of one organization under its name."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from urllib.parse import quote

from exporter.status.model import TargetStatus
from exporter.web.row import TargetRow, row_of
from exporter.web.view import GroupKey, View


class TargetGroup(NamedTuple):
    """Targets that stand together.

    key: of the group, empty where it has no name. address: of the targets of its organization. told: how many there are
    of it, on whichever page.
    """

    key: str
    name: str
    address: str
    told: str
    rows: Sequence[TargetRow]


def groups_of(
    targets: Sequence[TargetStatus], chosen: Sequence[TargetStatus], view: View, now: float
) -> Iterator[TargetGroup]:
    """Yield `targets`, which are those of `chosen` that stand on a page, in groups."""
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
            _told(key, counts[key]),
            [row_of(target, now) for target in some],
        )


def _told(key: GroupKey, count: int) -> str:
    _, state = key
    return f"{count:,} {state or ('target' if count == 1 else 'targets')}"
