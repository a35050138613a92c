"""When a credential's requests show that the API does not answer."""

from exporter.polling.pause import Cause
from exporter.polling.silence import Silence

TIMEOUT = Cause("transport/timeout", "no complete answer within 10 s")
BROKEN = Cause("transport/connect", "connection refused")


def facts(silence: Silence) -> tuple[int, float | None, Cause | None, bool]:
    return silence.requests, silence.since, silence.cause, silence.is_total


def test_two_unanswered_targets_that_were_answered_before_mean_a_silent_api() -> None:
    silence = Silence()
    assert facts(silence) == (0, None, None, False)
    silence.unanswered(TIMEOUT, 10.0, is_news=True)
    assert facts(silence) == (1, 10.0, TIMEOUT, False)
    silence.unanswered(BROKEN, 20.0, is_news=True)
    assert facts(silence) == (2, 10.0, BROKEN, True)
    silence.unanswered(TIMEOUT, 30.0, is_news=True)
    assert facts(silence) == (3, 10.0, TIMEOUT, True)


def test_a_target_that_had_no_answer_before_counts_but_proves_nothing() -> None:
    silence = Silence()
    for _ in range(5):
        silence.unanswered(TIMEOUT, 10.0, is_news=False)
    assert facts(silence) == (5, 10.0, TIMEOUT, False)


def test_any_answer_ends_the_silence_and_the_next_one_starts_again() -> None:
    silence = Silence()
    for _ in range(2):
        silence.unanswered(TIMEOUT, 10.0, is_news=True)
    silence.answered()
    assert facts(silence) == (0, None, None, False)
    silence.unanswered(TIMEOUT, 50.0, is_news=True)
    assert facts(silence) == (1, 50.0, TIMEOUT, False)
