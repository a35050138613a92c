"""The whole way from schedule to exposition, in virtual time, against the simulator."""

import asyncio
import contextlib
import gc
import json
import math
import random
from collections.abc import Callable
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace
from starlette.responses import Response
from structlog.testing import capture_logs
from structlog.typing import EventDict

from exporter.polling.pause import Cause
from exporter.polling.poller import Poller
from exporter.simulator import moods
from exporter.simulator.guard import Refusal
from exporter.simulator.revisions import R4
from exporter.strict_yaml import files
from tests.polling.world import API_KEY, Stage, now, run, stage

WHOLE = {"rate_limit": {"share": 1}}


def play(made: Callable[[], Stage], seconds: float) -> Stage:
    """Let a stage play for some time and return it."""

    async def main() -> Stage:
        played = made()
        await played.play(seconds)
        await played.stop()
        return played

    return run(main())


def _events(logs: list[EventDict]) -> list[str]:
    """Return the names of the events at the default level."""
    return [entry["event"] for entry in logs if entry["log_level"] != "debug"]


def test_every_target_is_polled_at_its_interval() -> None:
    played = play(stage, 300)
    for vault in ("v0", "v1", "v2"):
        times = played.times(vault)
        assert len(times) == 5
        assert all(
            later - earlier == pytest.approx(60, abs=0.5) for earlier, later in pairwise(times)
        )
        assert played.state(vault).refresh_interval == pytest.approx(60, abs=0.5)
        assert played.state(vault).failure is None


@pytest.mark.no_cover
def test_too_many_vaults_use_the_budget_of_a_strict_server_and_never_exceed_it() -> None:
    """Like the benchmark `budget`, in virtual time: 60 requests in 6 s, arrival up to 150 ms late."""
    chance = random.Random(7)
    played = play(
        lambda: stage(
            vaults=120,
            assets=1,
            limit=(60, 6.0),
            jitter=lambda: chance.uniform(0, 0.15),
            api={"rate_limit": {"requests": 60, "window": "6s", "share": 1}},
            polling={"interval": "10s"},
        ),
        36,
    )
    guard = played.simulator.guard
    assert guard.largest_window <= 60
    assert guard.arrivals >= 0.93 * 60 * 36 / 6
    assert not guard.refusals
    assert guard.largest_in_flight == {API_KEY: 1}
    polls = [len(played.times(f"v{number}")) for number in range(120)]
    assert max(polls) - min(polls) <= 1


def test_a_failing_server_is_tried_three_times_and_changes_no_balance() -> None:
    async def main() -> None:
        played = stage()
        await played.play(30)
        before = played.state("v1")
        played.simulator.moods[played.vault_id("v1")] = moods.problem(503, "gateway/Connect", {})
        with capture_logs() as logs:
            await played.play(60)
        await played.stop()
        after = played.state("v1")
        assert after.balances is before.balances
        assert after.last_success == before.last_success
        assert after.failure is not None
        assert (after.failure.type, after.failure.status) == ("gateway/Connect", 503)
        first, second, third = played.times("v1")[1:]
        # One second and two, varied by up to a half at random, but not here.
        assert second - first == pytest.approx(1.0, abs=0.3)
        assert third - second == pytest.approx(2.0, abs=0.3)
        errors = {"endpoint": "vault_asset_balances", "status": "503", "type": "gateway/Connect"}
        assert played.counted("kraken_custody_api_errors_total", **errors) == 3
        assert _events(logs) == ["target_failing"]
        assert all(played.state(vault).failure is None for vault in ("v0", "v2"))

    run(main())


def test_a_retry_that_waits_lets_the_others_of_its_key_go() -> None:
    async def main() -> None:
        played = stage(vaults=8)
        played.simulator.moods[played.vault_id("v0")] = moods.problem(500, "gateway/Fatal")
        await played.play(8)
        await played.stop()
        first, last = played.times("v0")[0], played.times("v0")[-1]
        between = [path for moment, path in played.wire.sent if first < moment < last]
        assert played.path("v1") in between
        assert played.path("v3") in between

    run(main())


def test_a_failing_target_logs_once_when_it_fails_and_once_when_it_is_back() -> None:
    async def main() -> None:
        played = stage(polling={"stale_after": "1h"})
        await played.play(30)
        played.simulator.moods[played.vault_id("v1")] = moods.problem(503, "gateway/Connect", {})
        with capture_logs() as logs:
            await played.play(240)
            played.simulator.moods.clear()
            await played.play(60)
        await played.stop()
        assert _events(logs) == ["target_failing", "target_recovered"]
        assert logs[-1]["failed_polls"] == 4

    run(main())


def test_balances_are_withdrawn_one_tick_after_they_are_too_old() -> None:
    async def main() -> None:
        played = stage(polling={"stale_after": "100s"})
        await played.play(10)
        balances = played.state("v1").balances
        assert balances is not None
        played.simulator.moods[played.vault_id("v1")] = moods.html(502)
        await played.play(played.state("v1").read_at + 100 - now())
        assert played.state("v1").balances is balances
        await played.play(1.5)
        await played.stop()
        assert played.state("v1").balances is None
        assert played.state("v1").is_stale
        assert played.state("v1").last_success is not None
        assert played.state("v0").balances is not None

    run(main())


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("mood", "waits"),
    [
        (moods.problem(403, "PermissionDenied", {"message": "no"}), [120, 240, 480, 900, 900]),
        (moods.problem(404, "NotFound"), [120, 240, 480, 900, 900]),
        (moods.body(b"[", "application/json"), [60, 60, 60, 60, 60]),
        (moods.html(200), [60, 60, 60, 60, 60]),
    ],
    ids=["permission denied", "not found", "truncated", "html with status 200"],
)
def test_errors_that_no_retry_can_fix_are_not_retried(mood: moods.Mood, waits: list[float]) -> None:
    async def main() -> None:
        played = stage()
        played.simulator.moods[played.vault_id("v1")] = mood
        await played.play(sum(waits) + 30)
        await played.stop()
        times = played.times("v1")
        assert [later - earlier for earlier, later in pairwise(times)] == [
            pytest.approx(wait, abs=0.7) for wait in waits
        ]
        assert len(played.times("v0")) == pytest.approx((sum(waits) + 30) / 60, abs=1)

    run(main())


def test_an_invalid_nonce_is_tried_once_more_at_once_with_a_new_one() -> None:
    async def main() -> None:
        played = stage()
        await played.play(30)
        mood = moods.times(1, moods.legacy("EAPI:Invalid nonce"))
        played.simulator.moods[played.vault_id("v1")] = mood
        await played.play(60)
        await played.stop()
        _, refused, repeated = played.times("v1")
        assert repeated - refused < 1
        assert played.state("v1").failure is None
        errors = {"endpoint": "vault_asset_balances", "status": "200", "type": "EAPI:Invalid nonce"}
        assert played.counted("kraken_custody_api_errors_total", **errors) == 1
        assert not played.simulator.guard.refusals

    run(main())


def test_parameters_that_the_api_refuses_are_left_out_for_good() -> None:
    async def main() -> None:
        played = stage()
        played.simulator.revision = R4
        await played.play(150)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))
        # Three polls each; only the first of all had to be asked twice.
        assert [len(played.times(vault)) for vault in ("v0", "v1", "v2")] == [4, 3, 3]

    run(main())


def two_credentials() -> Stage:
    return stage(
        vaults=4,
        credentials={"main": {}, "other": {}},
        credential_of=lambda number: "main" if number < 2 else "other",
    )


def test_a_refused_key_pauses_its_own_targets_for_a_minute_and_longer_and_no_others() -> None:
    async def main() -> None:
        played = two_credentials()
        await played.play(10)
        for vault in ("v0", "v1"):
            played.simulator.moods[played.vault_id(vault)] = moods.problem(401, "InvalidKey")
        with capture_logs() as logs:
            await played.play(600)
        await played.stop()
        sent = sorted(played.times("v0")[1:] + played.times("v1")[1:])
        waits = [later - earlier for earlier, later in pairwise(sent)]
        assert waits == [pytest.approx(wait, abs=0.7) for wait in (60, 120, 240)]
        assert len(played.times("v2")) == 11
        pauses = [entry for entry in logs if entry["event"] == "polling_paused"]
        assert [entry["seconds"] for entry in pauses] == [60, 120, 240, 480]
        assert {entry["credential"] for entry in pauses} == {"main"}
        # The renewal of a pause is not a change.
        assert [entry["log_level"] for entry in pauses] == ["warning", "debug", "debug", "debug"]
        assert [entry["since_seconds"] for entry in pauses] == [
            pytest.approx(since, abs=3) for since in (0, 60, 180, 420)
        ]

    run(main())


def test_after_a_pause_the_secret_files_are_read_again(tmp_path: Path) -> None:
    async def main() -> None:
        file = tmp_path / "key"
        file.write_text("revoked\n")
        played = stage(credentials={"main": {"api_key_file": "key"}}, directory=tmp_path)
        with capture_logs() as logs:
            await played.play(5)
            assert played.simulator.guard.refusals == {Refusal.INVALID_KEY: 1}
            file.write_text(f"{API_KEY}\n")
            await played.play(70)
        await played.stop()
        assert played.simulator.guard.refusals == {Refusal.INVALID_KEY: 1}
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))
        events = _events(logs)
        assert events.index("secrets_changed") < events.index("polling_resumed")

    run(main())


def test_secret_files_that_became_unusable_leave_the_old_secrets_in_use(tmp_path: Path) -> None:
    async def main() -> None:
        file = tmp_path / "key"
        file.write_text(f"{API_KEY}\n")
        played = stage(credentials={"main": {"api_key_file": "key"}}, directory=tmp_path)
        played.simulator.default_mood = moods.times(1, moods.problem(401, "InvalidKey"))
        file.unlink()
        with capture_logs() as logs:
            await played.play(75)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))
        # At the refusal and before the next try they are the same.
        assert _events(logs).count("secrets_unusable") == 1

    run(main())


def test_a_secret_file_that_does_not_answer_is_named_and_the_old_secrets_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        file = tmp_path / "key"
        file.write_text(f"{API_KEY}\n")
        played = stage(credentials={"main": {"api_key_file": "key"}}, directory=tmp_path)
        played.simulator.default_mood = moods.times(1, moods.problem(401, "InvalidKey"))
        monkeypatch.setattr(files, "ANSWER_SECONDS", 0.0)
        monkeypatch.setattr(files, "begin", lambda _: Future())
        with capture_logs() as logs:
            await played.play(75)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))
        told = [entry["problem"] for entry in logs if entry["event"] == "secrets_unusable"]
        assert set(told) == {f"{file}: did not answer within 0 s: check its file system"}

    run(main())


def test_a_rate_limit_pauses_everything_then_one_tries_before_the_others_go() -> None:
    async def main() -> None:
        played = two_credentials()
        played.simulator.default_mood = moods.times(2, moods.rate_limited(20))
        with capture_logs() as logs:
            await played.play(100)
        await played.stop()
        times = [moment for moment, _ in played.wire.sent]
        assert times[1] - times[0] == pytest.approx(20, abs=0.7)
        # The second time it is a minimum; our own pause doubles.
        assert times[2] - times[1] == pytest.approx(60, abs=0.7)
        assert times[3] - times[2] < 1
        events = [event for event in _events(logs) if event.startswith("polling_")]
        assert events == ["polling_paused", "polling_resumed"]

    run(main())


def test_without_retry_after_a_rate_limit_pauses_for_one_window_and_doubles() -> None:
    async def main() -> None:
        played = stage()
        played.simulator.default_mood = moods.legacy("EAPI:Rate limit exceeded")
        await played.play(700)
        await played.stop()
        times = [moment for moment, _ in played.wire.sent]
        assert [later - earlier for earlier, later in pairwise(times)] == [
            pytest.approx(wait, abs=0.7) for wait in (30, 60, 120, 240)
        ]

    run(main())


@pytest.mark.no_cover
def test_a_key_keeps_to_its_own_limit_and_leaves_the_others_theirs() -> None:
    async def main() -> None:
        played = stage(
            vaults=40,
            api=WHOLE,
            credentials={
                "main": {"rate_limit": {"requests": 10, "window": "10s", "share": 1}},
                "other": {},
            },
            credential_of=lambda number: "main" if number < 20 else "other",
            polling={"interval": "10s"},
        )
        await played.play(100)
        await played.stop()
        limited = sorted(moment for number in range(20) for moment in played.times(f"v{number}"))
        assert all(
            later - earlier > 10 for earlier, later in zip(limited, limited[10:], strict=False)
        )
        assert len(played.times("v0")) == pytest.approx(100 * 0.9 / 20, abs=1)
        assert len(played.times("v30")) == pytest.approx(100 / 10, abs=1)

    run(main())


def test_a_key_with_a_nonce_window_has_as_many_requests_in_flight_as_configured() -> None:
    played = play(
        lambda: stage(
            vaults=20, jitter=lambda: 2.0, credentials={"main": {"max_in_flight": 3}}, api=WHOLE
        ),
        30,
    )
    assert played.simulator.guard.largest_in_flight == {API_KEY: 3}


@pytest.mark.no_cover
def test_time_spent_waiting_for_the_budget_is_counted_and_other_time_is_not() -> None:
    def waited(played: Stage) -> float:
        value = played.counted("kraken_custody_rate_limit_wait_seconds_total")
        assert value is not None
        return value

    idle = play(lambda: stage(vaults=1, polling={"interval": "1h"}), 100)
    # The pace's first places stay empty, and the second target waits one gap.
    assert waited(idle) == pytest.approx(3 * 30 / 99, abs=0.1)
    busy = play(lambda: stage(vaults=40, polling={"interval": "1s"}), 100)
    assert waited(busy) == pytest.approx(100, abs=5)


def test_no_answer_holds_its_slot_for_longer_and_a_refused_connection_for_no_time() -> None:
    async def main() -> None:
        played = stage(vaults=2, polling={"interval": "1h"})
        played.wire.broken[played.path("v0")] = httpx.ReadTimeout("")
        await played.play(20)
        used = played.counted("kraken_custody_rate_limit_used_requests")
        assert used == 1 + 1 + 3 + 1
        await played.play(30)
        assert played.counted("kraken_custody_rate_limit_used_requests") == 0
        await played.stop()

    run(main())


def test_a_request_past_its_deadline_is_given_up_and_its_client_replaced() -> None:
    async def main() -> None:
        played = stage(api={"timeout": "5s"})
        played.simulator.moods[played.vault_id("v0")] = moods.slow(3600)
        await played.play(30)
        await played.stop()
        failure = played.state("v0").failure
        assert failure is not None
        assert failure.type == "transport/timeout"
        assert len(played.times("v0")) == 3
        assert played.state("v1").failure is None

    run(main())


def test_a_defect_in_one_answer_costs_that_poll_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defective(*_args: object, **_facts: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        played = stage()
        monkeypatch.setattr(played.exporter.parts.results, "exposed", defective)
        with capture_logs() as logs:
            await played.play(10)
            monkeypatch.undo()
            await played.play(60)
        await played.stop()
        assert "request_crashed" in _events(logs)
        assert played.state("v0").failure is None
        # Those of the second round; those of the first one and of the predecessor were given back.
        assert played.counted("kraken_custody_rate_limit_used_requests") == 3

    run(main())


def test_the_loop_continues_after_its_own_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        played = stage()

        def defective(*_args: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(played.exporter.parts.schedule, "next", defective)
        with capture_logs() as logs:
            await played.play(5)
            monkeypatch.undo()
            await played.play(10)
        await played.stop()
        assert set(_events(logs)) >= {"poller_crashed", "target_up"}
        assert played.state("v2").failure is None

    run(main())


def test_a_process_that_may_not_send_waits_until_it_may_and_nothing_of_it_fails() -> None:
    async def main() -> None:
        played = stage()
        active = asyncio.Event()
        poller = Poller(replace(played.exporter.parts, may_send=active.is_set))
        polling = asyncio.create_task(poller.run())
        with capture_logs() as logs:
            await asyncio.sleep(100)
        assert logs == []
        assert played.wire.sent == []
        assert poller.trouble() is None
        active.set()
        poller.reconsider()
        await asyncio.sleep(0.5)
        assert len(played.wire.sent) > 0
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)

    run(main())


def test_the_poller_says_what_keeps_it_from_making_progress() -> None:
    async def main() -> None:
        played = stage(vaults=1)
        assert played.exporter.poller.trouble() == "polling has not begun"
        await played.play(5)
        assert played.exporter.poller.trouble() is None
        await played.stop()
        await asyncio.sleep(30.5)
        assert played.exporter.poller.trouble() == "the polling loop has been stuck for 31 s"

    run(main())


def test_the_poller_says_which_request_does_not_end_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stubborn(_request: httpx.Request) -> httpx.Response:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)
        raise AssertionError("the stage is stopped before")

    async def main() -> None:
        played = stage(vaults=1, api={"timeout": "10s"})
        monkeypatch.setattr(played.wire, "handle_async_request", stubborn)
        await played.play(39)
        assert played.exporter.poller.trouble() is None
        await played.play(5)
        said = played.exporter.poller.trouble()
        assert said is not None
        assert said.startswith("a request is still in progress 3")
        assert said.endswith(" s after its deadline")
        await played.stop()

    run(main())


def test_the_poller_says_that_a_pause_waits_for_a_request_only_if_none_is_in_flight() -> None:
    async def main() -> None:
        played = stage(vaults=1)
        await played.play(10)
        pause = played.exporter.parts.pause_of_all
        pause.begin(Cause("http/429", "", 429), now(), now(), 5.0)
        played.simulator.default_mood = moods.slow(5)
        await played.play(51)
        assert pause.ends_at() == math.inf
        assert played.exporter.poller.trouble() is None
        played.simulator.default_mood = moods.calm
        await played.play(10)
        pause.begin(Cause("http/429", "", 429), now(), now(), 5.0)
        await played.play(6)
        pause.request_sent()
        trouble = played.exporter.poller.trouble()
        assert trouble == "a pause waits for a request that is never sent"
        await played.stop()

    run(main())


@pytest.mark.no_cover
def test_the_poller_is_well_while_the_api_is_not() -> None:
    async def main() -> None:
        played = stage()
        played.simulator.default_mood = moods.html(502)
        await played.play(3600)
        assert played.exporter.poller.trouble() is None
        await played.stop()

    run(main())


def test_once_polls_every_target_once_and_no_more() -> None:
    async def main() -> None:
        played = stage(vaults=5, polling={"interval": "1s"})
        progress: list[tuple[int, int]] = []
        await played.exporter.poller.run_once(lambda *told: progress.append(told))
        assert len(played.wire.sent) == 6
        assert progress[-1] == (6, 6)
        assert progress == sorted(progress)
        assert all(state.polls == 1 for state in played.exporter.store.states())

    run(main())


def test_once_retries_but_does_not_wait_for_a_pause_to_end() -> None:
    async def main() -> None:
        played = stage(vaults=5)
        played.simulator.moods[played.vault_id("v1")] = moods.times(2, moods.html(502))
        played.simulator.moods[played.vault_id("v3")] = moods.problem(401, "InvalidKey")
        await played.exporter.poller.run_once(lambda _polled, _targets: None)
        assert now() < 30
        assert played.state("v2").is_up
        for vault, polls in (("v1", 0), ("v3", 1), ("v4", 0)):
            failure = played.state(vault).failure
            assert failure is not None
            assert (failure.type, played.state(vault).polls) == ("InvalidKey", polls)

    run(main())


def test_stopping_ends_requests_in_flight_and_gives_every_slot_back() -> None:
    async def main() -> None:
        played = stage(jitter=lambda: 3600.0, api={"timeout": "2h"})
        await played.play(5)
        assert len(played.wire.sent) == 1
        await played.stop()
        await asyncio.sleep(60)
        assert played.counted("kraken_custody_rate_limit_used_requests") == 0
        assert len(played.wire.sent) == 1

    run(main())


def test_rows_that_were_rejected_are_logged_once_with_their_field() -> None:
    async def main() -> None:
        played = stage()
        body = b'[{"asset": "BTC", "asset_class": "currency", "balance": "x"}, 5]'
        played.simulator.moods[played.vault_id("v1")] = moods.body(body, "application/json")
        with capture_logs() as logs:
            await played.play(200)
        await played.stop()
        rejected = [entry for entry in logs if entry["event"] == "row_rejected"]
        assert [(entry["row"], entry["field"], entry["problem"]) for entry in rejected] == [
            (0, "balance", "is not a finite decimal"),
            (1, "", "is not an object"),
        ]
        state = played.state("v1")
        assert (state.rows, state.invalid_rows) == (2, 2)

    run(main())


def test_fields_that_cannot_be_read_are_logged_once_and_their_rows_count() -> None:
    async def main() -> None:
        played = stage()
        some = {
            "asset_class": "currency",
            "balance": "1",
            "spot": "1",
            "hold": "0",
            "available": "1",
        }
        rows = [
            {**some, "asset": "BTC"},
            {**some, "asset": "ETH", "staked": "x"},
            {**some, "asset": "SOL", "staked": "y", "decimals": -1},
        ]
        body = json.dumps(rows).encode()
        played.simulator.moods[played.vault_id("v1")] = moods.body(body, "application/json")
        total = b'{"balance": {"total": "1", "staked": "?"}}'
        organization = played.exporter.plan.targets[0]
        played.simulator.moods[organization.id] = moods.body(total, "application/json")
        with capture_logs() as logs:
            await played.play(200)
        await played.stop()
        rejected = [entry for entry in logs if entry["event"] == "field_rejected"]
        names = {
            "event": "field_rejected",
            "log_level": "warning",
            "org": organization.organization,
        }
        vault, staked = {**names, "kind": "vault", "vault": "v1"}, "is not a finite decimal"
        places = "is not a whole number below 1000"
        expected = [
            {**names, "kind": "organization", "field": "staked", "problem": staked},
            {**vault, "field": "staked", "problem": staked, "rows": 2, "first_row": 1},
            {**vault, "field": "decimals", "problem": places, "rows": 1, "first_row": 2},
        ]
        assert sorted(rejected, key=str) == sorted(expected, key=str)
        state = played.state("v1")
        assert (state.rows, state.invalid_rows, state.invalid_fields) == (3, 0, 3)

    run(main())


def test_if_everything_hangs_no_target_yields_to_others() -> None:
    async def main() -> None:
        played = stage(vaults=3)
        for vault in ("v0", "v1", "v2"):
            played.simulator.moods[played.vault_id(vault)] = moods.slow(3600)
        organization = played.exporter.plan.targets[0].id
        played.simulator.moods[organization] = moods.slow(3600)
        await played.play(400)
        played.simulator.moods.clear()
        await played.play(70)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


def test_what_a_pause_made_fail_is_tried_when_the_pause_ends_however_long_its_interval() -> None:
    async def main() -> None:
        played = stage(vaults=1, polling={"interval": "1d"})
        played.simulator.moods[played.vault_id("v0")] = moods.times(
            1, moods.problem(401, "InvalidKey")
        )
        await played.play(62)
        await played.stop()
        assert played.state("v0").failure is None
        assert len(played.times("v0")) == 2

    run(main())


def test_a_defect_in_the_trial_request_does_not_keep_the_pause_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defective(*_args: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        played = stage()
        played.simulator.default_mood = moods.times(1, moods.rate_limited(20))
        await played.play(5)
        monkeypatch.setattr(played.exporter.parts.credentials["main"].client, "_ask", defective)
        await played.play(20)
        monkeypatch.undo()
        errors = {"endpoint": "vault_asset_balances", "status": "", "type": "internal"}
        assert played.counted("kraken_custody_api_errors_total", **errors)
        await played.play(70)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


@pytest.mark.no_cover
def test_a_target_that_failed_quickly_does_not_wait_behind_those_that_hang() -> None:
    async def main() -> None:
        played = stage(vaults=30)
        for number in range(0, 30, 3):
            played.simulator.moods[played.vault_id(f"v{number}")] = moods.slow(3600)
        await played.play(600)
        played.simulator.moods[played.vault_id("v20")] = moods.times(3, moods.html(502))
        await played.play(130)
        assert played.state("v20").polls >= 11
        await played.play(60)
        await played.stop()
        assert played.state("v20").failure is None
        assert not played.state("v20").is_stale

    run(main())


@pytest.mark.no_cover
def test_after_an_outage_those_that_answer_are_back_soon_though_others_still_hang() -> None:
    async def main() -> None:
        played = stage(vaults=30)
        await played.play(60)
        played.simulator.default_mood = moods.slow(3600)
        await played.play(300)
        played.simulator.default_mood = moods.calm
        for number in range(0, 30, 3):
            played.simulator.moods[played.vault_id(f"v{number}")] = moods.slow(3600)
        await played.play(400)
        await played.stop()
        back = [f"v{number}" for number in range(30) if number % 3]
        assert all(played.state(vault).failure is None for vault in back)

    run(main())


def test_intervals_are_kept_during_a_pause_in_which_nothing_is_answered() -> None:
    async def main() -> None:
        played = stage()
        played.simulator.default_mood = moods.times(1, moods.rate_limited(5))
        await played.play(3)
        for vault in ("v0", "v1", "v2"):
            played.wire.broken[played.path(vault)] = httpx.ConnectError("refused")
        await played.play(600)
        await played.stop()
        # Ten polls of three tries each; the pause may have brought one more.
        assert all(len(played.times(vault)) <= 33 for vault in ("v0", "v1", "v2"))

    run(main())


BLOCKED = moods.body(b"<html><title>Just a moment...</title>", "text/html", 403)


def test_a_target_that_a_gateway_blocks_is_polled_half_as_often_and_no_less() -> None:
    async def main() -> None:
        played = stage()
        played.simulator.moods[played.vault_id("v1")] = BLOCKED
        with capture_logs() as logs:
            await played.play(500)
        await played.stop()
        waits = [later - earlier for earlier, later in pairwise(played.times("v1"))]
        assert waits == [pytest.approx(120, abs=0.7)] * 4
        assert len(played.times("v0")) == 9
        assert "polling_paused" not in _events(logs)
        failure = played.state("v1").failure
        assert failure is not None
        assert (failure.type, failure.status) == ("http/blocked", 403)
        assert failure.message == "Just a moment..."

    run(main())


def test_two_targets_that_a_gateway_blocks_in_a_row_pause_everything() -> None:
    async def main() -> None:
        played = two_credentials()
        await played.play(30)
        sent = len(played.wire.sent)
        for vault in ("v0", "v1", "v2", "v3"):
            played.simulator.moods[played.vault_id(vault)] = BLOCKED
        with capture_logs() as logs:
            await played.play(185)
        times = [moment for moment, _ in played.wire.sent[sent:]]
        # Two are blocked, then one is tried after one window and after two.
        assert [later - earlier for earlier, later in pairwise(times)][1:] == [
            pytest.approx(30, abs=0.7),
            pytest.approx(60, abs=0.7),
        ]
        (pause,) = [entry for entry in logs if entry["event"] == "polling_paused"][:1]
        assert (pause["credential"], pause["type"]) == ("all", "http/blocked")
        assert _events(logs).count("polling_paused") == 1
        played.simulator.moods.clear()
        await played.play(300)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2", "v3"))

    run(main())


def test_an_answer_of_the_api_between_two_blocked_requests_keeps_polling_going() -> None:
    async def main() -> None:
        played = stage(vaults=4)
        for vault in ("v0", "v2"):
            played.simulator.moods[played.vault_id(vault)] = BLOCKED
        with capture_logs() as logs:
            await played.play(100)
        await played.stop()
        assert "polling_paused" not in _events(logs)

    run(main())


@pytest.mark.parametrize(
    ("mood", "refusal"),
    [
        (moods.problem(401, "InvalidKey"), "InvalidKey"),
        (moods.problem(403, "PermissionDenied"), "PermissionDenied"),
        (moods.legacy("EAPI:Invalid key"), "EAPI:Invalid key"),
    ],
    ids=["401", "403", "the legacy envelope"],
)
def test_a_rotated_key_that_lies_there_already_is_used_at_once(
    mood: moods.Mood, refusal: str, tmp_path: Path
) -> None:
    """The refusal arrives after the file has changed, or is how the exporter learns of the change."""

    async def main() -> None:
        file = tmp_path / "key"
        file.write_text("the-old-key\n")
        played = stage(credentials={"main": {"api_key_file": "key"}}, directory=tmp_path)
        played.simulator.guard.secrets["the-old-key"] = played.simulator.guard.secrets[API_KEY]
        await played.play(30)
        file.write_text(f"{API_KEY}\n")
        played.simulator.default_mood = moods.times(1, mood)
        with capture_logs() as logs:
            await played.play(60)
        await played.stop()
        assert _events(logs) == ["secrets_changed"]
        refused = [entry for entry in logs if entry["event"] == "request_failed"]
        assert [entry["type"] for entry in refused] == [refusal]
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


def test_targets_refused_with_the_old_key_are_tried_at_once_with_the_new_one(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        file = tmp_path / "key"
        file.write_text("the-old-key\n")
        played = stage(credentials={"main": {"api_key_file": "key"}}, directory=tmp_path)
        played.simulator.guard.secrets["the-old-key"] = played.simulator.guard.secrets[API_KEY]
        denied = moods.problem(403, "PermissionDenied")
        for vault in ("v0", "v1"):
            played.simulator.moods[played.vault_id(vault)] = denied
        await played.play(300)
        file.write_text(f"{API_KEY}\n")
        played.simulator.moods[played.vault_id("v0")] = moods.times(1, denied)
        played.simulator.moods.pop(played.vault_id("v1"))
        await played.exporter.poll_now([played.vault_id("v0")])
        await played.play(5)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


def test_a_lockout_pauses_its_key_for_a_quarter_of_an_hour_at_once() -> None:
    async def main() -> None:
        played = two_credentials()
        await played.play(30)
        lockout = moods.legacy("EGeneral:Temporary lockout")
        for vault in ("v0", "v1"):
            played.simulator.moods[played.vault_id(vault)] = lockout
        await played.play(1800)
        await played.stop()
        locked = sorted(played.times("v0")[1:] + played.times("v1")[1:])
        assert [later - earlier for earlier, later in pairwise(locked)] == [
            pytest.approx(900, abs=0.7)
        ]
        assert len(played.times("v2")) > 25

    run(main())


def test_after_a_5xx_retry_after_is_obeyed_once_and_then_the_interval() -> None:
    async def main() -> None:
        played = stage(limit=(2000, 30.0))
        unwell = Response("", 503, headers={"retry-after": "5"})
        played.simulator.moods[played.vault_id("v1")] = moods.always(unwell)
        await played.play(200)
        await played.stop()
        waits = [later - earlier for earlier, later in pairwise(played.times("v1"))]
        assert waits == [pytest.approx(wait, abs=0.7) for wait in (5, 60, 60, 60)]

    run(main())


def test_a_defect_in_what_shows_failures_costs_no_later_poll(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defective(*_args: object, **_facts: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        played = stage()
        monkeypatch.setattr(played.exporter.store, "put", defective)
        with capture_logs() as logs:
            await played.play(10)
        monkeypatch.undo()
        crashes = [entry for entry in logs if entry["event"] == "request_crashed"]
        assert crashes
        assert all(entry["exc_info"] for entry in crashes)
        await played.play(70)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


@pytest.mark.parametrize(
    "mood",
    [
        moods.rate_limited(0),
        moods.legacy("EService: Throttled: 1000000000"),
        moods.always(Response("", 429, headers={"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"})),
    ],
    ids=["Retry-After: 0", "throttled until a moment ago", "a date in the past"],
)
def test_a_retry_after_of_0_is_not_obeyed_every_second(mood: moods.Mood) -> None:
    async def main() -> None:
        played = stage()
        played.simulator.default_mood = mood
        with capture_logs() as logs:
            await played.play(700)
        await played.stop()
        times = [moment for moment, _ in played.wire.sent]
        assert [later - earlier for earlier, later in pairwise(times)] == [
            pytest.approx(wait, abs=0.7) for wait in (1, 60, 120, 240)
        ]
        assert _events(logs).count("polling_paused") == 1

    run(main())


def test_polling_leaves_nothing_to_the_garbage_collector() -> None:
    async def main() -> None:
        played = stage(polling={"interval": "10s"})
        await played.play(30)
        gc.collect()
        gc.disable()
        try:
            sent = len(played.wire.sent)
            await played.play(100)
            assert len(played.wire.sent) - sent >= 30
            assert gc.collect() == 0
        finally:
            gc.enable()
        await played.stop()

    run(main())
