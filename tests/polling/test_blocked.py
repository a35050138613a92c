"""Targets that are due and cannot be polled: each shows it once, and few at a time, however many there are."""

from msgspec.structs import replace
from structlog.testing import capture_logs

from exporter.polling.blocked import MOST_AT_ONCE, BlockedTargets
from exporter.polling.pause import Cause
from exporter.simulator import moods
from tests.polling.world import Stage, run, stage

REFUSED = Cause("EAPI:Invalid key", "Invalid key", 401)
LIMITED = Cause("EAPI:Rate limit exceeded", "Rate limit exceeded", 429)
MANY = 2 * MOST_AT_ONCE + 5
PATIENCE = 15.0


def errors(played: Stage) -> list[str]:
    return [state.failure.type for state in played.exporter.store.states() if state.failure]


def test_of_thousands_few_are_shown_at_a_time_those_first_that_were_due_first() -> None:
    async def main() -> None:
        played = stage(vaults=MANY)
        parts = played.exporter.parts
        early = parts.schedule.entries[-1]
        early.move(replace(early.place, due=-1.0))
        parts.pause_of_all.begin(LIMITED, 0.0, 0.0)
        blocked, looks = BlockedTargets(parts), []
        while blocked.show(0.0, PATIENCE):
            looks.append(len(errors(played)))
            assert played.exporter.store[early.target].failure
        assert looks == [MOST_AT_ONCE, 2 * MOST_AT_ONCE]
        assert len(errors(played)) == MANY + 1

    run(main())


def test_a_target_that_moved_is_shown_once_more_and_another_reason_to_all() -> None:
    async def main() -> None:
        played = stage()
        parts, store = played.exporter.parts, played.exporter.store
        parts.pause_of_all.begin(LIMITED, 0.0, 0.0)
        blocked = BlockedTargets(parts)
        blocked.show(0.0, PATIENCE)
        assert errors(played) == [LIMITED.type] * 4
        entry = parts.schedule.entries[1]
        store.put(replace(store[entry.target], failure=None))
        blocked.show(1.0, PATIENCE)
        assert len(errors(played)) == 3
        entry.move(entry.place.first(1.0))
        blocked.show(1.0, PATIENCE)
        assert len(errors(played)) == 4
        parts.pause_of_all.begin(REFUSED, 2.0, 2.0)
        blocked.show(2.0, PATIENCE)
        assert errors(played) == [REFUSED.type] * 4

    run(main())


def test_after_a_refused_key_all_targets_fail_at_once_each_with_one_event() -> None:
    async def main() -> None:
        played = stage(vaults=MANY)
        played.simulator.default_mood = moods.problem(401, "Unauthorized", {})
        with capture_logs() as logs:
            await played.play(2)
        await played.stop()
        assert len(errors(played)) == MANY + 1
        assert [log["event"] for log in logs].count("target_failing") == MANY + 1

    run(main())


def test_a_single_round_ends_with_all_targets_shown() -> None:
    async def main() -> None:
        played = stage(vaults=MANY)
        played.simulator.default_mood = moods.problem(401, "Unauthorized", {})
        told: list[tuple[int, int]] = []
        await played.exporter.poller.run_once(lambda *done: told.append(done))
        assert len(errors(played)) == MANY + 1
        assert told[-1] == (1, MANY + 1)

    run(main())
