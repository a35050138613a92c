"""The record of a lease and the protocol of engines that store it: read and compare-and-set, without expiry."""

from typing import Final, Protocol

from msgspec import Struct

LONGEST_MESSAGE: Final = 200
"""Maximum length of an engine's message that is quoted."""


class Record(Struct, frozen=True):
    """What the processes that share a lease communicate.

    holder: the process that polls; empty after the last holder released the lease.
    renewals: grows with each write of a holder, so that others see that it is alive.
    ceiling: no nonce above it was signed, in nanoseconds.
    duration: seconds that a renewal lasts.
    acquired: when the holder took it, in Unix seconds of its own clock; for people only.
    standby: a process that waits; a standby writes its name if it is missing, and each renewal removes it.
    """

    holder: str
    renewals: int
    ceiling: int
    duration: int
    acquired: float
    standby: str = ""


class Found(Struct, frozen=True):
    """What an engine stores, which compare-and-set compares with.

    record: None if there is none.
    version: the engine's own, None if there is nothing to compare with.
    epoch: identifies a run of the engine, if a restart may bring back an older record.
    """

    record: Record | None
    version: object = None
    epoch: str = ""


class EngineError(Exception):
    """An engine failed or did not confirm a request; the message says what is wrong and what to do, without secrets."""


def printable(told: str) -> str:
    """Return an engine's message in one line."""
    return "".join(it if it.isprintable() else " " for it in told)


def without(secret: str, told: str) -> str:
    """Return an engine's message, which may quote its request, without this secret."""
    return told.replace(secret, "<secret>") if secret else told


class Engine(Protocol):
    """A store of the record."""

    async def read(self) -> Found:
        """Return what is stored. Raises EngineError."""

    async def swap(self, found: Found, record: Record) -> bool:
        """Write `record` if what is stored is still `found`; return whether it was. Raises EngineError."""

    async def close(self) -> None:
        """Close the connections."""
