"""Which part of all targets a process polls: the ids that rendezvous hashing gives it."""

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
        """Return whether the target with this id is of this shard."""
        return self.of == 1 or owner(id_, self.of) == self.number


WHOLE: Final = Shard()
"""All targets are of the only shard there is."""


# A listing, a reload and the plan ask for the same ones again.
@lru_cache(maxsize=REMEMBERED)
def owner(id_: str, shards: int) -> int:
    """Return which of `shards` an id belongs to.

    Rendezvous hashing (Thaler and Ravishankar, 1998): the shard that scores highest with the id has it. One shard more
    takes only what it scores highest with itself, which is one part in so many, and nothing else moves.
    """
    return max(range(shards), key=lambda shard: _score(shard, id_))


def _score(shard: int, id_: str) -> bytes:
    return hashlib.blake2b(f"{shard}/{id_}".encode(), digest_size=8).digest()
