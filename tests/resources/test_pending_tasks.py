"""Pending tasks: what is read in every revision, what is counted, and that nothing personal is exposed."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError, parse_json
from exporter.custody.errors import CustodyError, Reaction
from exporter.discovery.inventory import Inventory, Organization
from exporter.resources.fields import InvalidField, InvalidRow
from exporter.resources.pending_tasks import (
    MOST_PAGES,
    MOST_TYPES,
    PAGE_ROWS,
    PENDING_TASKS,
    STATES,
    Group,
    TaskList,
    Waiting,
)
from exporter.resources.resource import Answer, MakeRequest, Part
from exporter.resources.target import Target
from exporter.simulator.approvals import ADDRESS_OF_INITIATOR, MARKER, tasks_of
from exporter.simulator.portfolio import invented_vault_id
from exporter.turns import at_once
from tests.resources.answers import EXPECTED, exposed, lines_of, make_store, page, put
from tests.simulator.calling import NOON, ORGANIZATION

HOT, COLD = "VABCDEF234567A", "VBBBBBBBBBBBBA"
TARGET = Target(
    "pending_tasks",
    "ABCD EFGH IJKL MNOP",
    "acme",
    "",
    60.0,
    "treasury",
    vault_labels={HOT: "hot"},
)


def task(number: int, **fields: Any) -> dict[str, Any]:
    """Return a task that lacks two of three approvals, with some fields replaced by `fields`."""
    return {
        "id": f"T{number:013}",
        "type": "request_withdrawal",
        "state": "pending",
        "created_at": "1795262400",
        "expires_at": "1795269600",
        "vault_info": {"id": HOT, "name": f"{MARKER} vault"},
        "reviewer_statistics": {"approved": 1, "required_quorum": 3},
        "initiator": {"full_name": f"{MARKER} Jo Doe"},
    } | fields


def asked(request: Request[Answer], document: object) -> Answer:
    return at_once(request.read(parse_json(json.dumps(document).encode())))


def tasks(*documents: object, ask: MakeRequest | None = None) -> TaskList:
    """Return the result of tasks with these pages, all of which are requested."""
    request, last = (ask or PENDING_TASKS.requester())(TARGET), None
    for document in documents:
        assert last is None or isinstance(last, Part)
        last = asked(request, document)
        if isinstance(last, Part):
            request = last.next
    assert isinstance(last, TaskList)
    return last


def waiting(*rows: object) -> Mapping[Group, Waiting]:
    return tasks(list(rows)).tasks.groups


def test_tasks_are_exposed_as_documented() -> None:
    store = make_store(TARGET)
    put(
        store,
        TARGET,
        tasks(
            {
                "result": [
                    task(5, created_at="1795262500"),
                    task(4, reviewer_statistics={"approved": 0, "required_quorum": 2}),
                    task(3, state="executed", type="add_whitelist_address"),
                    task(2, vault_info={"id": COLD}, expires_at=None),
                    task(1, type="invite_user", vault_info=None),
                ],
                "total": 5,
            }
        ),
    )
    assert page(store) == (EXPECTED / "pending_tasks.prom").read_text()


@pytest.mark.parametrize(
    "envelope",
    [
        lambda rows: rows,
        lambda rows: {"result": rows},
        lambda rows: {"tasks": rows, "total": "1"},
        lambda rows: {"result": rows, "total": 1, "unknown": {}},
        lambda rows: {"result": rows, "total": "many"},
    ],
)
@pytest.mark.parametrize("moment", ["1795262400", 1795262400, "2026-11-21T12:00:00Z"])
@pytest.mark.parametrize("count", [lambda number: number, str])
@pytest.mark.parametrize("vault", [{"vault_info": {"id": HOT}}, {"vault_id": HOT}])
def test_tasks_are_read_from_every_revision(
    envelope: Callable[[list[object]], object],
    moment: object,
    count: Callable[[int], object],
    vault: Mapping[str, object],
) -> None:
    row = task(1, created_at=moment, expires_at=moment)
    del row["vault_info"]
    row["reviewer_statistics"] = {"approved": count(1), "required_quorum": count(3)}
    seconds = Decimal(1795262400)
    assert tasks(envelope([row | dict(vault)])).tasks.groups == {
        Group(HOT, "request_withdrawal"): Waiting(1, seconds, seconds, 2)
    }


@pytest.mark.parametrize("document", [{}, {"result": {}}, "x", 5, None, {"vaults": []}])
def test_anything_but_a_list_of_tasks_is_an_invalid_answer(document: object) -> None:
    with pytest.raises(InvalidAnswerError, match="neither an array of tasks nor an object"):
        tasks(document)


@pytest.mark.parametrize("state", sorted(STATES))
@pytest.mark.parametrize("written", [str, str.upper])
def test_only_pending_tasks_are_counted(state: str, written: Callable[[str], str]) -> None:
    (group,) = waiting(task(1, state=written(state))).values()
    assert group.tasks == (state == "pending")


def test_the_oldest_and_the_next_expiring_pending_task_are_exported() -> None:
    rows = [
        task(number, created_at=created, expires_at=expires)
        for number, (created, expires) in enumerate([("5", "90"), ("3", "80"), ("4", None)])
    ]
    done = task(9, state="executed", created_at="1", expires_at="2")
    assert list(waiting(*rows, done).values()) == [Waiting(3, Decimal(3), Decimal(80), 6)]


@pytest.mark.parametrize(
    ("approved", "required", "missing"),
    [
        (0, 2, 2),
        (2, 2, 0),
        (3, 2, 0),
        (None, 2, None),
        (1, None, None),
        ("x", 2, None),
        (0, 10**9, 10**9),
        (0, 10**9 + 1, None),
    ],
)
def test_missing_approvals_are_counted_up_to_the_quorum_and_unknown_if_a_task_omits_them(
    approved: object, required: object, missing: int | None
) -> None:
    row = task(1, reviewer_statistics={"approved": approved, "required_quorum": required})
    assert [it.missing for it in waiting(row).values()] == [missing]
    told = 2 if missing is not None else None
    both = waiting(row, task(2))
    assert [it.missing for it in both.values()] == [told if missing is None else missing + 2]


def test_a_vault_that_is_not_polled_is_called_by_its_id_and_a_renamed_one_by_its_new_name() -> None:
    answer = tasks([task(1), task(2, vault_info={"id": COLD})])
    before = lines_of(TARGET, answer)["kraken_custody_pending_tasks"].decode()
    assert f'vault="hot",vault_id="{HOT}"' in before
    assert f'vault="{COLD}",vault_id="{COLD}"' in before
    renamed = replace(TARGET, vault_labels={HOT: "warm"})
    assert not TARGET.is_exposed_as(renamed)
    kept = exposed(TARGET, answer).kept
    after = at_once(kept.lines(renamed, ()))["kraken_custody_pending_tasks"].decode()
    assert after == before.replace('"hot"', '"warm"')


def test_a_type_that_was_seen_once_stays_at_zero() -> None:
    ask = PENDING_TASKS.requester()
    tasks([task(1)], ask=ask)
    lines = lines_of(TARGET, tasks([], ask=ask))
    group = (
        f'org="acme",org_id="{TARGET.id}",vault="hot",vault_id="{HOT}",'
        'task_type="request_withdrawal"'
    )
    assert {name: text.decode() for name, text in lines.items()} == {
        "kraken_custody_pending_tasks": f"kraken_custody_pending_tasks{{{group}}} 0.0\n",
        "kraken_custody_pending_task_missing_approvals": (
            f"kraken_custody_pending_task_missing_approvals{{{group}}} 0.0\n"
        ),
        "kraken_custody_tasks_truncated": (
            f'kraken_custody_tasks_truncated{{org="acme",org_id="{TARGET.id}"}} 0.0\n'
        ),
    }
    other = replace(TARGET, id="BBBB BBBB BBBB BBBB")
    read = asked(ask(other), [])
    assert isinstance(read, TaskList)
    assert read.tasks.groups == {}


def test_an_implausible_task_type_or_one_too_many_is_exported_as_other() -> None:
    (group,) = waiting(task(1, type="withdrawal of Jo Doe"))
    assert group == Group(HOT, "other")
    rows = [task(number, type=f"type_{number}") for number in range(MOST_TYPES + 2)]
    groups = waiting(*rows)
    assert len(groups) == MOST_TYPES + 1
    assert groups[Group(HOT, "other")].tasks == 2


@pytest.mark.parametrize(
    ("row", "field", "problem"),
    [
        ("text", "", "is not an object"),
        (task(1, id=None), "id", "is not a text"),
        (task(1, type=""), "type", "is not a text"),
        (task(1, state="waiting for Jo Doe"), "state", "is none of those that Kraken documents"),
        (task(1, vault_info={"id": "Jo Doe"}), "vault_id", "is not a vault id"),
    ],
)
def test_an_unreadable_task_is_left_out_and_reported_without_its_content(
    row: object, field: str, problem: str
) -> None:
    read = tasks([task(2), row])
    assert [it.tasks for it in read.tasks.groups.values()] == [1]
    assert read.rows.rejected == (InvalidRow(1, field, problem),)
    # That no task is readable does not mean that none waits.
    with pytest.raises(
        InvalidAnswerError, match=f"has no task that can be read: {field} {problem}"
    ):
        tasks([row])


def test_an_unreadable_time_is_reported_and_the_task_counts() -> None:
    read = tasks([task(1, created_at="yesterday"), task(2, created_at="long ago")])
    assert list(read.tasks.groups.values()) == [Waiting(2, None, Decimal(1795269600), 4)]
    problem = "is not Unix seconds or RFC 3339 with a time zone"
    answer = exposed(TARGET, read)
    assert answer.unread == (InvalidField("created_at", problem, rows=2, position=0),)
    assert answer.rows == 2


def test_a_time_that_no_page_could_show_is_unreadable() -> None:
    read = tasks([task(1, created_at="1795262400000000000")])
    assert list(read.tasks.groups.values()) == [Waiting(1, None, Decimal(1795269600), 2)]
    (unread,) = exposed(TARGET, read).unread
    assert unread.field == "created_at"


def full(first: int) -> list[object]:
    return [task(first + number) for number in range(PAGE_ROWS)]


def counted(read: TaskList) -> int:
    return sum(it.tasks for it in read.tasks.groups.values())


def test_pages_are_requested_from_the_newest_to_the_last() -> None:
    request = PENDING_TASKS.requester()(TARGET)
    assert request.query == "?org_iiban={id}&limit=100&offset=0"
    first = asked(request, {"result": full(0), "total": 150})
    assert isinstance(first, Part)
    assert first.next.query == "?org_iiban={id}&limit=100&offset=100"
    last = asked(first.next, {"result": full(100)[:50], "total": 150})
    assert isinstance(last, TaskList)
    assert counted(last) == 150
    assert not last.tasks.is_truncated


@pytest.mark.parametrize(
    "pages",
    [
        [[]],
        [full(0)[:99]],
        [full(0), []],
        # This total may be that of the page only.
        [{"result": full(0), "total": 100}, {"result": [], "total": 100}],
        [{"result": full(0), "total": 102}, {"result": full(100)[:2], "total": 102}],
    ],
)
def test_tasks_that_were_all_read_are_not_truncated(pages: list[object]) -> None:
    assert not tasks(*pages).tasks.is_truncated


def test_tasks_beyond_the_newest_pages_are_not_requested_and_truncated_is_1() -> None:
    pages = [full(number * PAGE_ROWS) for number in range(MOST_PAGES)]
    read = tasks(*pages)
    assert counted(read) == MOST_PAGES * PAGE_ROWS
    assert read.tasks.is_truncated
    assert lines_of(TARGET, read)["kraken_custody_tasks_truncated"].endswith(b" 1.0\n")


@pytest.mark.parametrize("total", [None, 600])
def test_an_api_that_ignores_limit_has_no_more_of_its_tasks_read(total: int | None) -> None:
    read = tasks({"result": [task(number) for number in range(600)], "total": total})
    assert (counted(read), read.rows.count) == (MOST_PAGES * PAGE_ROWS, MOST_PAGES * PAGE_ROWS)
    assert read.tasks.is_truncated


def test_a_task_that_moved_to_the_next_page_while_it_was_read_counts_once() -> None:
    new, moved = task(1000), full(0)
    read = tasks(moved, [moved[-1], task(100)])
    assert counted(read) == PAGE_ROWS + 1
    assert new not in moved


def test_an_api_that_ignores_offset_is_not_asked_for_the_same_page_repeatedly() -> None:
    read = tasks(full(0), full(0))
    assert (counted(read), read.tasks.is_truncated) == (PAGE_ROWS, True)


def bad_request() -> CustodyError:
    return CustodyError("BadRequest", status=400, reaction=Reaction.BACK_OFF)


def test_a_refused_offset_leaves_what_was_read() -> None:
    first = asked(PENDING_TASKS.requester()(TARGET), full(0))
    assert isinstance(first, Part)
    excused = first.next.excuse(bad_request())
    assert isinstance(excused, TaskList)
    assert (counted(excused), excused.tasks.is_truncated) == (PAGE_ROWS, True)
    denied = CustodyError("PermissionDenied", status=403, reaction=Reaction.BACK_OFF)
    assert first.next.excuse(denied) is None


def test_the_query_names_an_organization_as_the_api_accepts_it() -> None:
    ask = PENDING_TASKS.requester()
    assert ask(TARGET).reaction(bad_request()) is Reaction.AGAIN
    assert ask(TARGET).query.startswith("?org_id={id}&")


def test_others_may_come_between_a_hundred_tasks() -> None:
    rows = [task(number, vault_info={"id": invented_vault_id(number)}) for number in range(201)]
    assert sum(1 for _ in PENDING_TASKS.requester()(TARGET).read(rows)) == 3
    assert sum(1 for _ in tasks({"result": rows, "total": 201}).tasks.lines(TARGET)) == 3


def test_tasks_are_requested_by_their_organization_and_are_personal() -> None:
    asked = PENDING_TASKS.requester()(TARGET)
    assert (asked.endpoint, asked.tag) == ("tasks", TARGET.key)
    assert (asked.path, asked.id) == ("tasks", "ABCD EFGH IJKL MNOP")
    assert (asked.is_signed, asked.is_personal) == (True, True)


def test_each_organization_of_this_shard_whose_tasks_are_collected_is_a_target() -> None:
    def organization(number: int, *collect: str, **others: Any) -> Organization:
        id_, label = f"AAAA BBBB CCCC {number:04}", f"org-{number}"
        return Organization(id_, label, 90.0, "treasury", (), collect=collect, **others)

    inventory = Inventory(
        (
            organization(1, "pending_tasks", vault_labels={HOT: "hot"}),
            organization(2, "balances"),
            organization(3, "pending_tasks", is_here=False),
            organization(4, "balances", "pending_tasks", is_configured=False),
        )
    )
    labels = {HOT: "hot"}
    first = Target("pending_tasks", "AAAA BBBB CCCC 0001", "org-1", "", 90.0, "treasury")
    fourth = Target("pending_tasks", "AAAA BBBB CCCC 0004", "org-4", "", 90.0, "treasury")
    assert tuple(PENDING_TASKS.targets(inventory)) == (
        replace(first, requests=5, vault_labels=labels),
        replace(fourth, requests=5, is_found=True),
    )
    assert PENDING_TASKS.name(TARGET) == "(pending tasks)"


NAMES = ("id", "type", "state", "created_at", "expires_at", "vault_id", "vault_info.id")
COUNTED = ("reviewer_statistics.approved", "reviewer_statistics.required_quorum")
ANYTHING = st.recursive(
    st.sampled_from([MARKER, f"{MARKER}@example.com", ADDRESS_OF_INITIATOR, None, True, 7]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([MARKER, "name", "email"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def marked(value: Any, place: str, draw: Callable[[], object]) -> Any:
    """Return `value` with marked values of any kind in place of everything that is not read."""
    if place in NAMES or place in COUNTED:
        return value
    if isinstance(value, dict) and place in ("", "vault_info", "reviewer_statistics"):
        inner = {key: marked(it, f"{place}.{key}".lstrip("."), draw) for key, it in value.items()}
        return inner | {MARKER: draw(), "another_field": draw()}
    return draw()


@given(data=st.data(), rfc3339=st.booleans())
def test_nothing_personal_leaves_the_parser(data: st.DataObject, *, rfc3339: bool) -> None:
    rows = [it.row(NOON, rfc3339=rfc3339) for it in tasks_of(ORGANIZATION, NOON)[:5]]
    # A few values in many places: to draw each anew takes most of the time.
    values = cycle(data.draw(st.lists(ANYTHING, min_size=1, max_size=7)))
    drawn = [marked(row, "", lambda: next(values)) for row in rows]
    read = tasks({"result": drawn, "total": 5, MARKER: MARKER})
    answer = exposed(TARGET, read)
    assert counted(read) == sum(row["state"] == "pending" for row in rows)
    assert not answer.rejected
    for text in (repr(read), repr(answer), repr(answer.kept)):
        assert MARKER not in text
        assert ADDRESS_OF_INITIATOR not in text


@given(data=st.data())
def test_nothing_personal_leaves_the_parser_if_fields_have_unexpected_types(
    data: st.DataObject,
) -> None:
    row = {
        name: data.draw(ANYTHING.filter(lambda it: it != MARKER) if name == "type" else ANYTHING)
        for name in task(1)
    }
    read = tasks([row, task(2)])
    assert MARKER not in repr(exposed(TARGET, read))
    assert ADDRESS_OF_INITIATOR not in repr(read)
