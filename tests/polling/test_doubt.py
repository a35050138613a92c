"""A target whose last answer may have been another's: polled again at once, and withdrawn if that fails."""

import asyncio
from typing import Any

from structlog.testing import capture_logs

from exporter.resources.target import Target
from exporter.simulator import moods
from tests.polling.world import Stage, now, run, stage


def doubt(played: Stage, vault: str) -> float:
    """Mark a vault as doubtful; return when."""
    played.exporter.poller.suspect(played.target(vault).key)
    return now()


def test_a_doubtful_target_is_polled_again_at_once_and_keeps_its_interval_then() -> None:
    async def main() -> None:
        played = stage()
        await played.play(30)
        began = played.times("v1")[0]
        at = doubt(played, "v1")
        await played.play(1)
        assert played.state("v1").balances
        await played.play(100)
        await played.stop()
        _, again, later, *_ = played.times("v1")
        assert again == at
        # A poll that was due long ago makes up for a tenth of its interval.
        assert 54 <= later - again <= 60
        assert again - began < 60
        assert played.counted("kraken_custody_api_errors_total") is None

    run(main())


def test_a_doubtful_target_goes_before_others_that_have_waited_longer() -> None:
    async def main() -> None:
        played = stage(
            vaults=40,
            api={"rate_limit": {"requests": 10, "window": "10s", "share": 1}},
            polling={"interval": "10s"},
        )
        await played.play(100)
        at = doubt(played, "v3")
        await played.play(15)
        await played.stop()
        after = [path for moment, path in played.wire.sent if moment > at]
        assert after[0] == played.path("v3")

    run(main())


def test_a_doubtful_target_is_withdrawn_when_the_first_request_for_it_fails() -> None:
    async def main() -> None:
        played = stage()
        await played.play(30)
        played.simulator.moods[played.vault_id("v1")] = moods.problem(503, "gateway/Connect", {})
        doubt(played, "v1")
        with capture_logs() as logs:
            await played.play(0.5)
        assert len(played.times("v1")) == 2
        state = played.state("v1")
        assert (state.balances, state.is_stale) == (None, True)
        assert played.state("v0").balances
        assert [log["vault"] for log in logs if log["event"] == "target_stale"] == ["v1"]
        played.simulator.moods.clear()
        await played.play(60)
        await played.stop()
        assert played.state("v1").balances

    run(main())


def test_a_doubtful_target_that_cannot_be_polled_is_withdrawn_after_one_timeout() -> None:
    async def main() -> None:
        played = stage(api={"timeout": "5s"})
        await played.play(30)
        played.simulator.moods[played.vault_id("v0")] = moods.rate_limited(120)
        doubt(played, "v0")
        await played.play(1)
        assert played.exporter.parts.pause_of_all.is_active
        doubt(played, "v1")
        await played.play(4)
        assert played.state("v1").balances
        await played.play(3)
        await played.stop()
        assert played.state("v1").balances is None
        assert len(played.times("v1")) == 1

    run(main())


def test_a_target_that_is_doubted_while_its_answer_is_published_is_polled_once_more() -> None:
    async def main() -> None:
        played = stage()
        await played.play(30)
        results = played.exporter.parts.results
        succeeded = results.poll_succeeded
        doubted: list[float] = []

        def published(target: Target, *answer: Any, **facts: Any) -> None:
            if target.vault == "v1" and not doubted:
                doubted.append(doubt(played, "v1"))
            succeeded(target, *answer, **facts)

        results.poll_succeeded = published  # type: ignore[method-assign]
        await played.play(90)
        await played.stop()
        again = [moment for moment in played.times("v1") if moment >= doubted[0]]
        assert again[0] == doubted[0], "at once"
        assert len(again) == 2
        assert played.state("v1").balances

    run(main())


def test_what_a_failed_poll_left_is_not_in_doubt() -> None:
    async def main() -> None:
        played = stage()
        await played.play(30)
        played.simulator.moods[played.vault_id("v1")] = moods.problem(403, "PermissionDenied", {})
        await played.play(60)
        state = played.state("v1")
        assert state.failure
        doubt(played, "v1")
        await played.play(40)
        await played.stop()
        assert played.state("v1").balances is state.balances is not None
        assert len(played.times("v1")) == 3

    run(main())


def test_a_doubtful_target_is_read_again_before_a_single_round_ends() -> None:
    async def main() -> None:
        played = stage()
        poller = played.exporter.poller

        def doubt_once(done: int, targets: int) -> None:
            if done == targets and not doubted:
                doubted.append(doubt(played, "v1"))

        doubted: list[float] = []
        await poller.run_once(doubt_once)
        assert doubted
        assert len(played.times("v1")) == 2
        await asyncio.sleep(0)

    run(main())
