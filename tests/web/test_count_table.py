"""The counts of an answer, on the page of its target and in JSON."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from exporter.resources.pending_tasks import (
    Group,
    PendingTasks,
    Rows,
    TaskList,
    Waiting,
)
from exporter.resources.resource import Exposable
from exporter.resources.target import Target
from exporter.resources.vault_balances import Packed
from exporter.resources.whitelist import Asset, Whitelist
from exporter.state.state import TargetState
from exporter.web.count_table import count_table_of, counts_json
from tests.resources.answers import HOT, exposed, row, vault_answer
from tests.web.statuses import NOW

TASKS = Target(
    "pending_tasks",
    "ABCD EFGH IJKL MNOP",
    "acme",
    "",
    60.0,
    "treasury",
    vault_labels={HOT.id: "hot"},
)
WHITELIST = Target("whitelist", HOT.id, "acme", "hot", 3600.0, "treasury")
AT = Decimal(int(NOW))


def tasks(*, is_truncated: bool = False) -> TaskList:
    groups = {
        Group("", "invite_user"): Waiting(),
        Group(HOT.id, "request_withdrawal"): Waiting(1200, AT - 7200, AT + 3600, 3),
        Group("VBBBBBBBBBBBBA", "request_withdrawal"): Waiting(1, AT - 60, AT - 5, None),
    }
    return TaskList(Rows(count=1201), PendingTasks(groups, is_truncated))


def known(target: Target, answer: Exposable) -> TargetState:
    return TargetState(target, balances=exposed(target, answer))


def test_tasks_that_wait_are_counted_by_type_and_vault_what_expires_first_at_the_top() -> None:
    table = count_table_of(known(TASKS, tasks()))
    assert table
    assert [column.title for column in table.columns] == [
        "Type",
        "Vault",
        "Tasks",
        "Oldest",
        "Next expiry",
        "Missing approvals",
    ]
    assert [[it.text if it.at is None else it.at - NOW for it in row] for row in table.rows] == [
        ["request_withdrawal", "VBBBBBBBBBBBBA", "1", -60, -5, "–"],  # noqa: RUF001 - as pages have it
        ["request_withdrawal", "hot", "1,200", -7200, 3600, "3"],
        ["invite_user", "–", "0", "–", "–", "0"],  # noqa: RUF001 - as pages have it
    ]
    assert [it.is_number for it in table.rows[0]] == [False, False, True, False, False, True]
    assert not table.note


def test_tasks_that_were_not_read_are_noted() -> None:
    table = count_table_of(known(TASKS, tasks(is_truncated=True)))
    assert table
    assert table.note == (
        "there are more tasks than the newest 500, which are read: an older one that waits is not counted"
    )


def test_tasks_are_counted_for_programs_with_the_ids_of_vaults_and_without_invented_zeros() -> None:
    counted = counts_json(known(TASKS, tasks()))
    assert counted
    assert counted["truncated"] is False
    assert counted["rows"][0] == {
        "taskType": "request_withdrawal",
        "vault": "VBBBBBBBBBBBBA",
        "vaultId": "VBBBBBBBBBBBBA",
        "tasks": 1,
        "oldest": "2026-11-21T11:59:00.000Z",
        "nextExpiry": "2026-11-21T11:59:55.000Z",
        "missingApprovals": None,
    }
    assert counted["rows"][2] == {
        "taskType": "invite_user",
        "vault": "",
        "vaultId": "",
        "tasks": 0,
        "oldest": None,
        "nextExpiry": None,
        "missingApprovals": 0,
    }


def test_a_whitelist_is_counted_by_asset_and_says_what_was_added() -> None:
    counts = {Asset("ETH", "currency"): 0, Asset("BTC", "currency"): 2}
    state = known(WHITELIST, Whitelist(counts, additions=3, rows=2))
    table = count_table_of(state)
    assert table
    assert [[it.text for it in row] for row in table.rows] == [
        ["BTC", "currency", "2"],
        ["ETH", "currency", "0"],
    ]
    assert table.note == "addresses added since the exporter started: 3"
    assert counts_json(state) == {
        "additions": 3,
        "rows": [
            {"asset": "BTC", "assetClass": "currency", "addresses": 2},
            {"asset": "ETH", "assetClass": "currency", "addresses": 0},
        ],
    }


def test_nothing_is_counted_of_balances_and_of_what_was_not_read_or_withdrawn() -> None:
    for state in (
        known(HOT, vault_answer(row("BTC"))),
        TargetState(TASKS),
        replace(known(TASKS, tasks()), balances=None, is_stale=True),
    ):
        assert count_table_of(state) is None
        assert counts_json(state) is None


def test_amounts_are_not_unpacked_to_look_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = known(HOT, vault_answer(row("BTC")))
    monkeypatch.delattr(Packed, "rows")
    assert counts_json(vault) is None
