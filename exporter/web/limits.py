"""Limits for clients of the web server, so that a few careless or hostile ones leave enough for the others."""

import re
import resource
from typing import Final, NamedTuple

SPARE_FILES: Final = 384
"""Open files besides counted connections: those of polling, and of connections that are being accepted."""


class Limits(NamedTuple):
    """The limits, named as in Prometheus and its exporter-toolkit if those have them.

    connections: maximum open at once; a further one replaces one of the client with the most.
    requests: maximum answered at once, 0 for any number.
    read_timeout: seconds from connecting, or from the first byte of a further request, to the end of its head.
    write_timeout: seconds from there until the client has read the answer.
    idle_timeout: seconds between an answer and the next request; longer than Prometheus's usual scrape interval, so
        that a scrape finds its connection still open.
    body_bytes: maximum size of a request's body; nothing served here needs one, and in chunks of one byte each byte
        takes as much time as a thousand.
    """

    connections: int = 512
    requests: int = 40
    read_timeout: float = 10.0
    write_timeout: float = 60.0
    idle_timeout: float = 90.0
    body_bytes: int = 16 * 1024

    def within_open_files(self) -> "Limits":
        """Return limits with no more connections than the process may open files: polling needs some too.

        Raises the process's own limit as far as needed and allowed.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.connections + SPARE_FILES
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return self
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return self._replace(connections=max(1, soft - SPARE_FILES))


DEFAULT_LIMITS: Final = Limits()


def number(text: str, *, least: int) -> int:
    """Read a whole number from `least` to 999999. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < least:
        raise ValueError(f"{text!r} is not a whole number from {least} to 999999")
    return int(text)
