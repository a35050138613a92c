"""The lease: which of several processes polls, as arithmetic over the records read and a given `now`.

`now` is of a clock that continues while the machine sleeps (`clocks.boottime`). Clocks of two machines are never
compared: each process only measures seconds on its own.

*Holder.* A renewal counts from the moment before it was sent. Others see it later, so they wait longer. A request is
sent only if its timeout ends before the lease does, so that it has ended when a successor begins.

*Standby.* It takes over a record that has not changed for the `duration` in it, which its holder relies on. It takes a
released lease at once. If there is no record, another process may still hold the lease, so it waits as long.

*Nonces.* The holder signs none above the record's ceiling, and a successor begins above it. Every writer keeps the
highest ceiling that it has ever seen.
"""

import math
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exporter.coordination.engine import Found, Record

STANDBY_SECONDS: Final = 1.0
"""Between two reads of a standby, or of a holder that could not renew."""
RENEWALS: Final = 5
"""Renewals of a holder in one `duration`."""
DRIFT: Final = 0.001
"""Maximum relative drift between two machines' clocks; NTP corrects a clock by at most 500 ppm."""
SILENT_DURATIONS: Final = 3
"""Durations without a response of the API after which a holder releases the lease, if a standby waits."""
BETWEEN_GIVING_UP_SECONDS: Final = 600.0
GIVEN_UP: Final = "given up"


class Terms(Struct, frozen=True):
    """The configured terms. duration: seconds that a renewal lasts. timeout: maximum seconds of a request."""

    duration: float
    timeout: float

    @property
    def nonces(self) -> int:
        """Distance of the ceiling from the nonces in use, in nanoseconds."""
        return int(2e9 * self.duration)


class Lease:
    """The lease as one process knows it. terms: may change at any time.

    me: unique among all processes, past and present, so that a record with this name is this process's.
    found: what was last read or written.
    above, up_to: this process's nonces must be above the one and not above the other, in nanoseconds.
    standby: the process that was waiting at the last read.
    rival: another holder's record, once it was seen to be alive.
    loss: why the lease was last lost.
    acquisitions: number of times it was taken.
    is_resumed: whether it was taken last without another holder since this process had it before.
    """

    def __init__(self, me: str, terms: Terms) -> None:
        self.me = me
        self.terms = terms
        self.found: Found | None = None
        self.above = self.up_to = 0
        self.standby = ""
        self.rival: Record | None = None
        self.loss = ""
        self.acquisitions = 0
        self.is_resumed = self._is_own = False
        self._ceiling = 0
        self._renewals = 0
        self._acquired = 0.0
        self._ends = -math.inf
        self._renew_at = -math.inf
        # Since when the record has not changed, and whether it may be older than a previous one.
        self._unchanged_since = math.inf
        self._is_wary = False
        self._read_required_at = -math.inf
        self._silent_since = math.inf
        self._gives_up_at = math.inf
        self._gave_up_at = -math.inf

    def holds(self, now: float) -> bool:
        """Whether this process holds the lease, so that no other may send."""
        return now < self._ends

    def may_send(self, now: float) -> bool:
        """Whether a request may be sent now; it must end within `timeout`."""
        is_certain = self._read_required_at == -math.inf and self._gives_up_at == math.inf
        return is_certain and now < self._ends - self.terms.timeout

    def next_turn(self, now: float) -> float:
        """Return when to read the record again, whatever the last outcome."""
        if not self.holds(now) or self._read_required_at > -math.inf:
            return now + STANDBY_SECONDS
        soon = self._renew_at if self._renew_at > now else now + STANDBY_SECONDS
        return min(soon, self._ends, max(self._gives_up_at, now))

    def decide(self, found: Found, now: float, wall: float, nonce: int) -> Record | None:
        """Return the record to write in place of `found`, None if there is nothing to write.

        wall: Unix seconds. nonce: the highest used by this process, in nanoseconds.
        """
        record = found.record
        self._observe(found, now)
        self.standby = record.standby if record is not None else ""
        self._is_own = self._is_mine(record, now)
        if self._is_own:
            # The successor begins at once, so the last request must have ended.
            if self._may_give_up(record, now):
                return self._given_up()
            return self._held(max(nonce, self.above), wall, since=self._acquired or wall)
        if self.holds(now):
            self.loss = (
                f"taken by {record.holder}"
                if record and record.holder
                else "the record was emptied"
            )
            self._ends = -math.inf
        if self._may_take(record, now):
            # A predecessor may have used every nonce up to its ceiling.
            return self._held(max(nonce, self._ceiling), wall, since=wall)
        if record is not None and record.holder and not record.standby:
            return replace(record, standby=self.me, ceiling=self._ceiling)
        return None

    def wrote(self, found: Found, now: float, sent_at: float) -> None:
        """Record that what `decide` returned was written between `sent_at` and `now`. found: contains it."""
        record = found.record
        assert record is not None  # noqa: S101 - nothing else is ever written
        was_held, before = self.holds(now), self._ceiling
        self._observe(found, now)
        if record.standby:
            # Only a standby's name was written; the holder in the record may be gone.
            return
        if record.holder:
            if not was_held:
                self.acquisitions += 1
                self.is_resumed = self._is_own
                self.above = before
                self._silent_since = math.inf
            self.up_to, self._acquired = record.ceiling, record.acquired
            self._ends = sent_at + record.duration * (1 - DRIFT)
            self._renew_at = sent_at + record.duration / RENEWALS
            if sent_at >= self._read_required_at:
                self._read_required_at = -math.inf
        else:
            self.released(now)

    def released(self, now: float) -> None:
        """Record that this process released the lease."""
        if self._gives_up_at < math.inf:
            self.loss = "given up: the API does not answer here, and a standby waits"
            self._gave_up_at = now
        else:
            self.loss = GIVEN_UP
        self._ends = -math.inf
        self._gives_up_at = self._silent_since = math.inf
        # A waiting process goes first.
        self._is_wary = True

    def release(self, found: Found) -> Record | None:
        """Return the record that releases the lease, None if `found` is not this process's."""
        record = found.record
        if record is None or record.holder != self.me:
            return None
        self._ceiling = max(self._ceiling, record.ceiling)
        return self._given_up()

    def require_read(self, now: float) -> None:
        """Send nothing until the record is read again: the API has seen a larger nonce."""
        self._read_required_at = now

    def answered(self) -> None:
        """Record a response of the API."""
        self._silent_since = self._gives_up_at = math.inf

    def unanswered(self, now: float) -> None:
        """Record a request without a response."""
        self._silent_since = min(self._silent_since, now)

    def _observe(self, found: Found, now: float) -> None:
        before, self.found = self.found, found
        record = found.record
        if record is not None:
            self._ceiling = max(self._ceiling, record.ceiling)
            self._renewals = max(self._renewals, record.renewals)
        if before is not None and _sign_of_life(before) == _sign_of_life(found):
            return
        self._unchanged_since = now
        self._is_wary = before is not None and before.epoch != found.epoch
        if before is not None and record is not None and record.holder not in ("", self.me):
            self.rival = record

    def _is_mine(self, record: Record | None, now: float) -> bool:
        """Whether no other process has taken the lease since this one had it."""
        if record is None:
            return self.holds(now)
        # This process was the last to write, unless the engine has lost later writes.
        return record.holder == self.me and (self.holds(now) or not self._is_wary)

    def _may_take(self, record: Record | None, now: float) -> bool:
        if record is not None and not record.holder and not self._is_wary:
            return True
        duration = max(self.terms.duration, record.duration if record else 0)
        return now - self._unchanged_since >= duration

    def _may_give_up(self, record: Record | None, now: float) -> bool:
        is_silent = now - self._silent_since >= SILENT_DURATIONS * self.terms.duration
        is_soon = now - self._gave_up_at < BETWEEN_GIVING_UP_SECONDS
        if is_silent and not is_soon and record is not None and record.standby:
            self._gives_up_at = min(self._gives_up_at, now + self.terms.timeout)
        return now >= self._gives_up_at

    def _held(self, used: int, wall: float, *, since: float) -> Record:
        """Return the record of this process as the holder. used: the highest nonce that may have been used."""
        ceiling = max(used, int(wall * 1e9)) + self.terms.nonces
        return replace(
            self._given_up(), holder=self.me, ceiling=max(self._ceiling, ceiling), acquired=since
        )

    def _given_up(self) -> Record:
        return Record(
            holder="",
            renewals=self._renewals + 1,
            ceiling=self._ceiling,
            duration=math.ceil(self.terms.duration),
            acquired=self._acquired,
        )


def _sign_of_life(found: Found) -> tuple[object, ...]:
    """Return what changes if a holder is alive, which a standby's name does not show."""
    record = found.record
    return (found.epoch, *((record.holder, record.renewals) if record else ()))
