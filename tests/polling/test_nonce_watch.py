"""What refused nonces say about other users of a key: as arithmetic, and in virtual time with another user."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from exporter.assembly import Exporter
from exporter.config import parse
from exporter.polling.nonce_watch import EPISODE_SECONDS, NonceWatch
from exporter.simulator import moods
from exporter.simulator.situations import used_with_nanoseconds
from tests.polling.world import BEGINNING, Stage, now, run, stage, world

HOUR = EPISODE_SECONDS


def told_at(refused_at: list[float]) -> list[float]:
    """Return when it is reported, for a key whose nonces were accepted at first and then refused at these times."""
    watch = NonceWatch()
    watch.accepted()
    return [moment for moment in refused_at if watch.refused(moment)]


@pytest.mark.parametrize(
    ("refused_at", "told"),
    [
        ([], []),
        ([10, 20], []),
        ([10, 20, 30], [30]),
        ([10, 10, 10], [10]),
        ([10, 20, 30, 40, 50, 60], [30]),
        ([10, 20, 9 + HOUR], [9 + HOUR]),
        ([10, 20, 10 + HOUR], []),
        ([10, 20, 10 + HOUR, 15 + HOUR], [15 + HOUR]),
        ([0, HOUR, 2 * HOUR, 3 * HOUR], []),
        # Once in an episode, however long; and again in the next one.
        ([*range(0, 20_000, 1000)], [2000]),
        ([0, 1, 2, 1 + HOUR, 2 + HOUR, 3 + HOUR], [2]),
        ([0, 1, 2, 2 + HOUR, 3 + HOUR, 4 + HOUR], [2, 4 + HOUR]),
    ],
)
def test_the_third_refusal_within_an_hour_is_reported_once_an_episode(
    refused_at: list[float], told: list[float]
) -> None:
    assert told_at(refused_at) == told


def test_refusals_before_the_first_nonce_was_accepted_say_once_that_ours_are_behind() -> None:
    watch = NonceWatch()
    assert [moment for moment in range(100) if watch.refused(moment)] == [2]
    assert not watch.has_accepted
    assert not watch.says_shared(100)


def test_refusals_before_the_first_nonce_was_accepted_do_not_say_that_the_key_is_shared() -> None:
    watch = NonceWatch()
    assert [watch.refused(moment) for moment in (97, 98, 99)] == [False, False, True]
    watch.accepted()
    assert [watch.refused(moment) for moment in (100, 101)] == [False, False]
    assert not watch.says_shared(101)
    assert watch.refused(102)
    assert watch.says_shared(102)


def test_a_key_is_reported_as_shared_until_an_hour_has_passed_without_a_refusal() -> None:
    watch = NonceWatch()
    watch.accepted()
    for moment in (10, 20, 30):
        assert not watch.says_shared(moment)
        watch.refused(moment)
    assert watch.says_shared(30)
    watch.refused(1000)
    assert watch.says_shared(999 + HOUR)
    assert not watch.says_shared(1000 + HOUR)
    watch.refused(1000 + HOUR)
    assert not watch.says_shared(1000 + HOUR)


def another(played: Stage, *, wall_ahead: float = 0.0) -> Exporter:
    """A second exporter with the same configuration, on a machine whose clock is some seconds ahead."""
    text = yaml.safe_dump(dict(played.document))
    around = world(played.wire, wall_ns=lambda: int((BEGINNING + wall_ahead + now()) * 1e9))
    return Exporter(parse(text, directory=Path(), environ=played.environ), around)


async def poll(exporter: Exporter, seconds: float) -> None:
    polling = asyncio.create_task(exporter.poller.run())
    await asyncio.sleep(seconds)
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)


def shared(events: list[Any]) -> list[Any]:
    return [event for event in events if event["event"] == "key_shared"]


@pytest.mark.no_cover
@pytest.mark.parametrize("wall_ahead", [0.0, 0.5, 86_400.0])
def test_two_exporters_with_one_key_are_reported_once(wall_ahead: float) -> None:
    async def main() -> list[Any]:
        chance = random.Random(7)  # The same on every run.
        played = stage(vaults=10, polling={"interval": "5s"}, jitter=lambda: chance.uniform(0, 0.5))
        await played.play(30)
        with capture_logs() as events:
            polling = asyncio.create_task(poll(another(played, wall_ahead=wall_ahead), 60))
            await played.play(60)
            await polling
            await played.stop()
        return shared(events)

    events = run(main())
    assert events
    # Each of the two may notice, but not twice.
    assert len(events) <= 2
    assert events[0] == {
        "event": "key_shared",
        "log_level": "warning",
        "credential": "main",
        "type": "EAPI:Invalid nonce",
        "problem": "the API has seen larger nonces from this key than this exporter has sent: another program "
        "uses it; create a key for the exporter alone",
    }


@pytest.mark.no_cover
def test_one_that_starts_with_too_small_nonces_is_not_taken_for_two() -> None:
    """It ran before with finer nonces or a clock that was ahead, which looks like another program to the API."""

    async def main() -> None:
        played = stage(credentials={"main": {"nonce": "milliseconds"}})
        used_with_nanoseconds(played.simulator)
        with capture_logs() as events:
            await played.play(7200)
            await played.stop()
        assert played.state("v0").failure
        assert shared(events) == []
        (told,) = [event for event in events if event["event"] == "nonce_behind"]
        assert told["credential"] == "main"
        assert (
            "by a clock that was ahead, in a finer unit, or by another program" in told["problem"]
        )

    run(main())


def test_a_clock_that_was_hours_ahead_before_a_restart_is_reported_soon_and_once() -> None:
    async def main() -> None:
        played = stage(vaults=3)
        ahead = another(played, wall_ahead=12 * HOUR)
        await poll(ahead, 30)
        with capture_logs() as events:
            await played.play(60)
            assert [event["event"] for event in events].count("nonce_behind") == 1
            await played.play(3000)
            await played.stop()
        assert [event["event"] for event in events].count("nonce_behind") == 1
        assert shared(events) == []

    run(main())


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("credential", "told"), [({}, 1), ({"max_in_flight": 2}, 0)], ids=["one by one", "two at once"]
)
def test_requests_that_may_overtake_each_other_prove_nothing(
    credential: Mapping[str, object], told: int
) -> None:
    async def main() -> None:
        played = stage(credentials={"main": credential})
        await played.play(30)
        played.simulator.default_mood = moods.legacy("EAPI:Invalid nonce")
        with capture_logs() as events:
            await played.play(3000)
            await played.stop()
        assert len(shared(events)) == told

    run(main())


@pytest.mark.no_cover
def test_a_gateway_that_fails_and_hangs_is_not_taken_for_another_exporter() -> None:
    async def main() -> None:
        played = stage(vaults=4, polling={"interval": "30s"}, api={"timeout": "2s"})
        await played.play(30)
        for vault, mood in {
            "v0": moods.slow(3600),
            "v1": moods.problem(500, "gateway/Connect"),
            "v2": moods.legacy("EAPI:Invalid key"),
        }.items():
            played.simulator.moods[played.vault_id(vault)] = mood
        with capture_logs() as events:
            await played.play(7200)
            await played.stop()
        assert shared(events) == []

    run(main())


def test_a_reload_continues_watching_and_another_key_is_watched_from_the_start(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        key = tmp_path / "key"
        key.write_text("key-of-the-simulator")
        played = stage(credentials={"main": {"api_key_file": str(key)}}, directory=tmp_path)
        await played.play(30)
        credential = played.exporter._credentials["main"]
        watch = credential.nonce_watch
        text = yaml.safe_dump(dict(played.document))
        await played.exporter.reload(parse(text, directory=tmp_path, environ=played.environ))
        assert credential.nonce_watch is watch
        key.write_text("another-key")
        await played.exporter.reload(parse(text, directory=tmp_path, environ=played.environ))
        assert credential.nonce_watch is not watch
        watch = credential.nonce_watch
        key.write_text("key-of-the-simulator")
        await credential.read_secrets_again()
        assert credential.nonce_watch is not watch
        await played.stop()

    run(main())
