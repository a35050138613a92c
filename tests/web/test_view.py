"""The targets that a page shows, and their order."""

from typing import Any

import pytest
from msgspec.structs import replace

from exporter.state.history import History, PollResult
from exporter.state.state import Failure
from exporter.status.model import State, TargetStatus
from exporter.web.view import COLUMNS, MOST_TARGETS, Part, View
from tests.resources.answers import ORGANIZATION, vault_target
from tests.web.statuses import told


def target(name: str, *, next_poll: float | None = None, **facts: Any) -> TargetStatus:
    of = vault_target(name) if name else ORGANIZATION
    of = replace(of, organization=facts.pop("organization", "acme"))
    return told(of, next_poll=next_poll, **facts)


FAILED = Failure("http/502", 502, "Bad Gateway", 0.0)
DENIED = Failure("PermissionDenied", 403, "Not YOURS.", 0.0)
TARGETS = (
    target(
        "",
        polls=1,
        last_success=40.0,
        results=History.of((PollResult(1.0, None, 0.3),)),
        next_poll=9.0,
    ),
    target("b", polls=1, last_success=30.0, rows=7, refresh_interval=60.0, next_poll=7.0),
    target("a", polls=1, failure=FAILED, last_success=20.0, rows=2, next_poll=8.0),
    target("c", organization="Other"),
    target("d", polls=2, failure=DENIED, is_stale=True, organization="Other", rows=3),
    target("e", polls=1, last_success=35.0, results=History.of((PollResult(1.0, None, 0.1),))),
)


def names(view: View) -> list[str]:
    return [it.known.target.vault for it in view.choose(TARGETS)]


def test_what_most_needs_a_look_comes_first() -> None:
    assert names(View()) == ["d", "a", "c", "", "b", "e"]


@pytest.mark.parametrize(
    ("column", "ascending", "descending"),
    [
        ("state", "dac be", " becad"),
        ("target", " abecd", "dceba "),
        ("success", " ebadc", "abe dc"),
        ("next", "ba dce", " abdce"),
        ("interval", "bdac e", "bdac e"),
        ("rows", "adbc e", "bdac e"),
        ("latency", "e dacb", " edacb"),
        ("error", "dac be", "adc be"),
    ],
)
def test_targets_are_sorted_by_a_column_and_what_is_unknown_comes_last(
    column: str, ascending: str, descending: str
) -> None:
    for is_descending, expected in ((False, ascending), (True, descending)):
        found = names(View(sort=column, is_descending=is_descending))
        assert "".join(name or " " for name in found) == expected


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        (View(state="stale"), "d"),
        (View(state="up"), " be"),
        (View(organization="Other"), "dc"),
        (View(organization="unknown"), ""),
        (View(state="waiting", organization="Other"), "c"),
        (View(text="ACME"), "a be"),
        (View(text="(total)"), " "),
        (View(text="gateway"), "a"),
        (View(text="not yours"), "d"),
        (View(text="permissiondenied"), "d"),
        (View(text="efgh ijkl"), " "),
        (View(text="efghijkl"), " "),
        (View(text="vabcdef"), "dacbe"),
        (View(text="nowhere"), ""),
    ],
)
def test_only_what_is_requested_is_shown(view: View, shown: str) -> None:
    assert view.is_filtered
    assert "".join(name or " " for name in names(view)) == shown


@pytest.mark.parametrize(
    ("query", "view"),
    [
        ({}, View()),
        (
            {
                "sort": "latency",
                "order": "desc",
                "state": "up",
                "org": "acme",
                "q": " hot ",
                "page": "3",
            },
            View(
                "latency", is_descending=True, state="up", organization="acme", text="hot", page=3
            ),
        ),
        # Whatever the query has, the result is a page.
        ({"sort": "<b>", "order": "up", "state": "down", "org": "", "q": "", "x": "y"}, View()),
        ({"q": "x" * 1000}, View(text="x" * 200)),
    ],
)
def test_a_view_is_read_from_its_query(query: dict[str, str], view: View) -> None:
    assert View.of(query) == view


@pytest.mark.parametrize(
    ("view", "address"),
    [
        (View(), "/"),
        (View(sort="rows"), "/?sort=rows"),
        (View(is_descending=True), "/?order=desc"),
        (View(page=2, state="up"), "/?state=up&page=2"),
        (View(organization="R&D <x>", text="a b"), "/?org=R%26D+%3Cx%3E&q=a+b"),
    ],
)
def test_each_view_has_an_address(view: View, address: str) -> None:
    assert view.address() == address


def test_a_column_sorts_the_other_way_round_the_second_time() -> None:
    first = View(state="up", text="x").sorted_by("rows")
    second = first.sorted_by("rows")
    assert (first.direction("rows"), second.direction("rows")) == ("ascending", "descending")
    assert second.sorted_by("rows") == first
    assert second.sorted_by("series").direction("series") == "ascending"
    assert second.direction("series") is None
    assert (second.state, second.text) == ("up", "x")


@pytest.mark.parametrize("state", ["stale", "failing", "waiting", "up", None])
def test_a_count_leads_to_all_targets_in_its_state_in_the_same_order(state: State | None) -> None:
    shown = View(sort="rows", is_descending=True, organization="acme", text="x")
    assert shown.in_state(state) == View(sort="rows", is_descending=True, state=state)


@pytest.mark.parametrize("page", ["0", "-1", "x", "1e3", "1000000", "٣"])
def test_an_invalid_page_number_means_the_first_page(page: str) -> None:
    assert View.of({"page": page}) == View()


@pytest.mark.parametrize(
    ("total", "page", "first", "last", "previous", "next_"),
    [
        (0, 1, 1, 0, None, None),
        (MOST_TARGETS, 2, 1, MOST_TARGETS, None, None),
        (MOST_TARGETS + 1, 1, 1, MOST_TARGETS, None, "/?page=2"),
        (MOST_TARGETS + 1, 2, MOST_TARGETS + 1, MOST_TARGETS + 1, "/", None),
        (3 * MOST_TARGETS, 2, MOST_TARGETS + 1, 2 * MOST_TARGETS, "/", "/?page=3"),
        (3 * MOST_TARGETS, 99, 2 * MOST_TARGETS + 1, 3 * MOST_TARGETS, "/?page=2", None),
    ],
)
def test_thousands_of_targets_are_shown_in_pages(  # noqa: PLR0917 - columns of the table
    total: int, page: int, first: int, last: int, previous: str | None, next_: str | None
) -> None:
    targets = [TARGETS[number % len(TARGETS)] for number in range(total)]
    part = Part.of(targets, page, View().on_page)
    assert part == Part(targets[first - 1 : last], first, last, total, previous, next_)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("state", {("acme", "up"): 2, ("acme", "failing"): 1, ("beta", "up"): 1}),
        ("target", {("acme", None): 3, ("beta", None): 1}),
        # In other orders they are not together.
        ("latency", {}),
    ],
)
def test_targets_of_an_organization_stand_together_and_are_counted(
    sort: str, expected: dict[object, int]
) -> None:
    acme = [target("a", polls=1), target("b", polls=1), target("c", polls=1, failure=FAILED)]
    beta = target("d", polls=1, organization="beta")
    view = View(sort=sort)
    assert view.groups([*acme, beta]) == expected
    # A single one needs no name.
    assert view.groups(acme) == {}


def test_another_order_begins_with_its_first_page() -> None:
    assert View(page=3).sorted_by("rows").page == 1


def test_columns_have_names_of_their_own() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
