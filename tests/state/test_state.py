"""The samples of a target in each of its states, and what is kept of an answer."""

import re

import pytest
from msgspec.structs import replace

from exporter.resources.resource import Exposable
from exporter.resources.target import Target
from exporter.state.history import History, PollResult
from exporter.state.lines import (
    TARGET_INFO,
    TARGET_PAUSED,
    TARGETS,
    OwnLines,
    StateLines,
    info_lines,
    paused_lines,
)
from exporter.state.state import (
    FailedTry,
    Failure,
    TargetState,
    exposed_again,
    failed,
    failed_try,
    failing,
    succeeded,
    withdrawn,
)
from exporter.turns import at_once
from tests.resources.answers import (
    HOT,
    ORGANIZATION,
    ORGANIZATION_EXAMPLE,
    VAULT_EXAMPLE,
    exposed,
    read_organization,
    read_vault,
    row,
    vault_answer,
)

VAULT = 'kind="vault",org="acme",vault="hot"'
FAILURE = Failure("http/502", 502, "", since=1_795_262_000.0)

NEVER_POLLED = TargetState(HOT)
UP = TargetState(
    HOT,
    polls=2,
    last_success=1_795_262_400.25,
    rows=7,
    invalid_rows=1,
    invalid_fields=3,
    refresh_interval=30.5,
)
FAILING = TargetState(
    HOT, polls=3, failure=FAILURE, last_success=1_795_262_400.25, rows=7, invalid_rows=1
)
FAILING_FROM_THE_START = TargetState(HOT, polls=1, failure=FAILURE)
STALE = TargetState(HOT, polls=9, failure=FAILURE, last_success=1_795_262_400.25, is_stale=True)


def target_lines(*states: TargetState) -> str:
    lines = StateLines([(OwnLines.of(state.target).labels, state) for state in states])
    assert len(lines) == len([*lines])
    return b"".join(lines.values()).decode()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (NEVER_POLLED, [f"stale{{{VAULT}}} 0.0"]),
        (
            UP,
            [
                f"stale{{{VAULT}}} 0.0",
                f"up{{{VAULT}}} 1.0",
                f"last_success_timestamp_seconds{{{VAULT}}} 1795262400.25",
                f"refresh_interval_seconds{{{VAULT}}} 30.5",
                f"rows{{{VAULT}}} 7.0",
                f"invalid_rows{{{VAULT}}} 1.0",
                f"invalid_fields{{{VAULT}}} 3.0",
            ],
        ),
        (
            FAILING,
            [
                f"stale{{{VAULT}}} 0.0",
                f"up{{{VAULT}}} 0.0",
                f"last_success_timestamp_seconds{{{VAULT}}} 1795262400.25",
                f"rows{{{VAULT}}} 7.0",
                f"invalid_rows{{{VAULT}}} 1.0",
                f'error{{{VAULT},type="http/502"}} 1.0',
            ],
        ),
        (
            FAILING_FROM_THE_START,
            [
                f"stale{{{VAULT}}} 0.0",
                f"up{{{VAULT}}} 0.0",
                f'error{{{VAULT},type="http/502"}} 1.0',
            ],
        ),
        (
            STALE,
            [
                f"stale{{{VAULT}}} 1.0",
                f"up{{{VAULT}}} 0.0",
                f"last_success_timestamp_seconds{{{VAULT}}} 1795262400.25",
                f'error{{{VAULT},type="http/502"}} 1.0',
            ],
        ),
        (
            TargetState(ORGANIZATION, polls=1),
            [
                'stale{kind="organization",org="acme",vault=""} 0.0',
                'up{kind="organization",org="acme",vault=""} 1.0',
            ],
        ),
    ],
)
def test_each_state_of_a_target_has_its_lines(state: TargetState, expected: list[str]) -> None:
    text = target_lines(state)
    assert text == "".join(f"kraken_custody_target_{line}\n" for line in expected)


def test_a_target_that_fails_before_its_first_poll_is_not_up() -> None:
    assert f"kraken_custody_target_up{{{VAULT}}} 0.0" in target_lines(
        TargetState(HOT, failure=FAILURE)
    )


def test_metrics_that_only_some_targets_have_are_those_of_these_targets() -> None:
    other = replace(HOT, vault="cold", id="VW44KPQC4C62K6")
    text = target_lines(NEVER_POLLED, TargetState(other, polls=1, failure=FAILURE))
    labels = VAULT.replace("hot", "cold")
    assert text == "".join(
        f"kraken_custody_target_{line}\n"
        for line in (
            f"stale{{{VAULT}}} 0.0",
            f"stale{{{labels}}} 0.0",
            f"up{{{labels}}} 0.0",
            f'error{{{labels},type="{FAILURE.type}"}} 1.0',
        )
    )


def test_a_metric_that_no_state_has_is_none_of_its_lines() -> None:
    lines = StateLines([("", NEVER_POLLED)])
    assert "kraken_custody_target_info" not in lines
    assert "kraken_custody_target_up" not in lines


def test_a_target_that_was_never_polled_is_not_up_and_has_nothing_behind_it() -> None:
    assert not NEVER_POLLED.is_up
    behind = (NEVER_POLLED.polls, NEVER_POLLED.failed_polls, NEVER_POLLED.is_stale)
    assert behind == (0, 0, False)
    assert (NEVER_POLLED.rejected, NEVER_POLLED.unread, len(NEVER_POLLED.results)) == ((), (), 0)
    assert UP.is_up


def test_each_target_has_its_id_and_credential_and_says_whether_that_is_paused() -> None:
    other = replace(HOT, vault="cold", id="VW44KPQC4C62K6", credential="other")
    lines = info_lines(map(OwnLines.of, (HOT, other)))[TARGET_INFO.name].decode().splitlines()
    assert lines == [
        f'kraken_custody_target_info{{{VAULT},id="VABCDEF234567A",credential="treasury"}} 1.0',
        'kraken_custody_target_info{kind="vault",org="acme",vault="cold",id="VW44KPQC4C62K6",credential="other"} 1.0',
    ]
    paused = paused_lines(map(OwnLines.of, (HOT, other)), {"other"})[TARGET_PAUSED.name].decode()
    assert [line[-3:] for line in paused.splitlines()] == ["0.0", "1.0"]


def test_without_targets_there_are_no_lines() -> None:
    assert info_lines([]) == {}
    assert paused_lines([], {"treasury"}) == {}


def test_each_metric_of_a_target_has_a_help_a_source_and_the_unit_that_its_name_has() -> None:
    for metric in TARGETS.metrics:
        assert re.fullmatch(r"[A-Z].*\.", metric.help)
        assert metric.source
        what = metric.name.rpartition("_")[2]
        assert metric.unit == (what if what in ("seconds", "rows", "fields") else "")


@pytest.mark.parametrize(
    ("one", "other", "is_like"),
    [
        ("http/502", "http/502", True),
        ("http/502", "http/503", False),
        ("transport/timeout", "transport/connect", True),
        ("transport/protocol", "transport/connect", True),
        ("transport/timeout", "transport/tls", False),
        ("transport/timeout", "http/502", False),
    ],
)
def test_no_response_is_one_failure_in_all_its_forms(
    one: str,
    other: str,
    is_like: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert replace(FAILURE, type=one).is_like(replace(FAILURE, type=other)) is is_like


def test_a_failure_counts_since_the_first_request_that_failed() -> None:
    first, second = replace(FAILURE, since=10.0), replace(FAILURE, type="http/503", since=20.0)
    tried = failed_try(failed_try(TargetState(HOT, polls=3), first, 5.0), second, 15.0)
    assert tried.is_up
    assert tried.failed_try == FailedTry(replace(second, since=10.0), began=5.0)
    after = failed(tried, second, PollResult(20.0, "http/503", None), 60.0)
    assert (after.failure, after.failed_try) == (replace(second, since=10.0), None)
    assert (after.polls, after.failed_polls, after.refresh_interval) == (4, 1, 60.0)
    assert failing(after, replace(first, since=30.0)).failure == first


def test_a_success_forgets_what_failed_and_counts_the_poll() -> None:
    before = failed(FAILING, FAILURE, PollResult(1.0, "http/502", None), 60.0)
    balances = exposed(HOT, vault_answer(row("BTC"), row("ETH", hold=None), row("USD", staked="x")))
    result = PollResult(2.0, None, 0.1)
    after = succeeded(before, balances, result, read_at=7.0, refresh_interval=61.0)
    assert after == TargetState(
        HOT,
        balances=balances,
        read_at=7.0,
        polls=5,
        last_success=2.0,
        rows=3,
        invalid_rows=1,
        invalid_fields=1,
        refresh_interval=61.0,
        rejected=balances.rejected,
        unread=balances.unread,
        results=History.of((*before.results, result)),
    )


def test_the_shape_of_the_last_invalid_answer_is_kept_whatever_comes_after() -> None:
    invalid = Failure("response/invalid", 200, "has no balance", 1.0, (".: object",))
    before = failed(UP, invalid, PollResult(1.0, invalid.type, 0.1), 60.0)
    assert before.invalid_shape == (".: object",)
    later = failed(before, FAILURE, PollResult(2.0, FAILURE.type, None), 60.0)
    balances = exposed(HOT, vault_answer(row("BTC")))
    good = succeeded(
        later, balances, PollResult(3.0, None, 0.1), read_at=7.0, refresh_interval=61.0
    )
    assert (later.invalid_shape, good.invalid_shape) == ((".: object",), (".: object",))
    other = replace(invalid, shape=(".: flag",))
    assert failing(good, other).invalid_shape == (".: flag",)


def test_withdrawn_balances_leave_everything_else() -> None:
    before = replace(UP, balances=exposed(HOT, read_vault(VAULT_EXAMPLE)))
    assert withdrawn(before) == replace(UP, is_stale=True)


def test_of_the_results_of_polls_the_last_twenty_are_kept() -> None:
    state, results = TargetState(HOT), []
    for number in range(25):
        seconds = None if number % 3 else number / 7
        results.append(PollResult(number / 3, f"http/{500 + number}", seconds))
        state = failed(state, FAILURE, results[-1], None)
    assert list(state.results) == results[-20:]
    assert [state.results[place] for place in (0, 19, -20, -1)] == [
        results[place] for place in (-20, -1, -20, -1)
    ]
    assert state.results == History.of(results)
    for beyond in (20, -21):
        with pytest.raises(IndexError):
            state.results[beyond]


def test_the_results_of_polls_keep_their_notes_for_as_long_as_one_has_any() -> None:
    plain, noted = PollResult(1.0, None, 0.1), PollResult(2.0, None, 0.1, "nothing is listed")
    results = [plain, noted, *[plain] * 18]
    history = History.of(results)
    assert list(history) == results
    assert list(history.plus(plain)) == [*results[1:], plain]
    assert history.plus(plain).plus(plain) == History.of([plain] * 20)


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (HOT, read_vault(VAULT_EXAMPLE)),
        (HOT, vault_answer(row("BTC", staked="1e-8", quote_price="2", quote_asset="EUR"))),
        (HOT, vault_answer(*(row(f"A{number}", balance=f"{number}.10") for number in range(250)))),
        (HOT, vault_answer()),
        (ORGANIZATION, read_organization(ORGANIZATION_EXAMPLE)),
    ],
    ids=["example", "row", "many rows", "no rows", "organization"],
)
def test_balances_under_another_name_are_as_if_they_were_read_under_it(
    target: Target, answer: Exposable
) -> None:
    renamed = replace(target, organization='b"\\', vault="warm" if target.vault else "")
    again = at_once(exposed_again(exposed(target, answer), renamed))
    assert again == exposed(renamed, answer)
    assert list(again.lines) == list(exposed(renamed, answer).lines)
