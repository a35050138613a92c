"""Holds the lease or waits for it: reads and writes its record in the engine, and logs changes."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from exporter.coordination.engine import Engine, EngineError, Found
from exporter.coordination.lease import GIVEN_UP, RENEWALS, Lease
from exporter.logs import get_logger

log = get_logger()

RELEASE_SECONDS: Final = 2.0
"""Maximum time to release the lease at the end of the process, which must end within 5 s."""
CONFLICTS: Final = 3
"""Write conflicts in a row between a holder and its standbys before each waits for its next turn."""
STUCK_AFTER_SECONDS: Final = 30.0
RESTART_SECONDS: Final = 1.0
LARGEST_LEAD_SECONDS: Final = 366 * 86_400
"""Maximum lead of the nonce ceiling over this machine's clock; real clocks are hours apart at most."""


class LeaseHeldError(Exception):
    """Another process holds the lease, or its holder is unknown; the message says which or why, and what to do."""


class NonceBounds(Protocol):
    """The range of this process's nonces (above, up_to) and the highest used, in nanoseconds."""

    above: int
    up_to: int | None
    highest: int


class Surroundings(Struct, frozen=True):
    """The environment of a keeper.

    boottime: returns seconds that continue while the machine sleeps.
    wall: returns Unix seconds.
    nonces: the bounds that the keeper sets.
    changed: called when the record was read or written, and when the lease has ended.
    """

    boottime: Callable[[], float]
    wall: Callable[[], float]
    nonces: NonceBounds
    changed: Callable[[], None]


class Keeper:
    """Holds the lease `name` in `engine`, or waits for it.

    problem: why the last access to the engine failed, "" if it did not.
    """

    def __init__(self, name: str, lease: Lease, engine: Engine, surroundings: Surroundings) -> None:
        self.name = name
        self.lease = lease
        self.problem = ""
        self._engine = engine
        self._around = surroundings
        self._look = asyncio.Event()
        self._turned_at: float | None = None
        self._unreachable_since: float | None = None
        self._was_held = False
        self._told = ""

    async def run(self) -> None:
        """Hold the lease until cancelled. Unexpected exceptions are logged, and it continues."""
        while True:
            try:
                await self._keep()
            except Exception:
                log.exception("lease_crashed", lease=self.name)
                await asyncio.sleep(RESTART_SECONDS)

    async def wait(self) -> None:
        """Return once this process holds the lease.

        Raises LeaseHeldError if another process holds it, or if the engine fails for a whole `duration`.
        """
        began = self._around.boottime()
        await self._turn()
        while not self.lease.holds(self._around.boottime()):
            if rival := self.lease.rival:
                raise LeaseHeldError(
                    f"{rival.holder} holds the lease {self.name}: stop it first, as nonces of two users of one key "
                    "collide, or use another key without this lease"
                )
            waited = self._around.boottime() - (self._unreachable_since or began)
            if self.problem and waited >= self.lease.terms.duration:
                raise LeaseHeldError(f"the lease {self.name} cannot be read: {self.problem}")
            await self._sleep()
            await self._turn()

    def look_again(self) -> None:
        """Read the record again at once."""
        self._look.set()

    def tell(self) -> None:
        """Log whether the lease was taken or has ended since the last call."""
        is_held, lease = self.lease.holds(self._around.boottime()), self.lease
        if is_held == self._was_held:
            return
        self._was_held = is_held
        if is_held:
            log.info("lease_acquired", lease=self.name, holder=lease.me)
        elif lease.loss == GIVEN_UP:
            log.info("lease_lost", lease=self.name, holder=lease.me, problem=lease.loss)
        else:
            problem = lease.loss or "not renewed in time"
            log.warning("lease_lost", lease=self.name, holder=lease.me, problem=problem)
        lease.loss = ""

    def trouble(self) -> str | None:
        """Return why the keeper is stuck, None if it is not, whatever the engine answers."""
        if self._turned_at is None:
            return None
        silence = self._around.boottime() - self._turned_at
        if silence > STUCK_AFTER_SECONDS + self.lease.terms.duration:
            return f"the loop that keeps the lease has been stuck for {silence:.0f} s"
        return None

    async def release(self) -> None:
        """Release the lease, if this process holds it, so that another need not wait for its end."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                # A standby may write its name into the record in between.
                while not await self._released():
                    pass
        except (EngineError, TimeoutError) as error:
            self._failed(_words(error, RELEASE_SECONDS))
        self.tell()

    async def _released(self) -> bool:
        """Read the record and release it; return whether it is no longer this process's."""
        found = await self._engine.read()
        record = self.lease.release(found)
        if record is None:
            return True
        if not await self._engine.swap(found, record):
            return False
        now = self._around.boottime()
        self.lease.wrote(replace(found, record=record), now, now)
        return True

    async def close(self) -> None:
        """Close the engine's connections."""
        await self._engine.close()

    async def _keep(self) -> None:
        while True:
            self._look.clear()
            await self._turn()
            self._around.changed()
            await self._sleep()
            # Time alone may have ended the lease.
            self.tell()
            self._around.changed()

    async def _sleep(self) -> None:
        now = self._around.boottime()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.lease.next_turn(now) - now)):
                await self._look.wait()

    async def _turn(self) -> None:
        """Read the record, and write it if needed."""
        self._turned_at = self._around.boottime()
        limit = max(1.0, self.lease.terms.duration / RENEWALS)
        try:
            async with asyncio.timeout(limit):
                for _ in range(CONFLICTS):
                    if await self._settled():
                        break
        except (EngineError, TimeoutError) as error:
            self._failed(_words(error, limit))
        else:
            self._succeeded()
        self.tell()

    async def _settled(self) -> bool:
        """Read and write once; return whether no other process has written in between."""
        around, lease = self._around, self.lease
        found = await self._engine.read()
        _check(found, around.wall())
        record = lease.decide(found, around.boottime(), around.wall(), around.nonces.highest)
        if record is None:
            return True
        # A renewal counts from when it was sent, however long it took to arrive.
        sent_at = around.boottime()
        if not await self._engine.swap(found, record):
            return False
        lease.wrote(replace(found, record=record), around.boottime(), sent_at)
        around.nonces.above, around.nonces.up_to = lease.above, lease.up_to
        return True

    def _failed(self, problem: str) -> None:
        # Logged once an outage, even if its message changes.
        if self._unreachable_since is None:
            self._unreachable_since = self._around.boottime()
            log.warning("lease_unreachable", lease=self.name, problem=problem)
        self.problem = problem

    def _succeeded(self) -> None:
        if self._unreachable_since is not None:
            seconds = round(self._around.boottime() - self._unreachable_since, 1)
            log.info("lease_reachable", lease=self.name, seconds=seconds)
        self.problem, self._unreachable_since = "", None
        record = self.lease.found.record if self.lease.found else None
        holder = record.holder if record else ""
        if holder not in (self._told, "", self.lease.me):
            log.info("lease_held", lease=self.name, holder=holder)
        self._told = holder


def _check(found: Found, wall: float) -> None:
    """Refuse a record that would use up a key's nonces for good: the API never accepts smaller ones again."""
    if found.record is not None and found.record.ceiling > int((wall + LARGEST_LEAD_SECONDS) * 1e9):
        raise EngineError(
            "its nonce ceiling is more than a year ahead of this machine's clock: correct the clock, or, if it is the "
            "record that is wrong, delete that"
        )


def _words(error: EngineError | TimeoutError, limit: float) -> str:
    return str(error) if isinstance(error, EngineError) else f"no answer within {limit:g} s"
