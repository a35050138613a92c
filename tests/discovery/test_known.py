"""What is known after each list: a list counts as a whole, and nothing leaves because of a single list."""

from collections.abc import Sequence

import pytest

from exporter.discovery.known import Finds, Found, Known, Listed, Source, with_list
from exporter.turns import at_once
from tests.discovery.finds import finds, found

HERE, ELSEWHERE = Source("treasury", "ABCD EFGH IJKL MNOP"), Source("other", "ABCD EFGH IJKL MNOP")


def after(
    before: Finds | None, rows: Sequence[Listed], at: float = 9.0, *, is_readable: bool = True
) -> Known:
    known = {ELSEWHERE: finds(found("Z"))} | ({} if before is None else {HERE: before})
    return at_once(with_list(known, HERE, rows, at, is_readable=is_readable))


@pytest.mark.parametrize(
    ("before", "rows", "expected"),
    [
        (None, [], {}),
        (None, [Listed("A", "hot")], finds(found("A", "hot", since=9.0))),
        (finds(found("A")), [Listed("A"), Listed("B")], finds(found("A"), found("B", since=9.0))),
        # Renamed.
        (
            finds(found("A", "hot")),
            [Listed("A", "cold")],
            finds(found("A", "cold", since=0.0, named_at=9.0)),
        ),
        # Another status: the name is as old as it was.
        (
            finds(found("A", "hot", since=3.0)),
            [Listed("A", "hot", "archived")],
            finds(Found(Listed("A", "hot", "archived"), since=3.0, named_at=3.0)),
        ),
        # Missing once, and missing twice.
        (finds(found("A"), found("B")), [Listed("A")], finds(found("A"), found("B", missed=1))),
        (finds(found("A"), found("B", missed=1)), [Listed("A")], finds(found("A"))),
        (finds(found("A"), found("B", missed=1)), [], finds(found("A", missed=1))),
        # Back again: it was known all the time.
        (finds(found("A", missed=1)), [Listed("A")], finds(found("A"))),
        # Back after it had gone: it is new.
        ({}, [Listed("A")], finds(found("A", since=9.0))),
    ],
)
def test_each_list_changes_what_is_known(
    before: Finds | None, rows: Sequence[Listed], expected: Finds
) -> None:
    known = after(before, rows)
    assert known[HERE] == expected
    assert known[ELSEWHERE] == finds(found("Z"))


@pytest.mark.parametrize("missed", [0, 1])
def test_a_list_with_an_unreadable_row_removes_nothing(missed: int) -> None:
    before = finds(found("A"), found("B", missed=missed))
    assert after(before, [Listed("A")], is_readable=False)[HERE] == before


def test_an_unchanged_list_returns_the_very_same_value() -> None:
    known = {HERE: finds(found("A", "hot"), found("B"))}
    assert at_once(with_list(known, HERE, [Listed("B"), Listed("A", "hot")], 9.0)) is known


def test_the_first_empty_list_changes_what_is_known() -> None:
    assert at_once(with_list({}, HERE, [], 9.0)) == {HERE: {}}


def test_a_long_list_is_processed_in_steps() -> None:
    rows = [Listed(f"V{number}") for number in range(20_000)]
    assert sum(1 for _ in with_list({}, HERE, rows, 9.0)) == 20
