"""Retries within a poll, and the back-off of a target that is refused."""

import pytest

from exporter.custody.errors import CustodyError, Reaction
from exporter.polling.retry import Poll, back_off, backs_off


def failing(reaction: Reaction, type_: str = "x") -> CustodyError:
    return CustodyError(type_, reaction=reaction)


@pytest.mark.parametrize(
    ("chance", "seconds"),
    [(0.0, [0.5, 1.0, None]), (0.5, [1.0, 2.0, None]), (0.999, [1.499, 2.998, None])],
)
def test_trouble_on_the_way_is_tried_twice_more_after_growing_random_pauses(
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
    [Reaction.WAIT, Reaction.BACK_OFF, Reaction.PAUSE_ALL, Reaction.PAUSE_CREDENTIAL],
)
def test_everything_else_ends_the_poll(reaction: Reaction) -> None:
    assert Poll(lambda: 0.5).retry_in(failing(reaction)) is None


@pytest.mark.parametrize("reaction", Reaction)
def test_a_target_backs_off_when_it_is_refused(reaction: Reaction) -> None:
    refusals = {Reaction.BACK_OFF, Reaction.AGAIN}
    assert backs_off(failing(reaction)) is (reaction in refusals)


@pytest.mark.parametrize(
    ("interval", "failures", "seconds"),
    [
        (30.0, 1, 60.0),
        (30.0, 2, 120.0),
        (30.0, 4, 480.0),
        (30.0, 5, 900.0),
        (30.0, 10_000, 900.0),
        (1800.0, 1, 1800.0),
    ],
)
def test_back_off_doubles_the_interval_up_to_a_quarter_of_an_hour_and_never_shortens_it(
    interval: float, failures: int, seconds: float
) -> None:
    assert back_off(interval, failures) == seconds
