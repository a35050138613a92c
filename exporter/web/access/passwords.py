"""Checks passwords against bcrypt hashes: off the event loop, one at a time, and each only once.

The cost of a hash determines how long a check takes, so checks queue. The queue has at most one entry for each waiting
connection, and clients take turns, however many connections and passwords each has: guessing delays other clients by
one check at most. Among passwords from one client (for example behind the same proxy), users take turns, and every
second time it is first come, first served. So neither guesses for one user nor guesses for ever new users block the
right password of another.

The time that a check takes does not show whether a user exists: unknown users are checked against the hash of a known
one.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from msgspec import Struct, field

from exporter.secret import Secret
from exporter.threads import Worker

CONNECTION: Final = "connection"
"""The key of a request's ASGI state under which its connection is, an Asker."""
MOST_WRONG: Final = 100
"""Number of wrong passwords that are remembered, so that a scraper with an old one costs little."""
_LONGEST_PASSWORD: Final = 72
"""bcrypt ignores further bytes, so programs that make its hashes cut passwords there."""

Check = Callable[[bytes, bytes], bool]


class Asker(Protocol):
    """A client that waits for a check. network: the one whose turn it takes. is_gone: whether it has disconnected."""

    @property
    def network(self) -> str: ...  # noqa: D102 - see the class
    @property
    def is_gone(self) -> bool: ...  # noqa: D102 - see the class
    def queueing(self) -> contextlib.AbstractContextManager[None]:
        """Return a block in which the asker waits for its turn."""


class Stranger:
    """An asker without a connection, which always waits for the answer."""

    network = ""
    is_gone = False
    queueing = staticmethod(contextlib.nullcontext)


class _Check(Struct):
    """A password in the queue.

    came: number of the turn before the current one at its arrival. is_match: None if all askers disconnected before its
    turn.
    """

    user: str
    password: bytes
    hashed: bytes
    came: int
    is_match: asyncio.Future[bool | None]
    askers: list[Asker] = field(default_factory=list)

    @property
    def network(self) -> str:
        """The network whose turn it takes."""
        return self.askers[0].network


def bcrypt_check(password: bytes, hashed: bytes) -> bool:
    """Whether a bcrypt hash was made of a password."""
    # Imported at the first password: most daemons never need it.
    import bcrypt  # noqa: PLC0415

    return bcrypt.checkpw(password[:_LONGEST_PASSWORD], hashed)


class Passwords:
    """Remembers each user's right password and the last wrong ones, as keyed digests."""

    def __init__(self, check: Check = bcrypt_check) -> None:
        self._check = check
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}
        self._wrong: dict[bytes, None] = {}
        # In the order in which they arrived.
        self._line: dict[bytes, _Check] = {}
        self._work: asyncio.Task[None] | None = None
        # Its own thread, because other work in threads may hang.
        self._thread = Worker("passwords")
        # The last turn of each network, and of each of its users, in the queue.
        self._turn = 0
        self._last_turns: dict[tuple[str, ...], int] = {}
        # Networks whose next turn goes by user, not first come, first served.
        self._users_next: set[str] = set()

    async def is_right(
        self,
        users: Mapping[str, Secret[str]],
        user: str,
        password: bytes,
        asker: Asker = Stranger(),  # noqa: B008 - it has no state
    ) -> bool:
        """Whether `password` is that of `user` in `users`, which is not empty."""
        hashed, is_known = self._hash_for(users, user), user in users
        digest = self._digest(user, hashed, password, is_known=is_known)
        if (remembered := self._remembered(user, digest)) is not None:
            return remembered
        # Concurrent checks of the same password share one computation.
        check = self._line.get(digest)
        if check is None:
            answer: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
            came = self._turn - 1
            check = self._line[digest] = _Check(user, password, hashed, came, answer)
        check.askers.append(asker)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._check_in_turn())
        with asker.queueing():
            is_match = await asyncio.shield(check.is_match)
        if is_match is None:
            return False
        is_right = is_match and is_known
        self._remember(user, digest, is_right=is_right)
        return is_right

    async def _check_in_turn(self) -> None:
        loop = asyncio.get_running_loop()
        while digest := self._next():
            check = self._line[digest]
            arguments = check.password, check.hashed
            try:
                is_match = await loop.run_in_executor(self._thread, self._check, *arguments)
            except Exception as error:  # noqa: BLE001 - raised to its askers; the others still get their turn
                check.is_match.set_exception(error)
            else:
                check.is_match.set_result(is_match)
            del self._line[digest]

    def _next(self) -> bytes | None:
        """Return the next in the queue, None if it is empty; connections that are gone are removed."""
        for digest, check in list(self._line.items()):
            if all(asker.is_gone for asker in check.askers):
                check.is_match.set_result(None)
                del self._line[digest]
        waiting = self._line.values()
        in_line = {turn for it in waiting for turn in ((it.network,), (it.network, it.user))}
        self._last_turns = {turn: at for turn, at in self._last_turns.items() if turn in in_line}
        self._users_next = {network for network in self._users_next if (network,) in in_line}
        if not self._line:
            return None
        # A new network or user comes after those that wait, so that ever new ones cannot displace them.
        network = min(waiting, key=lambda it: self._last_turns.get((it.network,), it.came)).network
        line = {digest: it for digest, it in self._line.items() if it.network == network}
        chosen = next(iter(line))
        if network in self._users_next:
            chosen = min(
                line,
                key=lambda one: self._last_turns.get((network, line[one].user), line[one].came),
            )
        self._users_next ^= {network}
        self._turn += 1
        self._last_turns |= dict.fromkeys(((network,), (network, line[chosen].user)), self._turn)
        return chosen

    def _hash_for(self, users: Mapping[str, Secret[str]], user: str) -> bytes:
        """Return the hash of `user`; for an unknown name that of a known user, always the same for the same name."""
        if user not in users:
            chosen = int.from_bytes(self._keyed(_encoded(user))) % len(users)
            user = sorted(users)[chosen]
        return users[user].get_secret_value().encode()

    def _digest(self, user: str, hashed: bytes, password: bytes, *, is_known: bool) -> bytes:
        # Digests have a fixed length, so that different parts cannot be joined to the same bytes.
        parts = (_encoded(user), hashed, password, bytes([is_known]))
        return self._keyed(b"".join(map(self._keyed, parts)))

    def _keyed(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def _remembered(self, user: str, digest: bytes) -> bool | None:
        if self._right.get(user) == digest:
            return True
        return False if digest in self._wrong else None

    def _remember(self, user: str, digest: bytes, *, is_right: bool) -> None:
        if is_right:
            self._right[user] = digest
            return
        # Apart from right ones, which wrong ones must not displace.
        self._wrong[digest] = None
        if len(self._wrong) > MOST_WRONG:
            del self._wrong[next(iter(self._wrong))]


def _encoded(user: str) -> bytes:
    return user.encode(errors="surrogateescape")
