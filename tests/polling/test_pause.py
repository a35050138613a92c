"""Pauses: when one begins, how long it lasts, and what ends it."""

import math

import pytest

from exporter.polling.pause import Cause, Pause

REFUSAL = Cause("InvalidKey", "The key is not known.")
LOCKOUT = Cause("EGeneral:Temporary lockout", "", is_lockout=True)


def active_pause(*, retry_after: float | None = None) -> Pause:
    """Return a pause of 60 to 900 s that began at time 100."""
    pause = Pause(60.0, 900.0)
    assert pause.begin(REFUSAL, sent_at=99.0, now=100.0, retry_after=retry_after)
    return pause


def send_trial(pause: Pause) -> float:
    """Send the trial request as soon as possible, and return when that is."""
    moment = pause.ends_at()
    pause.request_sent()
    return moment


def test_a_pause_that_is_not_active_holds_no_request_back() -> None:
    pause = Pause(60.0, 900.0)
    pause.request_sent()
    assert not pause.is_active
    assert pause.ends_at() == 0.0


def test_a_pause_ends_after_its_first_length() -> None:
    assert active_pause().ends_at() == 160.0


def test_while_the_trial_request_is_in_flight_no_other_request_goes() -> None:
    pause = active_pause()
    send_trial(pause)
    assert pause.ends_at() == math.inf


def test_an_answer_to_the_trial_request_ends_the_pause() -> None:
    pause = active_pause()
    sent_at = send_trial(pause)
    assert pause.settle(sent_at, answered=True)
    assert not pause.is_active


def test_a_trial_request_without_an_answer_is_followed_by_another() -> None:
    pause = active_pause()
    sent_at = send_trial(pause)
    assert not pause.settle(sent_at, answered=False)
    assert pause.is_active
    assert pause.ends_at() == 160.0


def test_each_pause_is_twice_as_long_as_the_one_before_up_to_the_longest() -> None:
    pause = active_pause()
    pauses = []
    for _ in range(6):
        sent_at = send_trial(pause)
        pause.begin(REFUSAL, sent_at, now=sent_at)
        pauses.append(pause.ends_at() - sent_at)
    assert pauses == [120.0, 240.0, 480.0, 900.0, 900.0, 900.0]


def test_a_pause_that_has_ended_is_short_when_it_begins_again() -> None:
    pause = active_pause()
    pause.settle(send_trial(pause), answered=True)
    pause.begin(REFUSAL, sent_at=500.0, now=500.0)
    assert pause.ends_at() == 560.0


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [(7.0, 7.0), (400.0, 400.0), (0.0, 1.0), (86_400.0, 3600.0)],
    ids=["shorter than the first pause", "longer", "none at all", "absurdly long"],
)
def test_the_api_may_say_how_long_to_pause(retry_after: float, pause: float) -> None:
    assert active_pause(retry_after=retry_after).ends_at() == 100.0 + pause


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
def test_retry_after_is_obeyed_once_and_then_lengthened_to_our_own_pause(
    said: list[float | None], pauses: list[float]
) -> None:
    pause, now, lasted = Pause(60.0, 900.0), 100.0, []
    for retry_after in said:
        assert pause.begin(REFUSAL, sent_at=now, now=now, retry_after=retry_after)
        lasted.append(pause.ends_at() - now)
        now = send_trial(pause)
    assert lasted == pauses


def test_an_answer_makes_the_next_refusal_the_first_of_a_row() -> None:
    pause = active_pause(retry_after=5.0)
    pause.settle(send_trial(pause), answered=True)
    pause.begin(REFUSAL, sent_at=200.0, now=200.0, retry_after=5.0)
    assert pause.ends_at() == 205.0


@pytest.mark.parametrize("retry_after", [None, 0.0, 30.0])
def test_a_lockout_lasts_for_the_longest_pause_at_once(retry_after: float | None) -> None:
    pause = Pause(60.0, 900.0)
    pause.begin(LOCKOUT, sent_at=100.0, now=100.0, retry_after=retry_after)
    assert pause.ends_at() == 1000.0


def test_refusals_of_requests_that_were_in_flight_already_do_not_lengthen_the_pause() -> None:
    pause = active_pause()
    assert not pause.begin(REFUSAL, sent_at=99.5, now=101.0)
    assert pause.ends_at() == 160.0


def test_answers_to_requests_that_were_in_flight_already_do_not_end_the_pause() -> None:
    pause = active_pause()
    assert not pause.settle(99.5, answered=True)
    assert pause.is_active


def test_a_pause_has_its_cause_and_its_beginning() -> None:
    pause = active_pause()
    assert (pause.cause, pause.since) == (REFUSAL, 100.0)
    pause.settle(send_trial(pause), answered=True)
    assert (pause.cause, pause.since) == (None, None)


def test_a_renewed_pause_has_the_new_cause_and_the_first_beginning() -> None:
    pause = active_pause()
    again = Cause("lockout", "Temporary lockout.")
    pause.begin(again, send_trial(pause), now=160.5)
    assert (pause.cause, pause.since) == (again, 100.0)


def test_a_trial_request_without_an_answer_is_the_cause_from_then_on() -> None:
    pause = active_pause()
    silence = Cause("transport/timeout", "no complete answer within 10 s")
    assert not pause.settle(99.5, answered=False, cause=silence)
    assert pause.cause == REFUSAL
    assert not pause.settle(send_trial(pause), answered=False, cause=silence)
    assert (pause.cause, pause.since) == (silence, 100.0)


def test_a_pause_that_is_ended_early_lets_one_trial_request_go_at_once() -> None:
    pause = active_pause()
    assert pause.end_early(110.0)
    assert pause.is_active
    assert pause.ends_at() == 110.0
    pause.request_sent()
    assert pause.ends_at() == math.inf


def test_a_pause_that_is_over_is_not_made_longer_by_ending_it_early() -> None:
    pause = active_pause()
    assert pause.end_early(200.0)
    assert pause.ends_at() == 160.0


@pytest.mark.parametrize(("again_at", "ends_early"), [(169.9, False), (170.0, True)])
def test_a_pause_is_ended_early_at_most_once_a_minute(
    again_at: float,
    ends_early: bool,  # noqa: FBT001 - a column of the table
) -> None:
    pause = active_pause()
    assert pause.end_early(110.0)
    pause.request_sent()
    pause.begin(REFUSAL, sent_at=110.0, now=110.5)
    assert pause.ends_at() == 230.5
    assert pause.end_early(again_at) is ends_early
    assert pause.ends_at() == (again_at if ends_early else 230.5)


def test_there_is_nothing_to_end_early_without_a_pause_in_its_trial_or_in_a_lockout() -> None:
    assert not Pause(60.0, 900.0).end_early(100.0)
    on_trial = active_pause()
    send_trial(on_trial)
    assert not on_trial.end_early(200.0)
    locked_out = Pause(60.0, 900.0)
    locked_out.begin(LOCKOUT, sent_at=100.0, now=100.0)
    assert locked_out.is_lockout
    assert not locked_out.end_early(200.0)
    assert locked_out.ends_at() == 1000.0


def test_a_refusal_is_not_a_lockout() -> None:
    assert not active_pause().is_lockout
    assert not Pause(60.0, 900.0).is_lockout


def test_a_request_sent_at_the_moment_a_pause_began_counts() -> None:
    pause = active_pause()
    assert pause.begin(REFUSAL, sent_at=100.0, now=101.0)
    assert pause.ends_at() == 221.0
    assert active_pause().settle(100.0, answered=True)


def test_a_trial_request_that_is_refused_makes_room_for_another_one() -> None:
    pause = active_pause()
    pause.begin(REFUSAL, send_trial(pause), now=161.0)
    assert pause.ends_at() == 281.0


def test_a_pause_that_is_forgotten_is_as_at_the_start() -> None:
    pause = Pause(60.0, 900.0)
    for sent_at in (0.0, 100.0):
        pause.begin(REFUSAL, sent_at, sent_at)
    pause.forget()
    assert (pause.is_active, pause.cause, pause.since, pause.ends_at()) == (False, None, None, 0.0)
    pause.begin(REFUSAL, 200.0, 200.0)
    assert pause.ends_at() == 260.0
