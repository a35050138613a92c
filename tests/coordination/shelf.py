"""An engine without a network, and processes that take turns at it in virtual time."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from exporter.coordination.engine import Found, Record
from exporter.coordination.lease import Lease, Terms

DURATION = 30.0
TIMEOUT = 10.0
TERMS = Terms(DURATION, TIMEOUT)
NOON = 1_790_000_000.0


class Shelf:
    """Keeps one record, and everything that was ever written. is_away: whether it is unreachable."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self.version = 0
        self.epoch = ""
        self.is_away = False
        self.written: list[Record] = []
        self.reads = self.defects = self.conflicts = 0

    def found(self) -> Found:
        self.reads += 1
        if self.defects:
            self.defects -= 1
            raise RuntimeError("a defect")
        return Found(self.record, self.version, self.epoch)

    def put(self, found: Found, record: Record) -> bool:
        if self.conflicts:
            self.conflicts -= 1
            return False
        if found.version != self.version:
            return False
        self.version += 1
        self.record = record
        self.written.append(record)
        return True

    def lose(self) -> None:
        """Restart without the data."""
        self.record = None
        self.version += 1
        self.epoch += "+"

    def restore(self, record: Record | None) -> None:
        """Restart with data from before."""
        self.record = record
        self.version += 1
        self.epoch += "+"


@dataclass
class Process:
    """One process at `shelf`. ahead: seconds by which its wall clock is. nonce: the highest it has used."""

    shelf: Shelf
    name: str
    ahead: float = 0.0
    nonce: int = 0
    terms: Terms = TERMS
    lease: Lease = field(init=False)

    def __post_init__(self) -> None:
        self.lease = Lease(self.name, self.terms)

    def turn(self, now: float) -> Record | None:
        """Read and write once, at once; return what was written."""
        found = self.shelf.found()
        record = self.lease.decide(found, now, NOON + now + self.ahead, self.nonce)
        if record is not None:
            assert self.shelf.put(found, record)
            self.lease.wrote(replace(found, record=record), now, now)
        return record

    def turns(self, begin: float, end: float, every: float = 1.0) -> None:
        """Take turns as a standby does."""
        now = begin
        while now <= end:
            self.turn(now)
            now += every

    def keep(self, begin: float, end: float) -> None:
        """Take turns when they are due."""
        now = begin
        while now <= end:
            self.turn(now)
            now = self.lease.next_turn(now)


def holder(shelf: Shelf, name: str = "a", **options: float) -> Process:
    """Return a process that has taken a free lease at 0."""
    process = Process(shelf, name, **options)  # type: ignore[arg-type]  # only numbers are given
    shelf.record = Record("", 0, 0, int(DURATION), 0.0)
    process.turn(0.0)
    return process
