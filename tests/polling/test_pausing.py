"""The effect of a request's outcome on pauses: which one begins, ends, or waits for another trial request."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from exporter.custody.errors import BLOCKED_TYPE, CustodyError, Delivery, Reaction
from exporter.polling.credential import Credential
from exporter.polling.parts import Parts
from exporter.polling.pause import Cause, Pause
from exporter.polling.pausing import Pauses
from exporter.resources.target import Target

BEGAN = 100.0
TRIAL = 160.0
REFUSAL = Cause("InvalidKey", "the key is not known")
NOW = 163.26

ENDED, WAITS, BEGAN_AGAIN = "ended", "waits for another trial request", "began again"


class Room:
    """A credential and the pauses that its requests observe, at NOW."""

    def __init__(self) -> None:
        self.everything = Pause(60.0, 900.0)
        self.nonces_refused = 0
        self.credential = cast(
            "Credential",
            SimpleNamespace(name="main", pause=Pause(60.0, 900.0), generation=2),
        )
        parts = SimpleNamespace(
            pause_of_all=self.everything,
            monotonic=lambda: NOW,
            nonce_refused=self._refuse_nonce,
            schedule=SimpleNamespace(organizations={"main": ("Fund", "Trust")}),
        )
        self.pauses = Pauses(cast("Parts", parts))

    def _refuse_nonce(self) -> None:
        self.nonces_refused += 1

    def fail(self, error: CustodyError, vault: str = "v0", generation: int = 2) -> None:
        target = Target("vault", vault, "Fund", vault, 60.0, "main")
        self.pauses.failed(target, self.credential, error, TRIAL, generation)

    def try_both(self) -> None:
        """Begin both pauses and send their trial request."""
        for pause in (self.everything, self.credential.pause):
            assert pause.begin(REFUSAL, sent_at=BEGAN, now=BEGAN)
        self.pauses.request_sent(self.credential)


def state(pause: Pause) -> str:
    if not pause.is_active:
        return ENDED
    return WAITS if pause.ends_at() == BEGAN + 60 else BEGAN_AGAIN


def fails(reaction: Reaction, type_: str = "SomeError", **how: Any) -> Callable[[Room], None]:
    generation = how.pop("generation", 2)
    return lambda room: room.fail(
        CustodyError(type_, reaction=reaction, **how), generation=generation
    )


def succeeds(room: Room) -> None:
    room.pauses.answered(room.credential, TRIAL)


def tells_nothing(room: Room) -> None:
    room.pauses.unanswered(room.credential, TRIAL)


@pytest.mark.parametrize(
    ("outcome", "everything", "own"),
    [
        (succeeds, ENDED, ENDED),
        (tells_nothing, WAITS, WAITS),
        (fails(Reaction.WAIT), ENDED, ENDED),
        (fails(Reaction.RETRY, delivery=Delivery.UNANSWERED), WAITS, WAITS),
        (fails(Reaction.SLOW_DOWN, BLOCKED_TYPE), BEGAN_AGAIN, WAITS),
        (fails(Reaction.PAUSE_ALL), BEGAN_AGAIN, WAITS),
        (fails(Reaction.PAUSE_CREDENTIAL), ENDED, BEGAN_AGAIN),
        (fails(Reaction.LOCK_OUT), ENDED, BEGAN_AGAIN),
        (fails(Reaction.PAUSE_CREDENTIAL, generation=1), ENDED, WAITS),
    ],
    ids=[
        "success",
        "no request was made",
        "error of the target",
        "timeout",
        "blocked in front of the API",
        "rate limit",
        "refused key",
        "lockout",
        "refused old secrets",
    ],
)
def test_a_trial_request_settles_both_pauses_whatever_its_outcome(
    outcome: Callable[[Room], None], everything: str, own: str
) -> None:
    room = Room()
    room.try_both()
    outcome(room)
    assert (state(room.everything), state(room.credential.pause)) == (everything, own)


def test_a_trial_request_that_is_blocked_leaves_the_key_in_doubt() -> None:
    room = Room()
    room.credential.pause.begin(REFUSAL, sent_at=BEGAN, now=BEGAN)
    room.pauses.request_sent(room.credential)
    room.fail(CustodyError(BLOCKED_TYPE, reaction=Reaction.SLOW_DOWN))
    assert state(room.credential.pause) == WAITS
    assert not room.everything.is_active


def test_a_trial_request_that_times_out_is_the_cause_of_both_pauses_from_then_on() -> None:
    room = Room()
    room.try_both()
    room.fail(CustodyError("transport/timeout", message="none", delivery=Delivery.UNANSWERED))
    silence = Cause("transport/timeout", "none")
    assert (room.everything.cause, room.credential.pause.cause) == (silence, silence)


@pytest.mark.parametrize(
    ("steps", "is_paused"),
    [
        (["v0", "v1"], True),
        (["v0", "v0"], False),
        (["v0", "success", "v1"], False),
        (["v0", "refusal", "v1"], False),
        (["v0", "timeout", "v1"], True),
    ],
)
def test_two_different_targets_blocked_in_a_row_pause_everything(
    steps: list[str],
    is_paused: bool,  # noqa: FBT001 - a column of the table
) -> None:
    room = Room()
    others = {
        "success": succeeds,
        "refusal": fails(Reaction.WAIT),
        "timeout": fails(Reaction.RETRY, delivery=Delivery.UNANSWERED),
    }
    for step in steps:
        if step in others:
            others[step](room)
        else:
            room.fail(CustodyError(BLOCKED_TYPE, reaction=Reaction.SLOW_DOWN), vault=step)
    assert room.everything.is_active == is_paused


def test_only_a_refused_nonce_is_reported_as_one() -> None:
    room = Room()
    room.fail(CustodyError("EAPI:Invalid key", reaction=Reaction.PAUSE_CREDENTIAL))
    assert room.nonces_refused == 0
    room.fail(CustodyError("EAPI:Invalid nonce", reaction=Reaction.AGAIN))
    assert room.nonces_refused == 1


def test_a_pause_is_logged_with_its_length_age_cause_and_organizations() -> None:
    room = Room()
    refused = {
        "event": "polling_paused",
        "credential": "main",
        "seconds": 60.0,
        "since_seconds": 0.0,
        "type": "InvalidKey",
        "message": "unknown",
        "organizations": "Fund, Trust",
    }
    error = CustodyError("InvalidKey", message="unknown", reaction=Reaction.PAUSE_CREDENTIAL)
    with capture_logs() as logs:
        room.fail(error)
    assert logs == [refused | {"log_level": "warning"}]
    room.credential.pause.forget()
    room.try_both()
    # The same cause is not reported again.
    with capture_logs() as logs:
        room.fail(error)
    assert logs == [
        refused | {"seconds": 120.0, "since_seconds": 63.3, "log_level": "debug"},
        {"event": "polling_resumed", "credential": "all", "log_level": "info"},
    ]
