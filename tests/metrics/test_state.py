"""The lines that tell how a target is, in each state it can be in, and what is kept of an answer."""

from dataclasses import replace

import pytest

from exporter.custody.amounts import unpack
from exporter.metrics import catalog
from exporter.metrics.render import vault_lines
from exporter.metrics.state import (
    FailedTry,
    Failure,
    PollResult,
    TargetState,
    balances_of,
    balances_steps,
    info_lines,
    moved,
    paused_lines,
    target_lines,
)
from tests.metrics.answers import (
    HOT,
    ORGANIZATION,
    ORGANIZATION_EXAMPLE,
    VAULT_EXAMPLE,
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
    text = b"".join(target_lines(state).values()).decode()
    assert text == "".join(f"kraken_custody_target_{line}\n" for line in expected)


def test_a_target_that_fails_before_its_first_poll_is_not_up() -> None:
    text = b"".join(target_lines(TargetState(HOT, failure=FAILURE)).values()).decode()
    assert f"kraken_custody_target_up{{{VAULT}}} 0.0" in text


def test_each_target_has_its_id_and_credential_and_says_whether_that_is_paused() -> None:
    other = replace(HOT, vault="cold", id="VW44KPQC4C62K6", credential="other")
    lines = info_lines((HOT, other))[catalog.TARGET_INFO.name].decode().splitlines()
    assert lines == [
        f'kraken_custody_target_info{{{VAULT},id="VABCDEF234567A",credential="treasury"}} 1.0',
        'kraken_custody_target_info{kind="vault",org="acme",vault="cold",id="VW44KPQC4C62K6",credential="other"} 1.0',
    ]
    paused = paused_lines((HOT, other), {"other"})[catalog.TARGET_PAUSED.name].decode()
    assert [line[-3:] for line in paused.splitlines()] == ["0.0", "1.0"]


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
def test_that_nobody_answers_is_one_failure_however_it_shows(
    one: str,
    other: str,
    is_like: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert replace(FAILURE, type=one).is_like(replace(FAILURE, type=other)) is is_like


def test_a_failure_is_told_since_the_first_request_that_failed() -> None:
    first, second = replace(FAILURE, since=10.0), replace(FAILURE, type="http/503", since=20.0)
    tried = TargetState(HOT, polls=3).with_failed_try(first, 5.0).with_failed_try(second, 15.0)
    assert tried.is_up
    assert tried.failed_try == FailedTry(replace(second, since=10.0), began=5.0)
    failed = tried.with_failed_poll(second, PollResult(20.0, "http/503", None), 60.0)
    assert (failed.failure, failed.failed_try) == (replace(second, since=10.0), None)
    assert (failed.polls, failed.failed_polls, failed.refresh_interval) == (4, 1, 60.0)
    assert failed.failing(replace(first, since=30.0)).failure == first


def test_rows_count_what_the_answer_held_and_invalid_rows_what_of_it_was_rejected() -> None:
    rejected = row("ETH", balance=None)
    balances = balances_of(HOT, vault_answer(row("BTC"), rejected, row("BTC"), row("USD")), 5.0)
    assert (balances.rows, balances.invalid_rows) == (4, 2)
    assert [asset.asset for asset in balances.assets] == ["BTC", "USD"]
    assert balances.series == 2 * 4
    assert balances.read_at == 5.0


def test_invalid_fields_are_those_of_the_rows_that_count() -> None:
    rows = [
        row("BTC", staked="x", name=7),
        row("ETH", staked="y", quote_price="1"),
        row("BTC", staked="z"),
        row("USD", staked="x", hold=None),
    ]
    balances = balances_of(HOT, vault_answer(*rows), 5.0)
    assert (balances.rows, balances.invalid_rows, balances.invalid_fields) == (4, 2, 3)
    assert balances.series == 4 + 4 + 1


def test_a_total_whose_part_cannot_be_read_has_an_invalid_field() -> None:
    text = '{"balance": {"total": "3", "spot": "x", "staked": "1"}}'
    balances = balances_of(ORGANIZATION, read_organization(text), 5.0)
    assert (balances.series, balances.invalid_fields) == (2, 1)


def test_an_answer_of_many_rows_becomes_the_same_lines_in_steps() -> None:
    rows = [row(f"A{number}", quote_price="1" if number > 150 else None) for number in range(250)]
    answer = vault_answer(*rows)
    # Two for its samples, two for its assets.
    assert sum(1 for _ in balances_steps(HOT, answer, 5.0)) == 4
    lines = vault_lines(HOT, answer)
    each = [vault_lines(HOT, vault_answer(one)) for one in rows]
    assert list(lines) == list(each[-1])
    assert lines == {
        name: b"".join(page[name] for page in each if name in page) for name in each[-1]
    }


def test_the_examples_make_as_many_series_as_they_have_amounts() -> None:
    vault = balances_of(HOT, read_vault(VAULT_EXAMPLE), 0.0)
    organization = balances_of(ORGANIZATION, read_organization(ORGANIZATION_EXAMPLE), 0.0)
    assert vault.series == 10 + 8
    assert organization.series == 4
    assert (organization.rows, organization.invalid_rows, organization.assets) == (None, None, ())


def test_of_the_results_of_polls_the_last_twenty_are_kept() -> None:
    state = TargetState(HOT)
    for number in range(25):
        state = replace(state, results=state.results_with(PollResult(float(number), None, 0.1)))
    assert [result.at for result in state.results] == [float(number) for number in range(5, 25)]


def test_a_target_that_is_renamed_keeps_its_results_and_its_amounts() -> None:
    balances = balances_of(HOT, read_vault(VAULT_EXAMPLE), 0.0)
    results = (PollResult(1.0, "http/502", None), PollResult(2.0, None, 0.1))
    state = TargetState(HOT, balances=balances, results=results)
    renamed = moved(state, replace(HOT, vault="warm"))
    assert renamed.results == results
    assert renamed.balances is not None
    assert unpack(renamed.balances.amounts) == unpack(balances.amounts)
