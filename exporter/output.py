"""The program's output: text on stdout, problems on stderr, and an exit status."""

import os
import sys
from typing import Final

from exporter.flags import PROGRAM
from exporter.terminal import fit_for

SUCCESS: Final = 0
RUNTIME_FAILURE: Final = 1
BAD_USAGE: Final = 2


def show(text: str) -> int:
    """Write `text` to stdout and return the exit status; a closed pipe, as from `head`, is no failure."""
    if sys.stdout is None:
        tell(f"{PROGRAM}: cannot write to stdout: it is closed")
        return RUNTIME_FAILURE
    try:
        # Whatever the terminal's encoding is: the exposition is UTF-8.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python would try again at the end of the process, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            tell(f"{PROGRAM}: cannot write to stdout: {error.strerror}")
            return RUNTIME_FAILURE
    return SUCCESS


def tell(problem: str) -> None:
    """Write a problem to stderr; it may contain any character, from file names or contents."""
    print(fit_for(sys.stderr, problem), file=sys.stderr)
