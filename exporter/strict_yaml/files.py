"""Reads the files that an operator names, with a message for each way that can fail."""

import contextlib
import stat
from collections.abc import Callable
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import TypeVar

from exporter.strict_yaml.mistakes import (
    MissingFileError,
    NamedProblemError,
    UnansweredError,
)
from exporter.threads import begin

ANSWER_SECONDS = 5.0
"""Timeout for one file; a working disk or network takes milliseconds."""

Result = TypeVar("Result")

_given_up = set[Path]()


def answer_of(path: Path, look: Callable[[], Result]) -> Result:
    """Return or raise the result of `look` for the file at `path`.

    Raises UnansweredError if that takes longer than ANSWER_SECONDS, and at once while an earlier call for the same file
    is still blocked, so that blocked threads do not pile up.
    """
    if path not in _given_up:
        looking = begin(look)
        if wait((looking,), ANSWER_SECONDS).done:
            return looking.result()
        _given_up.add(path)
        looking.add_done_callback(lambda _: _given_up.discard(path))
    raise UnansweredError(path, ANSWER_SECONDS)


def contents(path: Path, *, at_most: int) -> bytes:
    """Read a regular file of at most `at_most` bytes.

    Raises NamedProblemError, which shows none of its content, and UnansweredError.
    """
    read = answer_of(path, partial(_read, path, at_most + 1))
    if len(read) > at_most:
        raise NamedProblemError(
            f"is larger than {at_most // 1024} KiB: is it the right file?", path
        )
    return read


def _read(path: Path, size: int) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise NamedProblemError("is a directory: name a file", path)
        if not stat.S_ISREG(mode):  # a pipe would block, and can be read only once
            problem = "is not a regular file: it must be one that can be read again"
            raise NamedProblemError(problem, path)
        with path.open("rb") as file:
            return file.read(size)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(path) from None
    except PermissionError:
        problem = "permission denied: let the exporter's user read the file"
        raise NamedProblemError(problem, path) from None
    except OSError as error:
        raise NamedProblemError(f"cannot be read: {error.strerror}", path) from None


def is_open_to_all(path: Path) -> bool:
    """Whether every user of this machine can read a file, by its mode and the directories above it.

    Access for its group is fine: that is how Kubernetes and systemd pass a secret to a service's user.
    Raises UnansweredError.
    """
    return answer_of(path, partial(_is_open_to_all, path))


def _is_open_to_all(path: Path) -> bool:
    # Python before 3.13 raises RuntimeError for a symlink loop.
    with contextlib.suppress(OSError, RuntimeError):
        # Permissions are those around the file itself, not around a link to it.
        file = path.resolve()
        return bool(file.stat().st_mode & stat.S_IROTH) and all(
            directory.stat().st_mode & stat.S_IXOTH for directory in file.parents
        )
    return False
