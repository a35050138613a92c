"""Retries within a poll, and the back-off of a target that is refused."""

import math

import pytest

from exporter.custody.errors import CustodyError, Reaction
from exporter.polling.retry import Poll, next_interval, refusals_after, retry_bounds
from exporter.resources.target import Target
from exporter.resources.vaults import VAULTS


def failing(reaction: Reaction, type_: str = "x") -> CustodyError:
    return CustodyError(type_, reaction=reaction)


@pytest.mark.parametrize(
    ("chance", "seconds"),
    [(0.0, [0.5, 1.0, None]), (0.5, [1.0, 2.0, None]), (0.999, [1.499, 2.998, None])],
)
def test_transient_errors_are_retried_twice_with_growing_jitter(
    chance: float, seconds: list[float | None]
) -> None:
    poll = Poll(lambda: chance)
    assert [poll.retry_in(failing(Reaction.RETRY)) for _ in seconds] == seconds


def test_a_nonce_is_tried_once_more_at_once() -> None:
    poll = Poll(lambda: 0.5)
    nonce = failing(Reaction.AGAIN, "EAPI:Invalid nonce")
    assert [poll.retry_in(nonce), poll.retry_in(nonce)] == [0.0, None]


def test_each_reason_to_ask_again_counts_for_itself() -> None:
    poll = Poll(lambda: 0.5)
    assert poll.retry_in(failing(Reaction.AGAIN, "EAPI:Invalid nonce")) == 0.0
    assert poll.retry_in(failing(Reaction.AGAIN, "BadRequest")) == 0.0
    assert poll.retry_in(failing(Reaction.RETRY)) == 1.0


@pytest.mark.parametrize(
    "reaction",
    [it for it in Reaction if it not in (Reaction.RETRY, Reaction.AGAIN)],
)
def test_everything_else_ends_the_poll(reaction: Reaction) -> None:
    assert Poll(lambda: 0.5).retry_in(failing(reaction)) is None


@pytest.mark.parametrize(
    ("reaction", "refusals"),
    [
        (Reaction.BACK_OFF, [1, 2, 3]),
        (Reaction.AGAIN, [1, 2, 3]),
        (Reaction.SLOW_DOWN, [1, 1, 1]),
        (Reaction.RETRY, [0, 0, 0]),
        (Reaction.WAIT, [0, 0, 0]),
        (Reaction.PAUSE_CREDENTIAL, [0, 0, 0]),
        (Reaction.LOCK_OUT, [0, 0, 0]),
        (Reaction.PAUSE_ALL, [0, 0, 0]),
    ],
)
def test_a_target_backs_off_further_only_with_each_refusal_of_the_api_itself(
    reaction: Reaction, refusals: list[int]
) -> None:
    error = failing(reaction)
    counted = [refusals_after(error, 0)]
    for _ in refusals[1:]:
        counted.append(refusals_after(error, counted[-1]))
    assert counted == refusals


INF = math.inf


@pytest.mark.parametrize(
    ("reaction", "retry_after", "was_failing", "between"),
    [
        (Reaction.RETRY, None, False, (-INF, INF)),
        (Reaction.RETRY, 30.0, False, (130.0, 130.0)),
        (Reaction.RETRY, 30.0, True, (130.0, INF)),
        (Reaction.RETRY, 0.0, False, (101.0, 101.0)),
        (Reaction.RETRY, 0.0, True, (101.0, INF)),
        (Reaction.RETRY, 86_400.0, False, (3700.0, 3700.0)),
        (Reaction.SLOW_DOWN, 600.0, False, (700.0, INF)),
        (Reaction.BACK_OFF, 600.0, False, (700.0, INF)),
        # Their pauses know how long.
        (Reaction.PAUSE_ALL, 30.0, False, (-INF, INF)),
        (Reaction.PAUSE_CREDENTIAL, 30.0, False, (-INF, INF)),
        (Reaction.LOCK_OUT, 30.0, False, (-INF, INF)),
    ],
)
def test_the_api_may_say_when_the_next_poll_is(
    reaction: Reaction,
    retry_after: float | None,
    was_failing: bool,  # noqa: FBT001 - a column of the table
    between: tuple[float, float],
) -> None:
    error = CustodyError("x", reaction=reaction, retry_after=retry_after)
    assert retry_bounds(error, 100.0, was_failing=was_failing) == between


def test_no_retry_is_sent_before_the_apis_retry_after() -> None:
    error = CustodyError("http/503", reaction=Reaction.RETRY, retry_after=30.0)
    assert Poll(lambda: 0.5).retry_in(error) is None


@pytest.mark.parametrize(
    ("interval", "refusals", "seconds"),
    [
        (30.0, 1, 60.0),
        (30.0, 2, 120.0),
        (30.0, 4, 480.0),
        (30.0, 5, 900.0),
        (30.0, 10_000, 900.0),
        (1800.0, 1, 1800.0),
    ],
)
def test_refusals_double_the_interval_up_to_a_quarter_of_an_hour_and_never_shorten_it(
    interval: float, refusals: int, seconds: float
) -> None:
    assert next_interval(interval, refusals, is_failing=True) == seconds


@pytest.mark.parametrize(
    ("interval", "is_failing", "seconds"),
    [(600.0, True, 600.0), (3600.0, True, 900.0), (3600.0, False, 3600.0)],
)
def test_after_another_failure_no_target_waits_longer_than_a_quarter_of_an_hour(
    interval: float, *, is_failing: bool, seconds: float
) -> None:
    assert next_interval(interval, 0, is_failing=is_failing) == seconds


FIRST, SECOND, THIRD = (
    VAULTS.requester()(Target("vaults", name, name, "", 600.0, "one"))
    for name in ("first", "second", "third")
)


def test_the_parts_of_an_answer_are_requested_one_after_the_other() -> None:
    poll = Poll(lambda: 0.5)
    asked = [poll.request(lambda: FIRST, 0)]
    for following in (SECOND, THIRD):
        poll.go_on(following, 0)
        asked.append(poll.request(lambda: FIRST, 0))
    # Another try of the last one.
    asked.append(poll.request(lambda: FIRST, 0))
    assert asked == [FIRST, SECOND, THIRD, THIRD]


def test_each_part_of_an_answer_has_its_own_tries() -> None:
    poll = Poll(lambda: 0.5)
    for following in (SECOND, THIRD):
        poll.request(lambda: FIRST, 0)
        tries = [poll.retry_in(failing(Reaction.RETRY)) for _ in range(3)]
        tries += [poll.retry_in(failing(Reaction.AGAIN)) for _ in range(2)]
        assert tries == [1.0, 2.0, None, 0.0, None]
        poll.go_on(following, 0)


def test_an_answer_restarts_with_other_secrets() -> None:
    poll = Poll(lambda: 0.5)
    poll.request(lambda: FIRST, 0)
    poll.go_on(SECOND, 0)
    assert poll.request(lambda: FIRST, 1) is FIRST


def test_an_answer_in_doubt_restarts_whatever_is_in_flight() -> None:
    poll = Poll(lambda: 0.5)
    poll.request(lambda: FIRST, 0)
    poll.go_on(SECOND, 0)
    poll.request(lambda: FIRST, 0)
    poll.begin_anew()
    poll.go_on(THIRD, 0)
    assert poll.request(lambda: FIRST, 0) is FIRST
    poll.go_on(SECOND, 0)
    assert poll.request(lambda: FIRST, 0) is SECOND
