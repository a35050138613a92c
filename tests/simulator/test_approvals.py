"""Tasks that wait for approval, and whitelists, as each revision documents them."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from exporter.simulator import moods
from exporter.simulator.approvals import (
    ADDRESS_OF_INITIATOR,
    MARKER,
    Task,
    tasks_of,
    whitelist_of,
)
from exporter.simulator.revisions import R1, R2, R3, R4, Revision
from exporter.simulator.wander import DAY, HOUR, MINUTE
from tests.simulator.calling import (
    NOON,
    ORGANIZATION,
    PORTFOLIO,
    VAULT,
    Caller,
    make_simulator,
)

TASKS = "/v0/insto/custody/tasks"
WHITELIST = f"/v0/insto/custody/vaults/{VAULT.id}/whitelist/addresses"
OTHER = PORTFOLIO.organizations[1]
REVISIONS = (R1, R2, R3, R4)
PERSONAL_OF_TASK = {
    *("initiator.full_name", "initiator.email", "initiator.iiban", "description"),
    *("reviewer_statistics_label", "vault_info.subquorum_config.members.0"),
    "subquorum_snapshot.members.0",
}
PERSONAL_OF_ADDRESS = {
    *("address", "address_name", "tag", "description"),
    *("beneficiary.full_name", "beneficiary.country"),
}
WAITING = Task(
    id="TABCDEF234567A",
    type="request_withdrawal",
    vault=VAULT,
    created=NOON,
    expires=NOON + HOUR,
    required=3,
    approvals=(NOON + 10 * MINUTE, NOON + 20 * MINUTE),
)
DECIDED = replace(WAITING, ended=NOON + 30 * MINUTE, outcome="rejected")


def get(target: str, **options: Any) -> httpx.Response:
    return Caller(make_simulator(**options)).get(target)


def marked(value: object, path: str = "") -> Iterator[str]:
    """Yield where in a document there is a marker."""
    if isinstance(value, dict | list):
        places = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in places:
            yield from marked(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, str) and MARKER in value:
        yield path


@pytest.mark.parametrize("revision", REVISIONS)
def test_tasks_come_in_pages_the_newest_first_with_the_total_of_all(revision: Revision) -> None:
    caller = Caller(make_simulator(revision=revision))
    first = caller.get(f"{TASKS}?limit=10").json()
    second = caller.get(f"{TASKS}?limit=10&offset=10").json()
    all_of_them = tasks_of(ORGANIZATION, NOON)
    assert first["total"] == second["total"] == len(all_of_them) > 100
    rows = [*first["result"], *second["result"]]
    assert [row["id"] for row in rows] == [task.id for task in all_of_them[:20]]
    assert sorted(task.created for task in all_of_them)[::-1] == [it.created for it in all_of_them]
    assert len(caller.get(TASKS).json()["result"]) == 100


@pytest.mark.parametrize(("revision", "name"), [(R1, "org_id"), (R4, "org_iiban")])
def test_tasks_are_requested_by_organization(revision: Revision, name: str) -> None:
    answer = get(f"{TASKS}?{name}={quote(OTHER.id)}", revision=revision).json()
    assert answer["result"][0]["id"] == tasks_of(OTHER, NOON)[0].id
    assert get(f"{TASKS}?{name}=ABCDEFGHIJKLMNOP", revision=revision).status_code == 403


@pytest.mark.parametrize("query", ["limit=0", "offset=-1", "page=2", "limit=1&limit=1"])
def test_an_improper_request_for_tasks_is_a_bad_request(query: str) -> None:
    assert get(f"{TASKS}?{query}").status_code == 400


@pytest.mark.parametrize("revision", REVISIONS)
def test_moments_are_written_as_the_revision_documents(revision: Revision) -> None:
    row = get(TASKS, revision=revision, tasks=lambda *_: [WAITING]).json()["result"][0]
    if revision is R4:
        assert row["created_at"] == "2026-11-21T12:00:00Z"
        assert datetime.fromisoformat(row["expires_at"]).timestamp() == NOON + HOUR
    else:
        assert row["created_at"] == str(int(NOON))
        assert row["expires_at"] == str(int(NOON + HOUR))


@pytest.mark.parametrize(
    ("task", "minutes", "state", "approved", "updated"),
    [
        (WAITING, 0, "pending", 0, 0),
        (WAITING, 15, "pending", 1, 10),
        (WAITING, 59, "pending", 2, 20),
        (WAITING, 60, "expired", 2, 20),
        (DECIDED, 29, "pending", 2, 20),
        (DECIDED, 30, "rejected", 2, 30),
        (DECIDED, 90, "rejected", 2, 30),
    ],
)
def test_a_task_waits_is_approved_and_ends(
    task: Task, minutes: int, state: str, approved: int, updated: int
) -> None:
    row: Any = task.row(NOON + minutes * MINUTE, rfc3339=False)
    assert row["state"] == state
    statistics = row["reviewer_statistics"]
    assert (statistics["approved"], statistics["undecided"]) == (approved, 3 - approved)
    assert row["updated_at"] == str(int(NOON + updated * MINUTE))


def test_a_task_of_an_organization_has_no_vault() -> None:
    row = replace(WAITING, vault=None).row(NOON, rfc3339=True)
    assert (row["vault_info"], row["quorum_type"]) == (None, "domain")


def test_some_tasks_wait_some_are_executed_some_rejected_and_some_expire() -> None:
    tasks = tasks_of(ORGANIZATION, NOON)
    assert {task.state(NOON) for task in tasks} == {"pending", "executed", "rejected", "expired"}
    assert 0 < sum(task.state(NOON) == "pending" for task in tasks) < 10
    assert {task.vault is None for task in tasks} == {True, False}


def test_a_task_keeps_what_it_is_while_time_goes_by() -> None:
    before = {task.id: task for task in tasks_of(ORGANIZATION, NOON)}
    later = {task.id: task for task in tasks_of(ORGANIZATION, NOON + HOUR)}
    both = before.keys() & later.keys()
    assert len(both) > 100
    assert len(later.keys() - before.keys()) == 3
    assert all(before[id_] == later[id_] for id_ in both)


def test_ids_of_tasks_have_the_documented_form() -> None:
    for task in tasks_of(ORGANIZATION, NOON):
        assert re.fullmatch(r"T[A-Z2-7]{13}", task.id)


def test_every_personal_field_of_a_task_is_marked() -> None:
    row = WAITING.row(NOON, rfc3339=True)
    assert set(marked(row)) == PERSONAL_OF_TASK
    assert ADDRESS_OF_INITIATOR in json.dumps(row)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_whitelist_is_answered_as_the_revision_documents(revision: Revision) -> None:
    answer = get(WHITELIST, revision=revision).json()
    rows = whitelist_of(VAULT, NOON)
    assert answer == ({"result": rows} if revision is R4 else rows)
    assert rows


def test_a_whitelist_is_filtered_by_asset() -> None:
    rows = get(f"{WHITELIST}?asset=ETH&asset_class=currency").json()
    assert rows == [row for row in whitelist_of(VAULT, NOON) if row["asset"] == "ETH"] != []
    assert get(f"{WHITELIST}?asset=NOTHING").json() == []
    assert get(f"{WHITELIST}?limit=1").status_code == 400


def test_addresses_are_added_and_removed_now_and_then() -> None:
    moments = [NOON + step * HOUR for step in range(24 * 7)]
    seen = [{str(row["address"]) for row in whitelist_of(VAULT, now)} for now in moments]
    added = sum(len(later - before) for before, later in pairwise(seen))
    assert 3 <= added <= 100
    assert {len(addresses) for addresses in seen} == {len(seen[0])}
    assert whitelist_of(VAULT, NOON + 7 * DAY) != whitelist_of(VAULT, NOON)


def test_every_personal_field_of_an_address_is_marked() -> None:
    for row in whitelist_of(VAULT, NOON):
        assert set(marked(row)) == PERSONAL_OF_ADDRESS


@pytest.mark.parametrize(("mood", "path"), [("tasks", TASKS), (f"whitelist {VAULT.id}", WHITELIST)])
def test_tasks_and_whitelists_have_their_own_moods(mood: str, path: str) -> None:
    caller = Caller(make_simulator(moods={mood: moods.permission_denied()}))
    assert caller.get(path).status_code == 403
    others = {TASKS, WHITELIST} - {path}
    assert [caller.get(other).status_code for other in others] == [200]
