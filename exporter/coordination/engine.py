"""The record of a lease, and what an engine that keeps it must do: read, and compare-and-set. Neither has an expiry."""

from dataclasses import dataclass
from typing import Final, Protocol

LONGEST_MESSAGE: Final = 200
"""Of the words of an engine that are repeated."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the processes of one lease tell each other.

    holder: who polls; empty where nobody does, as the last holder has given it up. renewals: grows with each write of a
    holder, so that others see that it lives. ceiling: no nonce above it was signed, in nanoseconds. duration: seconds
    for which a renewal holds. acquired: when the holder took it, in Unix seconds of its own clock: for people only.
    standby: who waits; a standby writes it where it is missing, and each renewal takes it off.
    """

    holder: str
    renewals: int
    ceiling: int
    duration: int
    acquired: float
    standby: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What an engine has. It is what a compare-and-set compares with.

    record: None where there is none. version: the engine's own, None where there is nothing to compare with. epoch:
    which run of the engine it is, where a restart may bring back a record that is older than the last.
    """

    record: Record | None
    version: object = None
    epoch: str = ""


class EngineError(Exception):
    """An engine did not do what it was asked for, or did not say so: what is wrong and what to do, without secrets."""


def printable(told: str) -> str:
    """Return what an engine told, in one line."""
    return "".join(it if it.isprintable() else " " for it in told)


def without(secret: str, told: str) -> str:
    """Return what an engine told, which may repeat what it was told itself, without this secret."""
    return told.replace(secret, "<secret>") if secret else told


class Engine(Protocol):
    """Where the record is kept."""

    async def read(self) -> Found:
        """Return what there is. Raises EngineError."""

    async def swap(self, found: Found, record: Record) -> bool:
        """Write `record` if what is there is still what was `found`; return whether it was. Raises EngineError."""

    async def close(self) -> None:
        """Close the connections."""
