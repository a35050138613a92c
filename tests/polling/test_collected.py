"""Resources that `collect` adds: each is polled, fails and becomes stale separately."""

import pytest
from starlette.requests import Request
from starlette.types import ASGIApp

from exporter.resources.target import Target
from exporter.simulator.answers import bad_request
from exporter.simulator.moods import calm, permission_denied
from exporter.simulator.portfolio import large_portfolio
from exporter.state.state import TargetState
from tests.polling.world import Stage, run, stage

PORTFOLIO = large_portfolio(2, 2)
(BULK,) = PORTFOLIO.organizations
OF_BULK = {"name": "acme", "id": BULK.id, "interval": "60s"}
TASKS = "/v0/insto/custody/tasks"


def state_of(playing: Stage, kind: str) -> TargetState:
    (state,) = (it for it in playing.exporter.store.states() if it.target.kind == kind)
    return state


def kinds(targets: tuple[Target, ...]) -> list[str]:
    return [target.kind for target in targets]


@pytest.mark.parametrize(
    ("collect", "expected"),
    [
        (["balances"], ["organization", "vault", "vault"]),
        (["pending_tasks"], ["pending_tasks"]),
        (["whitelist"], ["whitelist", "whitelist"]),
        (["balances", "pending_tasks"], ["organization", "pending_tasks", "vault", "vault"]),
    ],
)
def test_only_what_is_collected_is_polled(collect: list[str], expected: list[str]) -> None:
    vaults = [{"name": f"v{number}", "id": it.id} for number, it in enumerate(BULK.vaults)]
    own = OF_BULK | {"vaults": vaults}

    async def main() -> None:
        for_all = stage(portfolio=PORTFOLIO, organizations=[own], collect=collect)
        assert kinds(for_all.exporter.plan.targets) == expected
        for_one = stage(portfolio=PORTFOLIO, organizations=[own | {"collect": collect}])
        assert kinds(for_one.exporter.plan.targets) == expected

    run(main())


def test_found_organizations_are_collected_as_the_file_says() -> None:
    async def main() -> None:
        playing = stage(
            portfolio=PORTFOLIO, organizations=[], discovery={}, collect=("pending_tasks",)
        )
        await playing.play(100)
        await playing.stop()
        (target,) = (it for it in playing.exporter.plan.targets if it.kind == "pending_tasks")
        assert (target.id, target.organization) == (BULK.id, BULK.name)
        # The names of vaults are known, though nothing else is requested of them.
        assert set(target.vault_labels) == {it.id for it in BULK.vaults}
        assert "vault" not in kinds(playing.exporter.plan.targets)

    run(main())


def test_each_page_of_tasks_is_a_request_and_the_plan_counts_the_most_there_may_be() -> None:
    async def main() -> None:
        playing = stage(
            portfolio=PORTFOLIO, organizations=[OF_BULK], collect=("balances", "pending_tasks")
        )
        plan = playing.exporter.plan
        assert plan.demand == pytest.approx((1 + 5) / 60)
        await playing.play(70)
        await playing.stop()
        # Two days of tasks are two pages; the simulator's revision takes `org_id`.
        assert [path for _, path in playing.wire.sent].count(TASKS) == 5
        state = state_of(playing, "pending_tasks")
        assert (state.is_up, state.rows) == (True, 144)

    run(main())


@pytest.mark.no_cover
def test_a_key_that_may_not_see_tasks_fails_for_them_alone_and_what_was_read_becomes_stale() -> (
    None
):
    async def main() -> None:
        playing = stage(
            portfolio=PORTFOLIO,
            organizations=[OF_BULK],
            collect=("balances", "pending_tasks"),
            polling={"stale_after": "150s"},
        )
        await playing.play(30)
        playing.simulator.moods["tasks"] = permission_denied()
        await playing.play(60)
        state = state_of(playing, "pending_tasks")
        assert state.failure
        assert (state.failure.type, state.failure.status) == ("PermissionDenied", 403)
        assert state.balances, "the last good answer stays for a while"
        await playing.play(120)
        state = state_of(playing, "pending_tasks")
        assert (state.is_stale, state.balances) == (True, None)
        assert state_of(playing, "organization").is_up
        playing.simulator.moods["tasks"] = calm
        await playing.play(1000)
        state = state_of(playing, "pending_tasks")
        assert (state.is_up, state.is_stale) == (True, False)
        await playing.stop()

    run(main())


def test_tasks_whose_later_pages_are_refused_are_withheld_if_there_is_no_room_for_their_series() -> (
    None
):
    async def refuse_offset(request: Request) -> ASGIApp | None:
        return None if request.query_params["offset"] == "0" else bad_request("offset")

    async def main() -> None:
        playing = stage(
            portfolio=PORTFOLIO,
            organizations=[OF_BULK],
            collect=("balances", "pending_tasks"),
            polling={"max_series": 5},
        )
        playing.simulator.moods["tasks"] = refuse_offset
        await playing.play(30)
        await playing.stop()
        failure = state_of(playing, "pending_tasks").failure
        assert failure
        assert failure.type == "limit/series"
        assert state_of(playing, "organization").is_up

    run(main())


@pytest.mark.no_cover
def test_a_whitelist_is_read_once_an_hour_and_stays_until_three_were_missed() -> None:
    vault = BULK.vaults[0]
    own = OF_BULK | {"vaults": [{"name": "hot", "id": vault.id}], "collect": ["whitelist"]}
    path = f"/v0/insto/custody/vaults/{vault.id}/whitelist/addresses"

    async def main() -> None:
        playing = stage(portfolio=PORTFOLIO, organizations=[own], polling={"stale_after": "150s"})
        plan = playing.exporter.plan
        assert (plan.demand, plan.withdrawn_between_polls) == (1 / 3600, ())
        await playing.play(2 * 3600 + 60)
        assert [at for at, _ in playing.wire.sent] == pytest.approx([0, 3600, 7200], abs=1)
        assert {asked for _, asked in playing.wire.sent} == {path}
        playing.simulator.moods[f"whitelist {vault.id}"] = permission_denied()
        await playing.play(2 * 3600)
        state = state_of(playing, "whitelist")
        assert state.failure
        assert (state.failure.type, state.is_stale) == ("PermissionDenied", False)
        await playing.play(3600)
        assert state_of(playing, "whitelist").is_stale
        await playing.stop()

    run(main())
