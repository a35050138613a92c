"""The status of everything, read from an exporter in virtual time whose API is the simulator."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import yaml
from structlog.testing import capture_logs

from exporter.config import parse
from exporter.polling.pause import Cause
from exporter.simulator import moods
from exporter.state.state import Failure, TargetState
from exporter.status.model import KeyBudget, State, Status, TargetStatus
from exporter.status.reading import state_of
from tests.polling.world import BEGINNING, Stage, run, stage
from tests.resources.answers import HOT, make_store, put, row, vault_answer
from tests.web.statuses import told

FAILURE = Failure("http/502", 502, "Bad Gateway", BEGINNING)
DENIED = moods.problem(403, "PermissionDenied", {"message": "Permission denied."})


def seen(play: Callable[[Stage], Awaitable[object]], **options: Any) -> Status:
    """Return the status after `play`."""

    async def main() -> Status:
        played = stage(**options)
        await play(played)
        status = played.exporter.look()()
        await played.stop()
        return status

    return run(main())


def target(status: Status, vault: str) -> TargetStatus:
    return next(it for it in status.targets if it.known.target.vault == vault)


def playing(seconds: float) -> Callable[[Stage], Awaitable[object]]:
    return lambda played: played.play(seconds)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "waiting"),
        ({"polls": 1}, "up"),
        ({"polls": 1, "failure": FAILURE}, "failing"),
        # Before its first poll, where nothing can be polled.
        ({"failure": FAILURE}, "failing"),
        ({"polls": 9, "failure": FAILURE, "is_stale": True}, "stale"),
        # Nothing failed, but nothing was polled either, during a long pause.
        ({"polls": 1, "is_stale": True}, "stale"),
    ],
)
def test_one_word_says_what_most_needs_a_look(facts: dict[str, Any], state: State) -> None:
    assert state_of(TargetState(HOT, **facts)) == state


def test_before_anything_was_polled_every_target_waits_and_nothing_is_invented() -> None:
    status = seen(lambda _: asyncio.sleep(0))
    assert status.counts() == {"stale": 0, "failing": 0, "waiting": 4, "up": 0}
    assert status.series == 0
    for it in status.targets:
        assert (it.latency, it.series, it.is_polling) == (None, 0, False)
        assert it.next_poll == BEGINNING
    assert not status.exporter.is_ready
    assert status.exporter.trouble == "polling has not begun"
    assert status.budget.history == ()


def test_targets_are_in_the_order_of_the_configuration() -> None:
    names = [it.known.target.vault for it in seen(playing(1)).targets]
    assert names == ["", "v0", "v1", "v2"]


def test_a_list_is_never_too_old_and_a_credential_may_have_no_organization() -> None:
    status = seen(
        lambda _: asyncio.sleep(0),
        credentials={"main": {}, "spare": {}},
        discovery={},
        organizations=[],
    )
    lists = [it.stale_after for it in status.targets if it.known.target.kind == "organizations"]
    assert lists == [None, None]
    assert [it.organizations for it in status.credentials] == [(), ()]


def test_a_target_that_is_up_has_its_age_latency_results_and_next_poll() -> None:
    status = seen(playing(130), jitter=lambda: 0.25)
    it = target(status, "v1")
    assert status.at == BEGINNING + 130
    assert it.state == "up"
    assert [result.error for result in it.known.results] == [None, None, None]
    assert [result.seconds for result in it.known.results] == [pytest.approx(0.25)] * 3
    assert it.latency == pytest.approx(0.25)
    assert it.known.results[-1].at == it.known.last_success
    assert it.next_poll == pytest.approx(BEGINNING + 180, abs=2)
    assert it.interval == 60
    assert it.series > 0
    assert status.series == sum(target.series for target in status.targets)


def test_a_failing_target_has_the_results_of_its_last_polls() -> None:
    async def fail_later(played: Stage) -> None:
        await played.play(70)
        played.simulator.moods[played.vault_id("v1")] = DENIED
        await played.play(60)

    status = seen(fail_later)
    it = target(status, "v1")
    assert it.state == "failing"
    assert [target.is_backed_off for target in status.targets] == [False, False, True, False]
    assert [result.error for result in it.known.results] == [None, None, "PermissionDenied"]
    assert it.latency == pytest.approx(0.01)
    assert status.counts() == {"stale": 0, "failing": 1, "waiting": 0, "up": 3}


def test_a_poll_without_an_answer_has_no_latency() -> None:
    async def lose(played: Stage) -> None:
        played.wire.broken[played.path("v1")] = httpx.ReadError("reset")
        await played.play(30)

    it = target(seen(lose), "v1")
    assert [(result.error, result.seconds) for result in it.known.results] == [
        ("transport/protocol", None)
    ]
    assert it.latency is None


def test_only_the_last_twenty_results_are_kept() -> None:
    it = target(seen(playing(60 * 25)), "v1")
    assert it.known.polls == 25
    assert len(it.known.results) == 20
    assert it.known.results[0].at == pytest.approx(BEGINNING + 5 * 60, abs=2)


def test_while_a_request_is_in_flight_the_next_one_is_unknown() -> None:
    it = target(seen(playing(2), jitter=lambda: 5.0), "")
    assert (it.is_polling, it.next_poll) == (True, None)


def test_a_waiting_retry_is_the_next_request_of_a_poll_in_progress() -> None:
    async def fail(played: Stage) -> None:
        played.simulator.default_mood = moods.problem(503, "gateway/Connect")
        await played.play(1)

    it = target(seen(fail), "v0")
    assert it.is_polling
    assert it.next_poll is not None
    assert BEGINNING + 1 < it.next_poll < BEGINNING + 3


def test_a_pause_of_everything_has_its_cause_beginning_and_end() -> None:
    async def limited(played: Stage) -> None:
        played.simulator.default_mood = moods.rate_limited(90)
        await played.play(10)

    status = seen(limited)
    (pause,) = status.budget.pauses
    assert (pause.credential, pause.type) == (None, "EAPI:Rate limit exceeded")
    assert (pause.organizations, pause.status) == ((), 429)
    assert pause.message == "EAPI:Rate limit exceeded"
    assert pause.until == pause.since + 90
    assert all(it.next_poll == pause.until for it in status.targets)


def test_a_pause_of_a_credential_names_it_and_affects_no_other() -> None:
    async def refused(played: Stage) -> None:
        played.simulator.moods[played.vault_id("v0")] = moods.problem(401, "InvalidKey")
        await played.play(10)

    credentials: dict[str, dict[str, object]] = {"main": {}, "other": {}}
    status = seen(
        refused, credentials=credentials, credential_of=lambda n: "main" if n < 2 else "other"
    )
    (pause,) = status.budget.pauses
    assert (pause.credential, pause.type, pause.status) == ("main", "InvalidKey", 401)
    assert pause.until == pause.since + 60
    paused = target(status, "v1").next_poll
    assert paused == pause.until
    assert target(status, "v2").next_poll != paused


def test_while_one_request_tries_for_all_the_end_of_the_pause_is_unknown() -> None:
    async def trying(played: Stage) -> None:
        played.simulator.default_mood = moods.rate_limited(5)
        await played.play(5)
        played.simulator.default_mood = moods.slow(20)
        await played.play(3)

    status = seen(trying)
    assert [pause.until for pause in status.budget.pauses] == [None]
    assert {it.next_poll for it in status.targets} == {None}


def test_a_refused_key_names_each_organization_that_uses_it_and_its_targets_say_so() -> None:
    async def refused(played: Stage) -> None:
        document = {**played.document, "organizations": [*played.document["organizations"]]}
        document["organizations"].append({"id": "ZZZZ BBBB CCCC 0009", "name": "second"})
        text = yaml.safe_dump(document)
        settings = parse(text, directory=played.directory, environ=played.environ)
        await played.exporter.reload(settings)
        await played.play(2)
        played.simulator.default_mood = moods.problem(401, "InvalidKey")
        await played.play(100)

    with capture_logs() as logs:
        status = seen(refused)
    (pause,) = status.budget.pauses
    assert (pause.credential, pause.organizations) == ("main", ("org-main", "second"))
    assert [it.pause for it in status.targets] == [pause] * 5
    assert status.paused == 5
    assert [it.state for it in status.targets[1:4]] == ["failing"] * 3
    paused = next(log for log in logs if log["event"] == "polling_paused")
    assert (paused["credential"], paused["organizations"]) == ("main", "org-main, second")


def test_a_pause_that_is_renewed_lasts_since_its_beginning() -> None:
    async def limited(played: Stage) -> None:
        played.simulator.default_mood = moods.rate_limited(None)
        await played.play(200)

    status = seen(limited)
    (pause,) = status.budget.pauses
    assert pause.since == pytest.approx(BEGINNING + 1, abs=1)


def test_credentials_tell_what_of_their_requests_had_no_answer() -> None:
    async def hang(played: Stage) -> None:
        await played.play(30)
        played.simulator.default_mood = moods.slow(3600)
        await played.play(90)

    credentials: dict[str, dict[str, object]] = {"main": {}, "other": {}}
    options = {"credentials": credentials, "credential_of": lambda n: "main" if n else "other"}
    main_key, other_key = seen(playing(30), **options).credentials
    assert (main_key.credential, main_key.organizations) == ("main", ("org-main",))
    assert (main_key.unanswered, main_key.since, main_key.cause) == (0, None, None)
    assert not main_key.is_silent
    main_key, other_key = seen(hang, **options).credentials
    assert main_key.is_silent
    assert main_key.unanswered >= 2
    assert main_key.since == pytest.approx(BEGINNING + 61, abs=2)
    assert main_key.cause == Cause("transport/timeout", "no complete answer within 10 s")
    assert (other_key.credential, other_key.is_key_shared) == ("other", False)


def test_the_budget_has_its_limit_its_use_and_the_last_minutes() -> None:
    status = seen(playing(130), api={"rate_limit": {"requests": 30, "window": "30s", "share": 0.5}})
    budget = status.budget
    assert (budget.requests, budget.window) == (15, 30.0)
    assert budget.demand == pytest.approx(3 / 60 + 1 / 86400)
    assert budget.rate == pytest.approx(14 / 30)
    assert budget.demand_ratio == pytest.approx(budget.demand / budget.rate)
    assert (budget.stretch, budget.pauses, budget.keys) == ({}, (), ())
    assert len(budget.history) == 26
    assert budget.history[0][0] == BEGINNING
    assert max(used for _, used in budget.history) == 5
    # Two of the three vaults had their turn within the last window, and the third has it at 130.7 s.
    assert budget.used == budget.history[-1][1] == 2


def test_a_budget_that_is_too_small_has_the_stretch_of_intervals() -> None:
    status = seen(
        playing(1), vaults=30, api={"rate_limit": {"requests": 11, "window": "60s", "share": 1}}
    )
    assert status.budget.demand_ratio == pytest.approx(3, abs=0.01)
    assert status.budget.stretch == {"main": pytest.approx(3, abs=0.01)}
    assert target(status, "v3").interval == pytest.approx(180, abs=0.5)


def test_a_credentials_own_limit_has_its_use() -> None:
    own = {"rate_limit": {"requests": 10, "window": "20s", "share": 1}}
    status = seen(playing(1), credentials={"main": own})
    assert status.budget.keys == (KeyBudget("main", 10, 20.0, status.budget.keys[0].used),)
    assert 0 < status.budget.keys[0].used <= 10


@pytest.mark.parametrize("file", ["error", "web_error"])
def test_the_process_has_its_start_and_the_result_of_the_last_load(
    file: str,
) -> None:
    async def reloaded(played: Stage) -> None:
        await played.play(40)
        setattr(played.exporter.loading, file, "organizations: required")

    told = seen(reloaded).exporter
    assert told.started_at == BEGINNING
    assert (told.loaded_at, told.load_error) == (BEGINNING, "organizations: required")
    assert (told.is_ready, told.trouble) == (True, None)


def test_a_stuck_poller_is_reported() -> None:
    async def stopped(played: Stage) -> None:
        await played.play(40)
        await played.stop()
        await asyncio.sleep(60)

    trouble = seen(stopped).exporter.trouble
    assert trouble is not None
    assert trouble.startswith("the polling loop has been stuck")


def test_a_clock_that_was_set_moves_every_moment_with_it() -> None:
    """Plans by the monotonic clock are shown by the current wall clock."""

    async def main() -> Status:
        ahead = [0.0]
        played = stage(
            clocks={"wall": lambda: BEGINNING + asyncio.get_running_loop().time() + ahead[0]}
        )
        await played.play(10)
        # A larger step would make targets due.
        ahead[0] = 30.0
        status = played.exporter.look()()
        await played.stop()
        return status

    status = run(main())
    next_poll = target(status, "v0").next_poll
    assert next_poll is not None
    assert next_poll - status.at == pytest.approx(50, abs=1)
    assert status.at - status.exporter.started_at == pytest.approx(10)


def test_balances_say_how_many_series_they_are() -> None:
    store = make_store(HOT)
    put(store, HOT, vault_answer(row("BTC"), row("ETH")))
    known = store[HOT]
    assert told(HOT, balances=known.balances).series == store.series == 8
    assert told(HOT).series == 0
