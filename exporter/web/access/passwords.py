"""Checks passwords against bcrypt hashes: off the event loop, one at a time, and each only once.

What a check costs tells nobody whether there is such a user: a name that nobody has is checked as well, against the
hash of somebody who is there.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import SecretStr

MOST_WAITING: Final = 16
"""Checks at once: they take turns, each takes as long as the hash says, and the end of the server waits for them."""
MOST_WRONG: Final = 100
"""Wrong passwords that are remembered, so that a scraper with an old one is not a load."""
_LONGEST_PASSWORD: Final = 72
"""bcrypt looks no further, so what makes its hashes cuts passwords there."""

Check = Callable[[bytes, bytes], bool]


class TooManyChecksError(Exception):
    """So many passwords are being checked that another one would take too long."""


def bcrypt_check(password: bytes, hashed: bytes) -> bool:
    """Whether a bcrypt hash was made of a password."""
    # Not before somebody has a password: most daemons never need it.
    import bcrypt  # noqa: PLC0415

    return bcrypt.checkpw(password[:_LONGEST_PASSWORD], hashed)


class Passwords:
    """Remembers of each user the password that was right, and the last ones that were wrong, as keyed digests."""

    def __init__(self, check: Check = bcrypt_check) -> None:
        self._check = check
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}
        self._wrong: dict[bytes, None] = {}
        self._turn = asyncio.Lock()
        self._under_way: dict[bytes, asyncio.Task[bool]] = {}

    async def is_right(self, users: Mapping[str, SecretStr], user: str, password: bytes) -> bool:
        """Whether `password` is the one that `user` has in `users`, of which there is at least one.

        Raises TooManyChecksError.
        """
        hashed, is_known = self._hash_for(users, user), user in users
        digest = self._digest(user, hashed, password, is_known=is_known)
        if (remembered := self._remembered(user, digest)) is not None:
            return remembered
        # Whoever asks the same waits for the same answer.
        check = self._under_way.get(digest)
        if check is None:
            if len(self._under_way) >= MOST_WAITING:
                raise TooManyChecksError
            check = asyncio.create_task(self._matches(password, hashed))
            self._under_way[digest] = check
            check.add_done_callback(lambda _: self._under_way.pop(digest))
        is_right = await asyncio.shield(check) and is_known
        self._remember(user, digest, is_right=is_right)
        return is_right

    async def _matches(self, password: bytes, hashed: bytes) -> bool:
        async with self._turn:
            return await asyncio.to_thread(self._check, password, hashed)

    def _hash_for(self, users: Mapping[str, SecretStr], user: str) -> bytes:
        """Return the hash of `user`, or for a name that nobody has that of somebody, always the same for one name."""
        if user not in users:
            chosen = int.from_bytes(self._keyed(_encoded(user))) % len(users)
            user = sorted(users)[chosen]
        return users[user].get_secret_value().encode()

    def _digest(self, user: str, hashed: bytes, password: bytes, *, is_known: bool) -> bytes:
        # Digests have a fixed length, so that no two different parts can be joined to the same.
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
        # Apart from those that are right, which no number of wrong ones is to push out.
        self._wrong[digest] = None
        if len(self._wrong) > MOST_WRONG:
            del self._wrong[next(iter(self._wrong))]


def _encoded(user: str) -> bytes:
    return user.encode(errors="surrogateescape")
