"""Polls on demand: what is sent at once, and what an operator cannot shorten."""

from collections.abc import Iterable

import pytest
from structlog.testing import capture_logs

from exporter.polling.on_demand import OnDemand, poll_on_demand
from exporter.resources.target import AT_ONCE
from exporter.simulator import moods
from exporter.simulator.guard import Refusal
from exporter.turns import at_once
from tests.polling.world import Stage, now, run, stage


async def ask(played: Stage, *vaults: str) -> list[str]:
    """Request these vaults, or everything in trouble; return the text for the operator."""
    asked = await played.exporter.poll_now([played.vault_id(vault) for vault in vaults])
    assert asked is not None
    return list(asked.lines())


def names(vaults: Iterable[str]) -> str:
    return ", ".join(f"vault '{vault}' of organization 'org-main'" for vault in vaults)


def test_a_target_that_backs_off_is_polled_at_once_and_backs_off_further() -> None:
    async def main() -> None:
        played = stage()
        played.simulator.moods[played.vault_id("v1")] = moods.problem(403, "PermissionDenied")
        await played.play(300)
        before = len(played.times("v1"))
        asked_at = now()
        assert await ask(played, "v1") == [
            f"Will be polled as soon as the budget allows: {names(['v1'])}."
        ]
        await played.play(2)
        assert played.times("v1")[before:] == [asked_at]
        # Two refusals came before, so the third waits for 480 s.
        await played.play(900)
        assert played.times("v1")[before + 1] - asked_at == pytest.approx(480, abs=60)
        await played.stop()

    run(main())


def test_a_target_is_polled_on_demand_once_a_minute() -> None:
    async def main() -> None:
        played = stage(polling={"interval": "1h"})
        await played.play(30)
        await ask(played, "v1")
        await played.play(5)
        assert await ask(played, "v1") == [
            f"Not polled, requested less than a minute ago: {names(['v1'])}."
        ]
        await played.play(55)
        assert await ask(played, "v1") == [
            f"Will be polled as soon as the budget allows: {names(['v1'])}."
        ]
        await played.play(5)
        await played.stop()
        assert len(played.times("v1")) == 3

    run(main())


def test_without_a_target_all_that_fail_are_polled_and_no_others() -> None:
    async def main() -> None:
        played = stage()
        for vault in ("v0", "v2"):
            played.simulator.moods[played.vault_id(vault)] = moods.problem(404, "NotFound")
        await played.play(30)
        before = {vault: len(played.times(vault)) for vault in ("v0", "v1", "v2")}
        with capture_logs() as logs:
            assert await ask(played) == [
                f"Will be polled as soon as the budget allows: {names(['v0', 'v2'])}."
            ]
        assert logs == [{"event": "poll_requested", "log_level": "info", "targets": 2}]
        await played.play(3)
        await played.stop()
        after = {vault: len(played.times(vault)) - before[vault] for vault in before}
        assert after == {"v0": 1, "v1": 0, "v2": 1}

    run(main())


def test_if_nothing_fails_nothing_is_polled() -> None:
    async def main() -> None:
        played = stage()
        await played.play(30)
        with capture_logs() as logs:
            assert await ask(played) == ["Nothing is failing or paused."]
        assert not logs
        await played.stop()

    run(main())


@pytest.mark.no_cover
def test_a_requested_poll_goes_before_all_that_is_overdue() -> None:
    async def main() -> None:
        played = stage(vaults=200, polling={"interval": "10s"})
        await played.play(120)
        asked_at = now()
        await ask(played, "v150")
        await played.play(2)
        await played.stop()
        # The first may have been chosen before.
        first_two = [path for moment, path in played.wire.sent if moment >= asked_at][:2]
        assert played.path("v150") in first_two

    run(main())


def test_the_pause_of_a_refused_key_ends_for_one_request_once_a_minute() -> None:
    async def main() -> None:
        played = stage()
        await played.play(10)
        played.simulator.default_mood = moods.problem(401, "InvalidKey")
        for vault in ("v0", "v1", "v2"):
            played.simulator.moods[played.vault_id(vault)] = moods.problem(401, "InvalidKey")
        await played.play(120)
        sent = len(played.wire.sent)
        (line,) = await ask(played)
        assert line.startswith("Will be polled as soon as the budget allows: ")
        await played.play(10)
        assert len(played.wire.sent) == sent + 1
        (line,) = await ask(played, "v1")
        assert line.startswith(
            "Not polled, credential 'main' is paused and was tried less than a minute ago until"
        )
        await played.play(30)
        assert len(played.wire.sent) == sent + 1
        # It continued where it was: the next pause is longer than the one that was ended.
        assert played.exporter.parts.credentials["main"].pause.ends_at() - now() > 120
        await played.stop()

    run(main())


def test_a_key_repaired_at_the_api_works_as_soon_as_a_poll_is_requested() -> None:
    async def main() -> None:
        played = stage()
        await played.play(10)
        for vault in ("v0", "v1", "v2"):
            played.simulator.moods[played.vault_id(vault)] = moods.problem(401, "InvalidKey")
        await played.play(120)
        played.simulator.moods.clear()
        await ask(played)
        await played.play(5)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        (moods.rate_limited(600), "everything is paused until"),
        (
            moods.legacy("EGeneral:Temporary lockout"),
            "credential 'main' is locked out by the API until",
        ),
    ],
    ids=["a rate limit", "a lockout"],
)
def test_a_pause_requested_by_the_api_continues_despite_polls_on_demand(
    mood: moods.Mood, why: str
) -> None:
    async def main() -> None:
        played = stage()
        await played.play(10)
        played.simulator.default_mood = mood
        for vault in ("v0", "v1", "v2"):
            played.simulator.moods[played.vault_id(vault)] = mood
        await played.play(120)
        sent = len(played.wire.sent)
        (line,) = await ask(played)
        assert line.startswith(f"Not polled, {why}")
        assert line.endswith("UTC: 4 targets.")
        await played.play(120)
        await played.stop()
        assert len(played.wire.sent) == sent

    run(main())


def test_an_unknown_id_is_reported_and_spaces_in_a_known_one_do_not_count() -> None:
    async def main() -> None:
        played = stage()
        organization = played.exporter.plan.targets[0].id
        assert await played.exporter.poll_now(["VAAAAAAAAAAAAA"]) is None
        assert await played.exporter.poll_now([played.vault_id("v0"), "nonsense"]) is None
        for written in (organization, organization.replace(" ", "")):
            assert await played.exporter.poll_now([written]) is not None

    run(main())


def test_thousands_are_requested_some_at_a_time_and_none_that_has_left_meanwhile() -> None:
    async def main() -> None:
        parts = stage(vaults=2 * AT_ONCE).exporter.parts
        entries = parts.schedule.entries
        steps = poll_on_demand(entries, parts.credentials, parts.pause_of_all, parts.moment())
        next(steps)
        parts.schedule.change((), [entries[-1].target], now())
        assert at_once(steps).polled == [entry.target for entry in entries[:-1]]
        asked = poll_on_demand(entries, parts.credentials, parts.pause_of_all, parts.moment())
        assert len(list(asked)) == 2

    run(main())


def test_many_targets_are_named_in_a_line_that_can_be_read() -> None:
    async def main() -> None:
        played = stage(vaults=30)
        asked = await played.exporter.poll_now(
            [played.vault_id(f"v{number}") for number in range(30)]
        )
        assert asked is not None
        (line,) = asked.lines()
        assert line.endswith(" and 20 more.")

    run(main())


@pytest.mark.parametrize(
    ("asked", "is_in_vain"),
    [
        (OnDemand(), False),
        (OnDemand(paused={("it is paused", None): 1}), True),
    ],
)
def test_all_targets_being_blocked_differs_from_no_targets(
    asked: OnDemand,
    is_in_vain: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert asked.is_in_vain is is_in_vain


def test_the_refusals_of_a_key_are_not_multiplied_by_asking() -> None:
    async def main() -> None:
        played = stage(credentials={"main": {"api_key_env": "WRONG"}}, environ={"WRONG": "wrong"})
        await played.play(5)
        for _ in range(600):
            await ask(played)
            await played.play(1)
        await played.stop()
        # At most one a minute.
        assert played.simulator.guard.refusals[Refusal.INVALID_KEY] <= 12

    run(main())
