"""Counters and log of requests and polls, and how they change a target's state."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.custody.client import Exchange
from exporter.custody.document import parse_json
from exporter.custody.errors import CustodyError
from exporter.custody.transport import Find
from exporter.metrics.telemetry import Telemetry
from exporter.polling.pause import Cause
from exporter.polling.results import Results
from exporter.resources import RESOURCES
from exporter.resources.target import Target
from exporter.resources.vault_balances import VaultBalances
from exporter.state.history import PollResult
from exporter.state.state import TargetState
from exporter.state.store import Store
from exporter.turns import at_once
from tests.resources.answers import exposed, vault_balances

HOT = Target("vault", "VABCDEF234567A", "acme", "hot", 60.0, "main")
TOTAL = Target("organization", "ABCDEFGHIJKLMNOP", "acme", "", 60.0, "main")
HOT_NAMES = {"kind": "vault", "org": "acme", "vault": "hot"}
TOTAL_NAMES = {"kind": "organization", "org": "acme"}
NOON = 1_795_262_400.0
TIMEOUT = CustodyError("transport/timeout", message="no complete answer within 10 s")
BROKEN = CustodyError("transport/connect", message="connection refused")
REFUSED = CustodyError("PermissionDenied", status=403, message="no right to see it")


class Desk:
    """Results of two targets, with a clock that is set by hand and the events that were logged."""

    def __init__(self, events: list[Any]) -> None:
        self.now = NOON
        self.store = Store((HOT, TOTAL), stale_after=lambda _: 300.0, max_series=100)
        self.telemetry = Telemetry({it.endpoint: it.foreseen for it in RESOURCES.values()})
        self.results = Results(self.store, self.telemetry, lambda: self.now)
        self._events = events

    def read(
        self, answer: VaultBalances, read_at: float = 0.0, refresh_interval: float | None = None
    ) -> None:
        self.results.poll_succeeded(
            HOT, exposed(HOT, answer), read_at=read_at, refresh_interval=refresh_interval
        )

    def fail(self, error: CustodyError, target: Target = HOT) -> None:
        self.results.poll_failed(target, error, refresh_interval=None)

    @property
    def state(self) -> TargetState:
        return self.store[HOT]

    def logged(self) -> list[Any]:
        """Return the events since the last call."""
        events = list(self._events)
        self._events.clear()
        return events


@pytest.fixture
def desk() -> Iterator[Desk]:
    with capture_logs() as events:
        yield Desk(events)


def answer(*rows: str) -> VaultBalances:
    return vault_balances(parse_json(f"[{', '.join(rows)}]".encode()))


def row(asset: str, balance: str = "1", **fields: str) -> str:
    amounts = dict.fromkeys(("balance", "spot", "hold", "available"), f'"{balance}"')
    members = {"asset": f'"{asset}"', "asset_class": '"currency"', **amounts, **fields}
    return "{" + ", ".join(f'"{name}": {value}' for name, value in members.items()) + "}"


NO_BALANCE = row("BTC", balance="none")
NO_PLACES = {"decimals": '"many"'}


def test_a_first_answer_is_published_and_logged_with_its_series(desk: Desk) -> None:
    desk.results.exchanged(Exchange("vault_asset_balances", HOT.key, 200, 0.25))
    desk.read(answer(row("BTC"), row("ETH", **NO_PLACES), NO_BALANCE), refresh_interval=61.5)
    state = desk.state
    assert state.balances is not None
    assert desk.store.series == state.balances.series > 0
    assert (state.polls, state.last_success, state.refresh_interval) == (1, NOON, 61.5)
    assert (state.rows, state.invalid_rows, state.invalid_fields) == (3, 1, 1)
    assert tuple(state.results) == (PollResult(NOON, None, 0.25),)
    assert desk.logged()[0] == {
        "event": "target_up",
        "log_level": "info",
        **HOT_NAMES,
        "series": state.balances.series,
    }


def test_an_answer_becomes_balances_with_the_lines_of_new_assets(desk: Desk) -> None:
    desk.read(answer(row("BTC")))
    balances = at_once(desk.results.exposed(HOT, answer(row("BTC"), row("ETH"))))
    assert balances.rows == 2
    described = " ".join(map(str, balances.new))
    assert "ETH" in described
    assert "BTC" not in described


def test_a_second_answer_logs_nothing(desk: Desk) -> None:
    desk.read(answer(row("BTC")))
    desk.logged()
    desk.read(answer(row("BTC", "2")))
    assert desk.logged() == []
    assert desk.state.polls == 2
    assert [result.error for result in desk.state.results] == [None, None]


@pytest.mark.parametrize(
    ("target", "names", "endpoint"),
    [
        (HOT, HOT_NAMES, "vault_asset_balances"),
        (TOTAL, TOTAL_NAMES, "organization_balances"),
    ],
)
def test_a_failed_request_is_counted_by_endpoint_status_and_type(
    desk: Desk, target: Target, names: dict[str, str], endpoint: str
) -> None:
    desk.results.request_failed(target, REFUSED)
    value = desk.telemetry.registry.get_sample_value(
        "kraken_custody_api_errors_total",
        {"endpoint": endpoint, "status": "403", "type": "PermissionDenied"},
    )
    assert value == 1
    assert desk.logged() == [
        {
            "event": "request_failed",
            "log_level": "debug",
            **names,
            "type": "PermissionDenied",
            "status": 403,
            "message": "no right to see it",
        }
    ]


def test_the_core_error_of_a_failed_request_is_counted(desk: Desk) -> None:
    error = CustodyError("Unknown", status=500, core_error="EDatabase:Internal error")
    desk.results.request_failed(TOTAL, error)
    value = desk.telemetry.registry.get_sample_value(
        "kraken_custody_api_core_errors_total",
        {"endpoint": "organization_balances", "core_error": "EDatabase:Internal error"},
    )
    assert value == 1


def test_the_shape_of_an_invalid_answer_is_logged_and_kept(desk: Desk) -> None:
    shape = (".: object", ".total: decimal text")
    invalid = CustodyError("response/invalid", status=200, message="has no balance", shape=shape)
    desk.results.request_failed(HOT, invalid)
    desk.fail(invalid)
    assert desk.logged()[1] == {
        "event": "answer_shape",
        "log_level": "debug",
        **HOT_NAMES,
        "shape": ".: object; .total: decimal text",
    }
    assert desk.state.invalid_shape == shape


def test_an_exchange_is_counted(desk: Desk) -> None:
    desk.results.exchanged(Exchange("vault_asset_balances", HOT.key, 200, 0.25))
    value = desk.telemetry.registry.get_sample_value(
        "kraken_custody_api_requests_total", {"endpoint": "vault_asset_balances", "status": "200"}
    )
    assert value == 1


def test_a_failed_poll_is_logged_once_with_the_credential_and_what_is_known(desk: Desk) -> None:
    desk.fail(TIMEOUT)
    desk.fail(TIMEOUT)
    assert desk.logged() == [
        {
            "event": "target_failing",
            "log_level": "warning",
            **HOT_NAMES,
            "credential": "main",
            "type": "transport/timeout",
            "message": "no complete answer within 10 s",
        }
    ]
    assert desk.state.failed_polls == 2


def test_a_failed_poll_leaves_the_balances_and_keeps_its_result(desk: Desk) -> None:
    desk.read(answer(row("BTC")))
    before = desk.state.balances
    desk.results.exchanged(Exchange("vault_asset_balances", HOT.key, 403, 0.5))
    desk.now += 60
    desk.results.poll_failed(HOT, REFUSED, refresh_interval=60.0)
    state = desk.state
    assert state.balances is before
    assert state.failure is not None
    assert (state.failure.type, state.failure.status, state.failure.since) == (
        "PermissionDenied",
        403,
        NOON + 60,
    )
    assert state.failure.message == "no right to see it"
    assert state.results[-1] == PollResult(NOON + 60, "PermissionDenied", 0.5)
    assert state.refresh_interval == 60.0


@pytest.mark.parametrize(
    ("first", "second", "events"),
    [(TIMEOUT, BROKEN, 1), (TIMEOUT, REFUSED, 2), (REFUSED, TIMEOUT, 2), (REFUSED, REFUSED, 1)],
)
def test_another_reason_is_an_event_but_not_another_way_of_no_answer(
    desk: Desk, first: CustodyError, second: CustodyError, events: int
) -> None:
    desk.fail(first)
    desk.fail(second)
    assert [event["event"] for event in desk.logged()] == ["target_failing"] * events


def test_a_target_that_recovers_logs_its_failures(desk: Desk) -> None:
    desk.fail(TIMEOUT)
    desk.now += 30
    desk.fail(TIMEOUT)
    desk.now += 12.4
    desk.logged()
    desk.read(answer(row("BTC")))
    assert desk.logged() == [
        {
            "event": "target_recovered",
            "log_level": "info",
            **HOT_NAMES,
            "failed_polls": 2,
            "failing_seconds": 42,
        }
    ]
    assert desk.state.failure is None


def test_a_target_whose_balances_were_withdrawn_recovers_with_their_age(desk: Desk) -> None:
    desk.read(answer(row("BTC")))
    desk.now += 400
    desk.results.withdraw(HOT)
    assert desk.state.balances is None
    assert desk.state.is_stale
    desk.logged()
    desk.now += 20
    desk.read(answer(row("BTC")), read_at=420.0)
    assert desk.logged() == [
        {
            "event": "target_recovered",
            "log_level": "info",
            **HOT_NAMES,
            "failed_polls": 0,
            "unread_seconds": 420,
        }
    ]


def test_balances_that_are_withdrawn_are_logged_once_with_their_age(desk: Desk) -> None:
    desk.read(answer())
    desk.logged()
    desk.now = NOON + 305.25
    desk.results.withdraw_stale(305.25, lead=0.0)
    desk.results.withdraw_stale(305.25, lead=0.0)
    desk.results.withdraw(HOT)
    stale = {"event": "target_stale", "log_level": "warning", **HOT_NAMES, "age_seconds": 305}
    assert desk.logged() == [stale]


def test_balances_are_withdrawn_by_the_lead_of_the_wall_clock_too(desk: Desk) -> None:
    desk.read(answer())
    desk.results.withdraw_stale(200.0, lead=NOON)
    assert not desk.state.is_stale
    desk.results.withdraw_stale(200.0, lead=NOON + 150)
    assert desk.state.is_stale


def test_a_target_without_balances_has_none_to_withdraw(desk: Desk) -> None:
    desk.results.withdraw(HOT)
    assert desk.logged() == []
    assert not desk.state.is_stale


def test_a_failed_try_shows_only_once_it_is_overdue(desk: Desk) -> None:
    desk.results.try_failed(HOT, REFUSED, began=100.0)
    desk.results.show_overdue_tries(99.0)
    assert desk.logged() == []
    assert desk.state.failure is None
    desk.now += 15
    desk.results.show_overdue_tries(100.0)
    (event,) = desk.logged()
    assert (event["event"], event["type"]) == ("target_failing", "PermissionDenied")
    assert desk.state.failure is not None
    # It began to fail when the try failed, not when that was shown.
    assert desk.state.failure.since == NOON


def test_a_blocked_target_shows_the_cause_as_its_own_failure_without_a_poll(desk: Desk) -> None:
    cause = Cause("InvalidKey", "the key is not known", 401)
    desk.results.blocked(HOT, cause)
    desk.now += 60
    desk.results.blocked(HOT, cause)
    assert desk.logged() == [
        {
            "event": "target_failing",
            "log_level": "warning",
            **HOT_NAMES,
            "credential": "main",
            "type": "InvalidKey",
            "status": 401,
            "message": "the key is not known",
        }
    ]
    assert desk.state.failure is not None
    assert (desk.state.failure.since, desk.state.polls) == (NOON, 0)


def test_a_blocked_target_that_failed_for_another_reason_changes_its_reason(desk: Desk) -> None:
    desk.fail(TIMEOUT)
    desk.results.blocked(HOT, Cause("InvalidKey", "", 401))
    assert [event["type"] for event in desk.logged()] == ["transport/timeout", "InvalidKey"]


def test_only_the_targets_of_paused_credentials_are_shown_as_paused(desk: Desk) -> None:
    def paused() -> str:
        families = desk.store.snapshot().families()
        (lines,) = (
            lines for metric, lines in families if metric.name == "kraken_custody_target_paused"
        )
        return b"".join(lines).decode()

    before = paused()
    desk.results.paused(frozenset({"main"}))
    assert before.count(" 0.0\n") == paused().count(" 1.0\n") == 2
    desk.results.paused(frozenset())
    assert paused() == before


def test_each_rejected_row_is_logged_once_while_it_stays_rejected(desk: Desk) -> None:
    desk.read(answer(row("ETH"), NO_BALANCE))
    rejected = [event for event in desk.logged() if event["event"] == "row_rejected"]
    assert len(rejected) == 1
    assert rejected[0].pop("problem")
    assert rejected[0] == {
        "event": "row_rejected",
        "log_level": "warning",
        **HOT_NAMES,
        "row": 1,
        "field": "balance",
    }
    desk.read(answer(row("ETH"), NO_BALANCE))
    assert desk.logged() == []
    desk.read(answer(row("ETH")))
    desk.read(answer(row("ETH"), NO_BALANCE))
    assert [event["event"] for event in desk.logged()] == ["row_rejected"]


def test_a_rejected_row_that_moves_is_not_logged_again_and_one_more_is(desk: Desk) -> None:
    def rows() -> list[int]:
        return [event["row"] for event in desk.logged() if event["event"] == "row_rejected"]

    desk.read(answer(row("ETH"), NO_BALANCE))
    assert rows() == [1]
    desk.read(answer(row("SOL"), row("ETH"), NO_BALANCE))
    assert rows() == []
    desk.read(answer(row("SOL"), NO_BALANCE, row("DOT", balance="none")))
    assert rows() == [1]
    desk.read(answer(row("BTC"), NO_BALANCE, row("DOT", balance="none")))
    desk.read(answer(NO_BALANCE, row("DOT", hold='"none"')))
    assert rows() == [1]
    desk.read(answer(NO_BALANCE, row("DOT", hold='"none"'), row("XRP", balance="none")))
    assert rows() == [2]


@pytest.mark.parametrize(("rejected", "logged", "more"), [(10, 10, 0), (11, 10, 1), (25, 10, 15)])
def test_ten_rejected_rows_are_logged_and_the_others_counted(
    desk: Desk, rejected: int, logged: int, more: int
) -> None:
    desk.read(answer(*(row(f"A{number}", balance="none") for number in range(rejected))))
    events = [event for event in desk.logged() if event["event"] != "target_up"]
    rows = [event["row"] for event in events if event["event"] == "row_rejected"]
    assert rows == list(range(logged))
    counted = [event for event in events if event["event"] == "more_rows_rejected"]
    expected = {
        "event": "more_rows_rejected",
        "log_level": "warning",
        **HOT_NAMES,
        "rows": more,
    }
    assert counted == ([expected] if more else [])


def test_a_field_that_cannot_be_read_is_logged_once_however_many_rows_have_it(desk: Desk) -> None:
    given = answer(row("BTC"), row("ETH", **NO_PLACES), row("SOL", **NO_PLACES))
    desk.read(given)
    fields = [event for event in desk.logged() if event["event"] == "field_rejected"]
    assert len(fields) == 1
    assert fields[0].pop("problem")
    assert fields[0] == {
        "event": "field_rejected",
        "log_level": "warning",
        **HOT_NAMES,
        "field": "decimals",
        "rows": 2,
        "first_row": 1,
    }
    desk.read(given)
    assert desk.logged() == []


@pytest.mark.parametrize(
    ("after", "status", "names"),
    [
        (HOT.key, 200, HOT_NAMES),
        (TOTAL.key, None, TOTAL_NAMES),
        (("vault", "an id that left"), 200, {}),
    ],
)
def test_an_unrequested_answer_is_logged_with_what_is_known_of_it(
    desk: Desk, after: tuple[str, str], status: int | None, names: dict[str, str]
) -> None:
    desk.results.unasked_answer("main", Find(after, (HOT.key, TOTAL.key), 512, status))
    (event,) = desk.logged()
    assert event.pop("problem")
    assert event == {
        "event": "unasked_answer",
        "log_level": "warning",
        "credential": "main",
        **names,
        "bytes": 512,
        **({"status": status} if status else {}),
        "doubtful": 2,
    }
