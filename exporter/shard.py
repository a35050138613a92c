"""Shards: which targets a process polls, by rendezvous hashing of their ids."""

import hashlib
import re
from functools import lru_cache
from typing import Final, NamedTuple

FORM: Final = re.compile(r"(0|[1-9][0-9]{0,3})/([1-9][0-9]{0,3})")
REMEMBERED: Final = 65536


class Shard(NamedTuple):
    """Shard `number`, from 0, of `of`."""

    number: int = 0
    of: int = 1

    @classmethod
    def parse(cls, written: str) -> "Shard":
        """Read `I/N`. Raises ValueError."""
        match = FORM.fullmatch(written)
        if not match or int(match[1]) >= int(match[2]):
            raise ValueError("must be I/N, I from 0 to N - 1 and N at most 9999, such as 2/13")
        return cls(int(match[1]), int(match[2]))

    def has(self, id_: str) -> bool:
        """Whether this shard polls the target with this id."""
        return self.of == 1 or owner(id_, self.of) == self.number


WHOLE: Final = Shard()
"""The only shard, with all targets."""


# Cached: listings, reloads and the plan repeat the same ids.
@lru_cache(maxsize=REMEMBERED)
def owner(id_: str, shards: int) -> int:
    """Return the number of the shard that an id belongs to.

    Rendezvous hashing (Thaler and Ravishankar, 1998): an id belongs to the shard with the highest score. An additional
    shard takes only the ids for which its own score is highest; no other id moves.
    """
    return max(range(shards), key=lambda shard: _score(shard, id_))


def _score(shard: int, id_: str) -> bytes:
    return hashlib.blake2b(f"{shard}/{id_}".encode(), digest_size=8).digest()
