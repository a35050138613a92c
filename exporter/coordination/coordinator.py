"""Whether this process polls: always, or while it holds a lease, as configured."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct

from exporter.config import LeaseSettings, RedisSettings
from exporter.coordination.engine import Engine
from exporter.coordination.keeper import Keeper, LeaseHeldError, Surroundings
from exporter.coordination.kubernetes import Cluster, KubernetesEngine
from exporter.coordination.lease import STANDBY_SECONDS, Lease, Terms
from exporter.coordination.redis import RedisEngine, Server


class LeaseView(Struct, frozen=True):
    """The state of the lease, for people.

    me: this process.
    holder: the process that polls, "" if unknown or none.
    since: when it took the lease, in Unix seconds of its own clock, None without a holder.
    standby: another process that waits, "" if unknown or none.
    problem: why the record cannot be read or written, "" if it can.
    """

    name: str
    me: str
    is_active: bool
    holder: str
    since: float | None
    standby: str
    problem: str


def engine_of(
    settings: LeaseSettings, environ: Mapping[str, str], wall: Callable[[], float]
) -> Engine:
    """Return the engine for `settings`, not connected yet. Raises EngineError if it cannot be built."""
    if settings.kind == "kubernetes":
        return KubernetesEngine(settings.name, Cluster.around(environ), wall)
    redis = settings.redis
    assert isinstance(redis, RedisSettings)  # noqa: S101 - the configuration has seen to it
    server = Server(redis.url, redis.username or "", redis.password_file, redis.ca_file)
    return RedisEngine(settings.name, server)


class Coordinator:
    """Holds the lease or waits for it, if one is configured; otherwise this process is always active.

    me: unique among all processes, past and present.
    """

    def __init__(self, me: str, surroundings: Surroundings) -> None:
        self._me = me
        self._around = surroundings
        self._settings: LeaseSettings | None = None
        self._keeper: Keeper | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._is_running = False
        self._retiring: set[asyncio.Task[None]] = set()

    def prepare(
        self, settings: LeaseSettings | None, make: Callable[[LeaseSettings], Engine]
    ) -> Engine | None:
        """Return the engine that `change` needs for these settings, if any. Raises what `make` raises."""
        if settings is None or _record_of(settings) == _record_of(self._settings):
            return None
        return make(settings)

    def change(self, settings: LeaseSettings | None, timeout: float, engine: Engine | None) -> None:
        """Change to another lease; the old one is released unless its record is the same. None is for a start only.

        timeout: maximum seconds of a request. engine: as returned by `prepare`.
        """
        if engine is not None:
            self._retire()
            self._around.nonces.up_to = None
        if settings is not None:
            terms = Terms(settings.duration, timeout)
            if engine is not None:
                lease = Lease(self._me, terms)
                self._keeper = Keeper(settings.name, lease, engine, self._around)
                self._begin()
            elif self._keeper is not None:
                self._keeper.lease.terms = terms
        self._settings = settings

    @property
    def is_active(self) -> bool:
        """Whether this process polls."""
        return self._keeper is None or self._keeper.lease.holds(self._around.boottime())

    @property
    def tenure(self) -> object:
        """Return a value that is new each time this process starts to poll, None while it does not."""
        if not self.is_active:
            return None
        return self._keeper, self._keeper.lease.acquisitions if self._keeper is not None else 0

    @property
    def is_resumed(self) -> bool:
        """Whether no other process can have polled since this one did last."""
        return self._keeper is None or self._keeper.lease.is_resumed

    def may_send(self) -> bool:
        """Whether a request may be sent now."""
        return self._keeper is None or self._keeper.lease.may_send(self._around.boottime())

    def exchanged(self, *, is_answered: bool) -> None:
        """Record that a request to the API has ended."""
        if self._keeper is None:
            return
        if is_answered:
            self._keeper.lease.answered()
        else:
            self._keeper.lease.unanswered(self._around.boottime())

    def nonce_refused(self) -> None:
        """Send nothing until the record is read again: another process may hold the lease by now."""
        if self._keeper is not None:
            self._keeper.lease.require_read(self._around.boottime())
            self._keeper.look_again()

    def trouble(self) -> str | None:
        """Return why the lease makes no progress, None if it does."""
        return self._keeper.trouble() if self._keeper is not None else None

    def view(self) -> LeaseView | None:
        """Return the state of the lease, None without one."""
        keeper = self._keeper
        if keeper is None:
            return None
        found = keeper.lease.found
        record = found.record if found else None
        is_active = self.is_active
        # This process's own record may have expired, and a released one has no holder.
        is_held = record is not None and (is_active or record.holder not in ("", self._me))
        return LeaseView(
            name=keeper.name,
            me=self._me,
            is_active=is_active,
            holder=record.holder if record and is_held else "",
            since=record.acquired if record and is_held else None,
            standby=keeper.lease.standby if keeper.lease.standby != self._me else "",
            problem=keeper.problem,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold the lease, or wait for it, while the block runs; then release it."""
        self._is_running = True
        self._begin()
        try:
            yield
        finally:
            await self._end()

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Hold the lease while the block runs, for a single round. Raises LeaseHeldError if another process holds it.

        It takes one renewal to see that another holder is alive, and a whole duration to see that there is none. If the
        lease is lost, the block ends within a second, rather than wait until the lease is free, which may be never.
        """
        keeper = self._keeper
        if keeper is None:
            yield
            return
        try:
            await keeper.wait()
        except BaseException:
            await self._end()
            raise
        self._around.changed()
        async with self.running():
            try:
                async with asyncio.timeout(None) as limit:
                    watching = asyncio.create_task(self._end_with_lease(limit))
                    try:
                        yield
                    finally:
                        watching.cancel()
            except TimeoutError:
                if not limit.expired():
                    raise
                lost = f"the lease {keeper.name} was lost meanwhile: see the log"
                raise LeaseHeldError(lost) from None

    async def _end_with_lease(self, limit: asyncio.Timeout) -> None:
        """Let `limit` expire once the lease is lost."""
        tenure = self.tenure
        while self.tenure == tenure:  # noqa: ASYNC110 - time alone may end it
            await asyncio.sleep(STANDBY_SECONDS)
        limit.reschedule(asyncio.get_running_loop().time())

    async def _end(self) -> None:
        keeper, keeping = self._keeper, self._keeping
        self._is_running, self._keeping = False, None
        ending = [*self._retiring, *([keeping] if keeping else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if keeper is not None:
            await keeper.release()
            await keeper.close()

    def _begin(self) -> None:
        if self._is_running and self._keeper is not None:
            self._keeping = asyncio.create_task(self._keeper.run())

    def _retire(self) -> None:
        keeper, keeping = self._keeper, self._keeping
        self._keeper = self._keeping = None
        if keeper is not None:
            task = asyncio.create_task(_give_up(keeper, keeping))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)


async def _give_up(keeper: Keeper, keeping: asyncio.Task[None] | None) -> None:
    """Release the lease of `keeper` once every request has ended, as its successor may send at once."""
    try:
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await asyncio.sleep(keeper.lease.terms.timeout)
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await keeper.release()
        await keeper.close()


def _record_of(settings: LeaseSettings | None) -> object:
    return settings and (settings.kind, settings.name, settings.redis)
