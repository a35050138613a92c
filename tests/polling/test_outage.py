"""When a failure becomes visible while the API does not answer or may not be called: in virtual time, against the
simulator.
"""

import asyncio
import re
from itertools import pairwise

import httpx
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from exporter.polling.pause import Cause
from exporter.polling.silence import Silence
from exporter.simulator import moods
from tests.polling.world import Stage, now, run, stage

pytestmark = pytest.mark.no_cover

TIMEOUT = 10.0
SHOWN_AFTER = TIMEOUT + 5
TICK = 1.0
"""How late the loop may notice what time alone changes."""
HANGING = moods.slow(3600)
NO_ANSWER = Cause("transport/timeout", "no complete answer within 10 s")


async def shown(played: Stage, seconds: float) -> dict[str, float]:
    """Continue, and return when the failure of each target showed, by the name of its vault."""
    shows: dict[str, float] = {}
    end = now() + seconds
    while now() < end:
        await played.play(0.5)
        for state in played.exporter.store.states():
            if state.failure:
                shows.setdefault(state.target.vault, now())
    return shows


def changes(logs: list[EventDict]) -> list[tuple[str, str]]:
    """Return the changes of vaults that were logged: event and name."""
    return [
        (log["event"], log["vault"])
        for log in logs
        if log["event"].startswith("target_") and "vault" in log
    ]


def failures(logs: list[EventDict]) -> list[str]:
    """Return the vaults whose failure was logged, totals as an empty name."""
    return [log.get("vault", "") for log in logs if log["event"] == "target_failing"]


def error(played: Stage, vault: str) -> tuple[str, str] | None:
    failure = played.state(vault).failure
    return (failure.type, failure.message) if failure else None


def test_while_the_api_does_not_respond_each_target_fails_soon_after_it_was_due() -> None:
    async def main() -> None:
        played = stage(vaults=33)
        await played.play(40)
        due = {
            entry.target.vault: entry.place.due for entry in played.exporter.parts.schedule.entries
        }
        del due[""]
        played.simulator.default_mood = HANGING
        with capture_logs() as logs:
            shows = await shown(played, 120)
        await played.stop()
        first_try = min(played.times(vault)[1] for vault in due if len(played.times(vault)) > 1)
        # By then two requests in a row had no answer.
        known = first_try + 2 * TIMEOUT
        for vault, moment in due.items():
            assert shows[vault] <= max(moment + SHOWN_AFTER, known) + 2 * TICK
        assert min(shows.values()) <= first_try + SHOWN_AFTER + TICK
        assert {error(played, vault) for vault in due} == {NO_ANSWER[:2]}
        assert sorted(changes(logs)) == sorted(("target_failing", vault) for vault in due)

    run(main())


def test_an_api_that_never_responded_shows_before_the_first_poll() -> None:
    async def main() -> None:
        played = stage(vaults=33)
        played.simulator.default_mood = HANGING
        shows = await shown(played, 25)
        await played.stop()
        assert max(shows.values()) <= 2 * TIMEOUT + 2 * TICK
        assert len(shows) == 34
        assert sum(state.polls == 0 for state in played.exporter.store.states()) > 30

    run(main())


def test_while_nothing_is_answered_targets_are_tried_one_after_the_other_once_each() -> None:
    async def main() -> None:
        played = stage(vaults=10, credentials={"main": {"max_in_flight": 3}})
        await played.play(30)
        played.simulator.default_mood = HANGING
        await played.play(130)
        tried = [len(played.times(f"v{number}")) - 1 for number in range(10)]
        # And a retry of the first that failed, before the outage was detected; one more round may have begun.
        assert sum(tried) <= 10 + 2
        assert min(tried) >= 1
        sent = [moment for moment, _ in played.wire.sent if moment > 90]
        assert {round(b - a, 1) for a, b in pairwise(sent)} == {TIMEOUT}
        played.simulator.default_mood = moods.calm
        await played.play(80)
        await played.stop()
        assert all(state.failure is None for state in played.exporter.store.states())

    run(main())


def test_a_failed_try_shows_though_its_retry_waits_for_others() -> None:
    async def main() -> None:
        played = stage(vaults=40, polling={"interval": "5s"})
        await played.play(60)
        played.simulator.moods[played.vault_id("v7")] = HANGING
        tried = len(played.times("v7"))
        with capture_logs() as logs:
            shows = await shown(played, 45)
        await played.stop()
        assert len(played.times("v7")) == tried + 1
        assert shows == {"v7": pytest.approx(played.times("v7")[-1] + SHOWN_AFTER, abs=2 * TICK)}
        assert changes(logs) == [("target_failing", "v7")]
        assert played.state("v7").failed_polls == 0

    run(main())


def test_a_failure_shows_although_the_loop_has_died() -> None:
    async def main() -> None:
        played = stage(vaults=1)
        await played.play(59)
        played.simulator.moods[played.vault_id("v0")] = moods.html(502)
        await played.play(2)
        await played.stop()
        assert played.state("v0").is_up
        await asyncio.sleep(SHOWN_AFTER)
        played.exporter.poller.bring_up_to_date()
        assert error(played, "v0") == ("http/502", "502 Bad Gateway")

    run(main())


@pytest.mark.parametrize(
    "trouble",
    [
        HANGING,
        moods.problem(500, "gateway/Fatal"),
        moods.problem(403, "PermissionDenied"),
    ],
    ids=["hanging", "retried and in vain", "refused"],
)
def test_while_a_third_of_the_targets_fail_the_others_never_do_and_are_read_as_often_as_ever(
    trouble: moods.Mood,
) -> None:
    """A key may have one request in flight, so each deadline of 10 s is 10 s without any other request."""

    async def main() -> None:
        played = stage(vaults=12, polling={"interval": "30s"})
        await played.play(20)
        failing = {f"v{number}" for number in range(0, 12, 3)}
        for vault in failing:
            played.simulator.moods[played.vault_id(vault)] = trouble
        with capture_logs() as logs:
            # Each of them is detected by three tries once.
            await played.play(300)
            before = {f"v{number}": len(played.times(f"v{number}")) for number in range(12)}
            await played.play(300)
        await played.stop()
        assert set(failures(logs)) == failing
        assert not played.exporter.parts.credentials["main"].silence.is_total
        polls = {vault: len(played.times(vault)) - count for vault, count in before.items()}
        assert min(polls[vault] for vault in polls if vault not in failing) >= 0.9 * 10
        assert min(polls[vault] for vault in failing) >= 1

    run(main())


def two_credentials() -> Stage:
    return stage(
        vaults=4,
        credentials={"main": {}, "other": {}},
        credential_of=lambda number: "main" if number < 2 else "other",
    )


def test_targets_of_a_refused_key_show_it_once_they_are_due_and_recover_by_themselves() -> None:
    async def main() -> None:
        played = two_credentials()
        await played.play(10)
        refusing = moods.problem(401, "InvalidKey", {"message": "The key is not known."})
        for vault in ("v0", "v1"):
            played.simulator.moods[played.vault_id(vault)] = refusing
        with capture_logs() as logs:
            await played.play(80)
            refused = ("InvalidKey", "The key is not known.")
            assert error(played, "v0") == error(played, "v1") == refused
            assert len(played.times("v0")) + len(played.times("v1")) == 3
            assert played.state("v2").is_up
            played.simulator.moods.clear()
            await played.play(110)
        await played.stop()
        assert sorted(changes(logs)) == [
            (event, vault)
            for event in ("target_failing", "target_recovered")
            for vault in ("v0", "v1")
        ]

    run(main())


def test_a_target_that_is_not_due_does_not_show_a_pause() -> None:
    async def main() -> None:
        played = two_credentials()
        await played.play(10)
        played.simulator.moods[played.vault_id("v0")] = moods.problem(401, "InvalidKey")
        await played.play(60)
        await played.stop()
        # An organization's total is read once a day there.
        assert played.state("").is_up

    run(main())


def test_before_its_first_poll_a_target_shows_the_pause_that_keeps_it_from_it() -> None:
    async def main() -> None:
        played = stage(vaults=3)
        played.simulator.default_mood = moods.rate_limited(90)
        await played.play(5)
        await played.stop()
        for state in played.exporter.store.states():
            assert state.failure is not None
            assert state.failure.type == "EAPI:Rate limit exceeded"
        assert [state.polls for state in played.exporter.store.states()] == [1, 0, 0, 0]

    run(main())


def test_after_a_rate_limit_the_trial_requests_own_timeouts_show() -> None:
    async def main() -> None:
        played = stage(vaults=6)
        await played.play(30)
        played.simulator.default_mood = moods.times(1, moods.rate_limited(30))
        await played.play(45)
        vaults = [f"v{number}" for number in range(6)]
        limit = "EAPI:Rate limit exceeded"
        assert {error(played, vault) for vault in vaults} == {(limit, limit)}
        pause = played.exporter.parts.pause_of_all
        since = pause.since
        played.simulator.default_mood = HANGING
        with capture_logs() as logs:
            await played.play(35)
        await played.stop()
        assert {error(played, vault) for vault in vaults} == {NO_ANSWER[:2]}
        assert (pause.cause, pause.since) == (NO_ANSWER, since)
        assert sorted(changes(logs)) == [("target_failing", vault) for vault in vaults]

    run(main())


def test_all_ways_of_no_response_are_one_state_of_a_target() -> None:
    async def main() -> None:
        played = stage(vaults=8)
        await played.play(30)
        played.simulator.default_mood = HANGING
        for number in range(0, 8, 2):
            played.wire.broken[played.path(f"v{number}")] = httpx.ConnectError("refused")
        with capture_logs() as logs:
            await played.play(600)
            played.wire.broken = {
                played.path(f"v{number}"): httpx.ConnectError("refused")
                for number in range(1, 8, 2)
            }
            await played.play(600)
        await played.stop()
        assert sorted(failures(logs)) == [f"v{number}" for number in range(8)]

    run(main())


def test_a_target_whose_balances_were_withdrawn_without_a_failure_logs_its_way_back() -> None:
    async def main() -> None:
        played = stage(vaults=1, polling={"interval": "100s", "stale_after": "50s"})
        with capture_logs() as logs:
            await played.play(110)
        await played.stop()
        recovered = [log for log in logs if log["event"] == "target_recovered"]
        assert [(log["vault"], log["failed_polls"]) for log in recovered] == [("v0", 0)]
        assert recovered[0]["unread_seconds"] == 100
        assert [event for event, _ in changes(logs)] == [
            "target_up",
            "target_stale",
            "target_recovered",
        ]

    run(main())


def test_a_retry_after_a_quick_failure_goes_before_the_first_tries_of_others() -> None:
    async def main() -> None:
        played = stage(vaults=60, polling={"interval": "5s"})
        await played.play(60)
        played.simulator.moods[played.vault_id("v7")] = moods.times(2, moods.html(502))
        tried = len(played.times("v7"))
        await played.play(30)
        await played.stop()
        first, second, third = played.times("v7")[tried : tried + 3]
        assert third - first < 1 + 2 + 3 * 30 / 99
        assert second - first < 2
        assert played.state("v7").is_up

    run(main())


def of_credentials(played: Stage, metric: str, *names: str) -> list[float | None]:
    return [
        played.counted(f"kraken_custody_api_{metric}", credential=name)
        for name in names or ("main", "other")
    ]


def exposed(played: Stage, metric: str) -> dict[str, float]:
    """Return the values of a metric of targets by the name of the vault."""
    played.exporter.poller.bring_up_to_date()
    pages = dict(played.exporter.store.snapshot().families())
    lines = b"".join(next(lines for of, lines in pages.items() if of.name == metric)).decode()
    found = re.findall(r'vault="([^"]*)".*} (.+)', lines)
    return {vault: float(value) for vault, value in found}


def test_an_answer_ends_the_silence_even_if_it_is_a_refusal() -> None:
    async def main() -> None:
        played = stage(vaults=3)
        await played.play(10)
        played.simulator.default_mood = HANGING
        await played.play(100)
        silence = played.exporter.parts.credentials["main"].silence
        assert silence.is_total
        assert silence.cause == NO_ANSWER
        (unanswered,) = of_credentials(played, "unanswered_requests", "main")
        assert unanswered
        assert unanswered >= 3
        played.simulator.default_mood = moods.problem(403, "PermissionDenied")
        await played.play(60)
        await played.stop()
        assert of_credentials(played, "unanswered_requests", "main") == [0]
        assert not silence.is_total
        assert silence.since is None
        assert silence.cause is None
        assert error(played, "v0") == ("PermissionDenied", "Forbidden")

    run(main())


def test_metrics_say_by_credential_what_is_paused_unanswered_and_shared() -> None:
    async def main() -> None:
        played = two_credentials()
        everybody = ("all", "main", "other")
        assert of_credentials(played, "paused", *everybody) == [0, 0, 0]
        assert of_credentials(played, "unanswered_requests") == [0, 0]
        assert of_credentials(played, "key_shared") == [0, 0]
        assert set(exposed(played, "kraken_custody_target_paused").values()) == {0}
        await played.play(10)
        for vault in ("v0", "v1"):
            played.simulator.moods[played.vault_id(vault)] = moods.problem(401, "InvalidKey")
        for vault in ("v2", "v3"):
            played.simulator.moods[played.vault_id(vault)] = HANGING
        await played.play(80)
        assert of_credentials(played, "paused", *everybody) == [0, 1, 0]
        main_key, other_key = of_credentials(played, "unanswered_requests")
        assert main_key == 0
        assert other_key
        assert other_key >= 2
        paused = exposed(played, "kraken_custody_target_paused")
        assert {name for name, value in paused.items() if value} >= {"v0", "v1"}
        assert (paused["v2"], paused["v3"]) == (0, 0)
        played.simulator.moods.clear()
        await played.play(130)
        assert of_credentials(played, "paused", *everybody) == [0, 0, 0]
        assert of_credentials(played, "unanswered_requests") == [0, 0]
        assert set(exposed(played, "kraken_custody_target_paused").values()) == {0}
        await played.stop()

    run(main())


def test_a_pause_of_everything_pauses_each_target() -> None:
    async def main() -> None:
        played = two_credentials()
        played.simulator.default_mood = moods.rate_limited(90)
        await played.play(5)
        await played.stop()
        assert of_credentials(played, "paused", "all", "main", "other") == [1, 0, 0]
        assert set(exposed(played, "kraken_custody_target_paused").values()) == {1}

    run(main())


def test_a_key_that_another_program_uses_is_reported_while_the_evidence_is_fresh() -> None:
    async def main() -> None:
        played = two_credentials()
        await played.play(30)
        refusing = moods.times(3, moods.legacy("EAPI:Invalid nonce"))
        played.simulator.moods[played.vault_id("v0")] = refusing
        await played.play(300)
        assert of_credentials(played, "key_shared") == [1, 0]
        await played.play(3700)
        await played.stop()
        assert of_credentials(played, "key_shared") == [0, 0]

    run(main())


@pytest.mark.parametrize(
    ("requests", "total", "count"),
    [
        ([], False, 0),
        (["news"], False, 1),
        (["news", "news"], True, 2),
        (["news", "known", "known"], False, 3),
        (["news", "known", "news"], True, 3),
        (["news", "news", "known"], True, 3),
        (["news", "answered", "news"], False, 1),
        (["news", "news", "answered"], False, 0),
    ],
)
def test_silence_takes_two_requests_in_a_row_of_targets_that_had_answers_before(
    requests: list[str],
    total: bool,  # noqa: FBT001 - a column of the table
    count: int,
) -> None:
    silence = Silence()
    for sent_at, request in enumerate(requests):
        if request == "answered":
            silence.answered()
        else:
            silence.unanswered(NO_ANSWER, sent_at, is_news=request == "news")
    assert (silence.is_total, silence.requests) == (total, count)
    since = len(requests) - count
    assert silence.since == (since if count else None)
    assert silence.cause == (NO_ANSWER if count else None)
