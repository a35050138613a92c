"""Pauses: when a gate closes, for how long, and what opens it again."""

import math

import pytest

from exporter.polling.gate import Gate, Refusal

REFUSAL = Refusal("InvalidKey", "The key is not known.")
LOCKOUT = Refusal("EGeneral:Temporary lockout", "", is_lockout=True)


def closed_gate(*, retry_after: float | None = None) -> Gate:
    """Return a gate with pauses from 60 to 900 s that was closed at time 100."""
    gate = Gate(60.0, 900.0)
    assert gate.close(REFUSAL, sent_at=99.0, now=100.0, retry_after=retry_after)
    return gate


def probe(gate: Gate) -> float:
    """Send the one request that may go when the pause is over, and return when that is."""
    moment = gate.ready_at()
    gate.pass_through()
    return moment


def test_an_open_gate_lets_everything_through() -> None:
    gate = Gate(60.0, 900.0)
    gate.pass_through()
    assert gate.is_open
    assert gate.ready_at() == 0.0


def test_a_closed_gate_lets_nothing_through_before_the_pause_is_over() -> None:
    assert closed_gate().ready_at() == 160.0


def test_after_the_pause_one_request_tries_before_the_others_go() -> None:
    gate = closed_gate()
    probe(gate)
    assert gate.ready_at() == math.inf


def test_an_answer_to_the_one_that_tries_opens_the_gate() -> None:
    gate = closed_gate()
    sent_at = probe(gate)
    assert gate.settle(sent_at, answered=True)
    assert gate.is_open


def test_where_the_one_that_tries_gets_no_answer_another_one_tries() -> None:
    gate = closed_gate()
    sent_at = probe(gate)
    assert not gate.settle(sent_at, answered=False)
    assert not gate.is_open
    assert gate.ready_at() == 160.0


def test_each_pause_is_twice_as_long_as_the_one_before_up_to_the_longest() -> None:
    gate = closed_gate()
    pauses = []
    for _ in range(6):
        sent_at = probe(gate)
        gate.close(REFUSAL, sent_at, now=sent_at)
        pauses.append(gate.ready_at() - sent_at)
    assert pauses == [120.0, 240.0, 480.0, 900.0, 900.0, 900.0]


def test_once_opened_the_next_pause_is_short_again() -> None:
    gate = closed_gate()
    gate.settle(probe(gate), answered=True)
    gate.close(REFUSAL, sent_at=500.0, now=500.0)
    assert gate.ready_at() == 560.0


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [(7.0, 7.0), (400.0, 400.0), (0.0, 1.0), (86_400.0, 3600.0)],
    ids=["shorter than the first pause", "longer", "none at all", "absurdly long"],
)
def test_the_api_may_say_how_long_to_pause(retry_after: float, pause: float) -> None:
    assert closed_gate(retry_after=retry_after).ready_at() == 100.0 + pause


@pytest.mark.parametrize(
    ("said", "pauses"),
    [
        ([None] * 6, [60, 120, 240, 480, 900, 900]),
        ([0.0] * 6, [1, 120, 240, 480, 900, 900]),
        ([7.0] * 3, [7, 120, 240]),
        ([400.0] * 4, [400, 400, 400, 480]),
        ([5.0, None, 5.0], [5, 120, 240]),
        ([None, 1000.0, 0.0], [60, 1000, 240]),
        ([86_400.0] * 2, [3600, 3600]),
    ],
)
def test_the_api_is_taken_at_its_word_once_and_then_for_no_less_than_our_own_pause(
    said: list[float | None], pauses: list[float]
) -> None:
    gate, now, lasted = Gate(60.0, 900.0), 100.0, []
    for retry_after in said:
        assert gate.close(REFUSAL, sent_at=now, now=now, retry_after=retry_after)
        lasted.append(gate.ready_at() - now)
        now = probe(gate)
    assert lasted == pauses


def test_an_answer_makes_the_next_refusal_the_first_of_a_row() -> None:
    gate = closed_gate(retry_after=5.0)
    gate.settle(probe(gate), answered=True)
    gate.close(REFUSAL, sent_at=200.0, now=200.0, retry_after=5.0)
    assert gate.ready_at() == 205.0


@pytest.mark.parametrize("retry_after", [None, 0.0, 30.0])
def test_a_lockout_lasts_for_the_longest_pause_at_once(retry_after: float | None) -> None:
    gate = Gate(60.0, 900.0)
    gate.close(LOCKOUT, sent_at=100.0, now=100.0, retry_after=retry_after)
    assert gate.ready_at() == 1000.0


def test_refusals_of_requests_that_were_under_way_already_do_not_lengthen_the_pause() -> None:
    gate = closed_gate()
    assert not gate.close(REFUSAL, sent_at=99.5, now=101.0)
    assert gate.ready_at() == 160.0


def test_answers_to_requests_that_were_under_way_already_do_not_end_the_pause() -> None:
    gate = closed_gate()
    assert not gate.settle(99.5, answered=True)
    assert not gate.is_open


def test_a_gate_tells_why_and_since_when_it_is_closed() -> None:
    gate = closed_gate()
    assert (gate.refusal, gate.since) == (REFUSAL, 100.0)
    gate.settle(probe(gate), answered=True)
    assert (gate.refusal, gate.since) == (None, None)


def test_a_pause_that_is_renewed_tells_the_new_reason_and_since_when_it_lasts() -> None:
    gate = closed_gate()
    again = Refusal("lockout", "Temporary lockout.")
    gate.close(again, probe(gate), now=160.5)
    assert (gate.refusal, gate.since) == (again, 100.0)


def test_a_trial_request_without_an_answer_is_the_reason_from_then_on() -> None:
    gate = closed_gate()
    silence = Refusal("transport/timeout", "no complete answer within 10 s")
    assert not gate.settle(99.5, answered=False, why=silence)
    assert gate.refusal == REFUSAL
    assert not gate.settle(probe(gate), answered=False, why=silence)
    assert (gate.refusal, gate.since) == (silence, 100.0)
