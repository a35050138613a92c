"""The loop that joins schedule, budget, pauses and clients: sends each request when it may be sent.

The parts take every decision; the loop asks them and reports to them what happened.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final

from exporter.clocks import BELIEVED_AFTER_TIMEOUTS
from exporter.logs import get_logger
from exporter.polling.blocked import BlockedTargets
from exporter.polling.on_demand import OnDemand, poll_on_demand
from exporter.polling.parts import Parts
from exporter.polling.request import Requests
from exporter.polling.schedule import Turn
from exporter.resources.target import Key
from exporter.turns import in_turns

log = get_logger()

HEARTBEAT_SECONDS: Final = 1.0
"""Maximum time between two rounds of the loop, which distinguishes a stuck loop from a waiting one."""
STUCK_AFTER_SECONDS: Final = 30.0
RESTART_SECONDS: Final = 1.0
SHOWN_AFTER_SECONDS: Final = 5.0
"""How long after its deadline a failed try is shown, and a target that waits for its turn while nothing is answered."""


class Poller:
    """Polls all targets until it is cancelled."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._changed = asyncio.Event()
        self._requests = Requests(parts, self._changed.set)
        self._waiting_since: float | None = None
        self._heartbeat: float | None = None
        self._looked_at = -math.inf
        self._blocked = BlockedTargets(parts)
        self._has_more_to_show = False
        # Makes all targets due, some in each round.
        self._making_due: Iterator[None] = iter(())

    async def run(self) -> None:
        """Poll until cancelled. Unexpected exceptions are logged, and polling continues."""
        try:
            while True:
                try:
                    await self._step()
                except Exception:
                    log.exception("poller_crashed")
                    await asyncio.sleep(RESTART_SECONDS)
        finally:
            await self._requests.close()

    async def run_once(self, progress: Callable[[int, int], object]) -> None:
        """Poll every target once, including those discovered meanwhile; give up targets that a pause blocks.

        progress: called with the number of targets polled and the number known so far.
        """
        self._requests.is_single_round = True
        try:
            self._tell(progress)
            while self._requests.next_deadline() is not None or not self._is_done():
                await self._step()
                self._tell(progress)
            self.bring_up_to_date()
            while self._has_more_to_show:
                self.bring_up_to_date()
        finally:
            await self._requests.close()

    def _tell(self, progress: Callable[[int, int], object]) -> None:
        progress(self._parts.schedule.retired, len(self._parts.schedule))

    def trouble(self) -> str | None:
        """Return why the poller is stuck, None if it is not, whatever the API answers."""
        now = self._parts.monotonic()
        if self._heartbeat is None:
            return "polling has not begun"
        if (silence := now - self._heartbeat) > STUCK_AFTER_SECONDS:
            return f"the polling loop has been stuck for {silence:.0f} s"
        deadline = self._requests.next_deadline()
        if deadline is not None and (overdue := now - deadline) > STUCK_AFTER_SECONDS:
            return f"a request is still in progress {overdue:.0f} s after its deadline"
        pauses = (
            self._parts.pause_of_all,
            *(credential.pause for credential in self._parts.credentials.values()),
        )
        if deadline is None and any(pause.ends_at() == math.inf for pause in pauses):
            return "a pause waits for a request that is never sent"
        return None

    async def poll_now(self, keys: Iterable[Key]) -> OnDemand:
        """Poll the targets with these keys as soon as possible; return which are polled and why others are not."""
        parts = self._parts
        entries = [entry for key in keys if (entry := parts.schedule.get(key))]
        asked = await in_turns(
            poll_on_demand(entries, parts.credentials, parts.pause_of_all, parts.moment())
        )
        if asked.polled:
            log.info("poll_requested", targets=len(asked.polled))
        self.reconsider()
        return asked

    def reconsider(self) -> None:
        """Check again what may be sent, after a change to the parts."""
        self._changed.set()

    def suspect(self, key: Hashable) -> None:
        """Poll a target again at once, because its last answer may belong to another; withdraw it if that fails."""
        self._requests.suspect(key)
        self.reconsider()

    def bring_up_to_date(self) -> None:
        """Apply what depends on time alone: withdraw balances that are too old, show overdue failures.

        Also called before states are shown, as this loop may be stuck.
        """
        self._looked_at = now = self._parts.monotonic()
        self._look_at_clocks()
        self._requests.withdraw_suspects(now)
        self._parts.results.show_overdue_tries(now - self._patience())
        # A standby that does not poll has not failed.
        self._has_more_to_show = self._parts.may_send() and self._blocked.show(
            now, self._patience()
        )

    def _look_at_clocks(self) -> None:
        now, clocks = self._parts.moment(), self._parts.clocks
        timeout = max(credential.client.timeout for credential in self._parts.credentials.values())
        if jump := clocks.look(now, BELIEVED_AFTER_TIMEOUTS * timeout):
            if jump.slept:
                log.info("machine_slept", seconds=round(jump.slept, 1))
            if jump.stepped:
                log.warning("wall_clock_stepped", seconds=round(jump.stepped))
            if not self._requests.is_single_round:
                self._making_due = self._parts.schedule.make_all_due(now.monotonic)
        self._parts.results.withdraw_stale(now.boottime, clocks.believed_lead)

    def _patience(self) -> float:
        timeouts = (credential.client.timeout for credential in self._parts.credentials.values())
        return max(timeouts) + SHOWN_AFTER_SECONDS

    @property
    def has_begun(self) -> bool:
        """Whether polling has begun."""
        return self._heartbeat is not None

    async def _step(self) -> None:
        """Send what may be sent now, then wait until something else may."""
        await self._parts.caught_up()
        self._heartbeat = now = self._parts.monotonic()
        self._parts.usage.note(self._parts.budget.used(now), now)
        if self._has_more_to_show or now - self._looked_at >= HEARTBEAT_SECONDS:
            self.bring_up_to_date()
        # Each round makes more of them due than can be sent before the next.
        next(self._making_due, None)
        self._changed.clear()
        longest = 0.0 if self._has_more_to_show else HEARTBEAT_SECONDS
        patience = min(self._send_ready(now) - now, longest)
        # A timeout would cancel this task and catch that, which takes ten times as long.
        wake = asyncio.get_running_loop().call_later(patience, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            wake.cancel()

    def _send_ready(self, now: float) -> float:
        """Send every request that may be sent at `now`; return when to check again."""
        parts = self._parts
        if not parts.may_send():
            self._waiting_since = None
            return math.inf
        while True:
            entry, look_again_at = parts.schedule.next(now, self._turns(now))
            if entry is None:
                self._waiting_since = None
                return look_again_at
            if (slot_at := parts.budget.ready_at(now)) > now:
                if self._waiting_since is None:
                    self._waiting_since = now
                return slot_at
            if self._waiting_since is not None:
                parts.waited(now - self._waiting_since)
                self._waiting_since = None
            self._requests.send(entry, now)

    def _turns(self, now: float) -> dict[str, Turn]:
        pause_ends = self._parts.pause_of_all.ends_at()
        return {
            name: Turn(max(credential.ready_at(now), pause_ends), credential.slow_turn_at)
            for name, credential in self._parts.credentials.items()
        }

    def _is_done(self) -> bool:
        """Whether `run_once` has finished: every target was polled or is paused."""
        return self._parts.pause_of_all.is_active or all(
            self._parts.credentials[name].pause.is_active
            for name in self._parts.schedule.unfinished()
        )
