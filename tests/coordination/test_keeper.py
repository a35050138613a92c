"""The loop that holds a lease: what it reads, writes and logs, and how it handles failures, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from exporter.coordination.engine import EngineError, Found, Record
from exporter.coordination.keeper import Keeper, LeaseHeldError, Surroundings
from exporter.coordination.lease import Lease
from tests.coordination.shelf import DURATION, NOON, TERMS, Shelf
from tests.polling.world import now, run

RELEASED = Record("", 3, 9, int(DURATION), 0.0)
YEAR = 366 * 86_400
LEASE = {"lease": "kraken"}


@dataclass
class Bounds:
    above: int = 0
    up_to: int | None = None
    highest: int = 7


class Engine:
    """An engine whose record is on a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.is_closed = False

    async def read(self) -> Found:
        await asyncio.sleep(0)
        if self.shelf.is_away:
            raise EngineError("it is away")
        return self.shelf.found()

    async def swap(self, found: Found, record: Record) -> bool:
        await asyncio.sleep(0)
        return self.shelf.put(found, record)

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Scene:
    """A keeper called `a` at a shelf whose lease is free."""

    shelf: Shelf = field(default_factory=Shelf)
    bounds: Bounds = field(default_factory=Bounds)
    changes: int = 0

    def __post_init__(self) -> None:
        self.shelf.record = RELEASED
        around = Surroundings(now, lambda: NOON + now(), self.bounds, self._changed)
        self.engine = Engine(self.shelf)
        self.keeper = Keeper("kraken", Lease("a", TERMS), self.engine, around)

    def _changed(self) -> None:
        self.changes += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.keeper.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def renew(self, holder: str) -> None:
        """Let another process hold the lease, and renew it."""
        renewals = self.shelf.record.renewals + 1 if self.shelf.record else 1
        self.write(Record(holder, renewals, 0, int(DURATION), 0.0))

    def write(self, record: Record) -> None:
        """Let another process write."""
        assert self.shelf.put(Found(None, self.shelf.version), record)


def test_a_free_lease_is_taken_at_once_and_renewed_five_times_in_its_duration() -> None:
    async def main() -> None:
        scene = Scene()
        with capture_logs() as logs:
            async with scene.running():
                await asyncio.sleep(DURATION - 1)
        assert logs == [{"event": "lease_acquired", "holder": "a", "log_level": "info", **LEASE}]
        assert [record.holder for record in scene.shelf.written] == ["a"] * 5
        assert scene.shelf.reads == 5
        assert scene.bounds.above == 9
        assert scene.bounds.up_to is not None
        assert scene.changes > 5

    run(main())


def test_an_engine_that_is_gone_for_longer_than_the_lease_costs_it() -> None:
    async def main() -> None:
        scene = Scene()
        with capture_logs() as logs:
            async with scene.running():
                await asyncio.sleep(1.0)
                scene.shelf.is_away = True
                await asyncio.sleep(59.0)
                assert "it is away" in scene.keeper.problem
                assert not scene.keeper.lease.holds(now())
                scene.shelf.is_away = False
                await asyncio.sleep(DURATION + 3)
                assert scene.keeper.problem == ""
        events = [(it["event"], it["lease"], it.get("problem"), it.get("seconds")) for it in logs]
        assert events == [
            ("lease_acquired", "kraken", None, None),
            ("lease_unreachable", "kraken", "it is away", None),
            ("lease_lost", "kraken", "not renewed in time", None),
            ("lease_reachable", "kraken", None, 55.0),
            ("lease_acquired", "kraken", None, None),
        ]
        assert [it["log_level"] for it in logs] == ["info", "warning", "warning", "info", "info"]
        assert logs[2]["holder"] == "a"

    run(main())


def test_a_standby_logs_once_who_holds_the_lease_and_follows_when_it_is_released() -> None:
    async def main() -> None:
        scene = Scene()
        with capture_logs() as logs:
            scene.renew("b")
            async with scene.running():
                for _ in range(4):
                    await asyncio.sleep(DURATION / 2)
                    scene.renew("b")
                assert "a" in [record.standby for record in scene.shelf.written]
                scene.write(RELEASED)
                await asyncio.sleep(2.0)
        assert logs == [
            {"event": "lease_held", "holder": "b", "log_level": "info", **LEASE},
            {"event": "lease_acquired", "holder": "a", "log_level": "info", **LEASE},
        ]

    run(main())


def test_a_lease_is_released_although_a_standby_writes_in_between() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await asyncio.sleep(1.0)
        scene.shelf.conflicts = 2
        with capture_logs() as logs:
            await scene.keeper.release()
            await scene.keeper.release()
        await scene.keeper.close()
        assert scene.shelf.record
        assert scene.shelf.record.holder == ""
        assert not scene.keeper.lease.holds(now())
        assert [(it["event"], it["log_level"], it["holder"]) for it in logs] == [
            ("lease_lost", "info", "a")
        ]
        assert scene.engine.is_closed

    run(main())


def test_a_lease_that_cannot_be_released_is_reported() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await asyncio.sleep(1.0)
        scene.shelf.is_away = True
        with capture_logs() as logs:
            await scene.keeper.release()
        unreachable = {"event": "lease_unreachable", "log_level": "warning", **LEASE}
        assert logs == [unreachable | {"problem": "it is away"}]

    run(main())


def test_an_outage_of_the_engine_is_logged_once_though_the_process_stops_during_it() -> None:
    async def main() -> None:
        scene = Scene()
        scene.shelf.is_away = True
        with capture_logs() as logs:
            async with scene.running():
                await asyncio.sleep(5.0)
            await scene.keeper.release()
        assert [log["event"] for log in logs] == ["lease_unreachable"]

    run(main())


@pytest.mark.parametrize(("later", "is_believed"), [(0, True), (1, False)])
def test_a_nonce_ceiling_of_more_than_a_year_ahead_is_not_believed(
    *, later: int, is_believed: bool
) -> None:
    async def main() -> None:
        scene = Scene()
        ceiling = int((NOON + YEAR + later) * 1e9)
        scene.shelf.record = Record("", 3, ceiling, int(DURATION), 0.0)
        async with scene.running():
            await asyncio.sleep(0.5)
            assert scene.keeper.lease.holds(now()) == is_believed
            assert ("nonce ceiling" in scene.keeper.problem) != is_believed

    run(main())


def test_waiting_ends_with_the_lease_or_with_a_holder_that_is_alive() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.keeper.wait()
        assert scene.keeper.lease.holds(now())
        assert now() == 0.0
        scene = Scene()
        scene.renew("b")
        waiting = asyncio.create_task(scene.keeper.wait())
        await asyncio.sleep(5.0)
        scene.renew("b")
        with pytest.raises(LeaseHeldError, match="b holds the lease kraken"):
            await waiting
        assert now() <= 7.0

    run(main())


def test_waiting_for_the_lease_ends_when_its_engine_fails_for_a_whole_duration() -> None:
    async def main() -> None:
        scene = Scene()
        scene.shelf.is_away = True
        with pytest.raises(LeaseHeldError, match="the lease kraken cannot be read: it is away"):
            await scene.keeper.wait()
        assert DURATION <= now() <= DURATION + 1

    run(main())


def test_a_defect_is_logged_and_the_loop_starts_again() -> None:
    async def main() -> None:
        scene = Scene()
        scene.shelf.defects = 1
        with capture_logs() as logs:
            async with scene.running():
                await asyncio.sleep(10.0)
        assert [(it["event"], it["lease"], it["log_level"]) for it in logs] == [
            ("lease_crashed", "kraken", "error"),
            ("lease_acquired", "kraken", "info"),
        ]

    run(main())


def test_a_loop_that_takes_no_turn_is_reported_as_stuck() -> None:
    async def main() -> None:
        scene = Scene()
        assert scene.keeper.trouble() is None
        async with scene.running():
            await asyncio.sleep(100.0)
            assert scene.keeper.trouble() is None
        await asyncio.sleep(1_000.0)
        trouble = scene.keeper.trouble()
        assert trouble
        assert trouble.startswith("the loop that keeps the lease has been stuck for 100")

    run(main())


def test_the_record_is_read_again_at_once_on_request_and_once_only() -> None:
    async def main() -> None:
        scene = Scene()
        async with scene.running():
            await asyncio.sleep(1.0)
            assert scene.shelf.reads == 1
            scene.keeper.look_again()
            await asyncio.sleep(1.0)
            assert scene.shelf.reads == 2

    run(main())
