"""A holder and a standby as processes, with a real Redis: what each does when something breaks.

All scenes are played at once when the first test asks for one; tests that need no real process are in
tests/coordination.
"""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.lease_scenes import (
    AN_HOUR_AHEAD,
    LIMIT,
    PASSWORD,
    Scene,
    go_on,
    scene,
    stop,
    wait,
)

Seen = dict[str, Any]


def killed(played: Scene) -> Seen:
    """Kill a holder whose clock is an hour ahead."""
    holder, standby = played.pair(prelude=AN_HOUR_AHEAD)
    before: Seen = {
        "standby": standby.exposes(),
        "ready": standby.exporter.get("/-/ready").status_code,
    }
    before["healthy"] = standby.exporter.get("/-/healthy").status_code
    before["page"] = standby.exporter.get("/").text
    before["holder"] = holder.exporter.events("lease_acquired")[0]["holder"]
    holder.exporter.process.kill()
    standby.exporter.wait_for("lease_acquired")
    wait(lambda: len(standby.exporter.events("target_up")) == 2)
    return {**before, "failing": standby.exporter.events("target_failing")}


def stopped(played: Scene) -> Seen:
    """Stop a holder for longer than its lease, and let it continue."""
    holder, standby = played.pair()
    stop(holder)
    standby.exporter.wait_for("lease_acquired")
    wait(standby.exposes)
    go_on(holder)
    wait(holder.lost)
    exposes = holder.exposes()
    wait(lambda: holder.exporter.events("lease_held"))
    return {
        "exposes": exposes,
        "active": [it.is_active() for it in (holder, standby)],
        "poll": holder.exporter.get("/-/ready").status_code,
    }


def engine_restarts(played: Scene) -> Seen:
    """Restart the engine with its data, then without; then leave it away until the lease has ended."""
    holder, standby = played.pair()
    for forgets in (False, True):
        played.redis.kill()
        if forgets:
            played.redis.forget()
        count = len(holder.exporter.events("lease_reachable"))
        wait(lambda: len(holder.exporter.events("lease_unreachable")) > count)  # noqa: B023 - called in this round
        played.redis.start()
        wait(lambda: len(holder.exporter.events("lease_reachable")) > count)  # noqa: B023 - likewise
    seen: Seen = {"lost": holder.lost(), "taken": standby.acquired()}
    played.redis.kill()
    wait(holder.lost)
    seen |= {
        "exposes": holder.exposes(),
        "healthy": [it.exporter.get("/-/healthy").status_code for it in (holder, standby)],
        "page": holder.exporter.get("/").text,
    }
    played.redis.start()
    wait(lambda: holder.acquired() + standby.acquired() == 2)
    wait(lambda: holder.exposes() + standby.exposes())
    return seen | {"active": sum(it.is_active() for it in (holder, standby))}


def holder_cut_off(played: Scene) -> Seen:
    """Cut the connection between the holder and the engine, and restore it once the standby polls."""
    holder, standby = played.pair()
    holder.engine.is_cut = True
    standby.exporter.wait_for("lease_acquired")
    wait(standby.exposes)
    seen: Seen = {"lost": holder.lost(), "exposes": holder.exposes()}
    holder.engine.is_cut = False
    wait(lambda: holder.exporter.events("lease_held"))
    return seen | {"active": [it.is_active() for it in (holder, standby)]}


def rolling_update(played: Scene) -> Seen:
    """Stop the holder as an update does, and run commands that need the lease while others hold it."""
    holder, standby = played.pair()
    once = played.command("--once")
    probe = played.command("--probe")
    status = holder.exporter.stop(signal.SIGTERM)
    standby.exporter.wait_for("lease_acquired")
    wait(standby.exposes)
    name = standby.exporter.events("lease_acquired")[0]["holder"]
    seen: Seen = {
        "status": status,
        "holder": holder.exporter.events("lease_acquired")[0]["holder"],
        "lost": holder.exporter.events("lease_lost"),
        "once": once,
        "probe": probe,
        "json": standby.exporter.get("/api/v1/targets").json()["data"]["exporter"]["lease"],
        "name": name,
    }
    standby.exporter.stop(signal.SIGTERM)
    return seen | {"alone": played.command("--once"), "check": played.command("--config.check")}


SCENES: Final[tuple[Callable[[Scene], Seen], ...]] = (
    killed,
    stopped,
    engine_restarts,
    holder_cut_off,
    rolling_update,
)


def play(of: Callable[[Scene], Seen], directory: Path) -> Seen:
    with scene(directory / of.__name__) as played:
        seen = of(played)
        guard = played.simulated.guard
        return seen | {
            "refused_nonces": played.refused_nonces,
            "largest_window": guard.largest_window,
            "largest_in_flight": max(guard.largest_in_flight.values()),
            "written": played.written(),
        }


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Seen]]]:
    directory = tmp_path_factory.mktemp("scenes")
    with ThreadPoolExecutor(len(SCENES)) as pool:
        yield {it.__name__: pool.submit(play, it, directory) for it in SCENES}


def seen_of(scenes: dict[str, Future[Seen]], of: Callable[[Scene], Seen]) -> Seen:
    return scenes[of.__name__].result()


@pytest.mark.parametrize("of", SCENES, ids=lambda of: of.__name__)
def test_the_api_sees_one_sender_at_a_time_whose_nonces_grow_within_the_limit(
    scenes: dict[str, Future[Seen]], of: Callable[[Scene], Seen]
) -> None:
    seen = seen_of(scenes, of)
    assert seen["refused_nonces"] == 0
    assert seen["largest_window"] <= LIMIT
    assert seen["largest_in_flight"] == 1


@pytest.mark.parametrize("of", SCENES, ids=lambda of: of.__name__)
def test_the_password_of_the_engine_is_written_nowhere(
    scenes: dict[str, Future[Seen]], of: Callable[[Scene], Seen]
) -> None:
    written = seen_of(scenes, of)["written"]
    assert "lease_acquired" in written
    assert PASSWORD not in written


def test_a_standby_takes_over_from_a_holder_that_was_killed(
    scenes: dict[str, Future[Seen]],
) -> None:
    seen = seen_of(scenes, killed)
    assert (seen["standby"], seen["ready"], seen["healthy"]) == (0, 200, 200)
    assert f"Standby: {seen['holder']} is active" in seen["page"]
    assert seen["failing"] == []


def test_a_stopped_holder_is_a_standby_when_it_continues(
    scenes: dict[str, Future[Seen]],
) -> None:
    seen = seen_of(scenes, stopped)
    assert (seen["exposes"], seen["active"]) == (0, [False, True])


def test_a_holder_outlives_restarts_of_the_engine_with_and_without_its_data(
    scenes: dict[str, Future[Seen]],
) -> None:
    seen = seen_of(scenes, engine_restarts)
    assert (seen["lost"], seen["taken"]) == (0, 0)


def test_without_the_engine_no_process_polls_after_the_lease_has_ended_and_one_does_when_it_is_back(
    scenes: dict[str, Future[Seen]],
) -> None:
    seen = seen_of(scenes, engine_restarts)
    assert (seen["exposes"], seen["healthy"], seen["active"]) == (0, [200, 200], 1)
    assert "cannot be read or written" in seen["page"]


def test_a_holder_that_is_cut_off_from_the_engine_has_stopped_when_its_successor_begins(
    scenes: dict[str, Future[Seen]],
) -> None:
    seen = seen_of(scenes, holder_cut_off)
    assert (seen["lost"], seen["exposes"], seen["active"]) == (1, 0, [False, True])


def test_a_clean_stop_gives_up_the_lease(scenes: dict[str, Future[Seen]]) -> None:
    seen = seen_of(scenes, rolling_update)
    assert seen["status"] == 0
    assert [(it["problem"], it["level"]) for it in seen["lost"]] == [("given up", "info")]
    lease = seen["json"]
    assert (lease["name"], lease["active"], lease["holder"]) == ("treasury", True, seen["name"])


@pytest.mark.parametrize("command", ["once", "probe"])
def test_a_command_says_who_holds_the_lease_and_ends_with_1(
    scenes: dict[str, Future[Seen]], command: str
) -> None:
    seen = seen_of(scenes, rolling_update)
    done = seen[command]
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{seen['holder']} holds the lease treasury: stop it first" in done.stderr


def test_polling_once_takes_a_free_lease_and_gives_it_up(scenes: dict[str, Future[Seen]]) -> None:
    seen = seen_of(scenes, rolling_update)
    assert seen["alone"].returncode == 0
    assert "kraken_custody_vault_balance{" in seen["alone"].stdout
    assert seen["alone"].stderr.count("lease_lost") == 1


def test_a_check_of_the_configuration_asks_no_engine(scenes: dict[str, Future[Seen]]) -> None:
    assert seen_of(scenes, rolling_update)["check"].returncode == 0
