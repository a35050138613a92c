"""Reading the files that an operator names: one way, and words for each way it can fail."""

import contextlib
import stat
from collections.abc import Callable
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import TypeVar

from exporter.strict_yaml.mistakes import NamedProblemError, UnansweredError
from exporter.threads import begin

ANSWER_SECONDS = 5.0
"""After which a file is given up; one on a disk or a network that works takes milliseconds."""

Result = TypeVar("Result")

_given_up = set[Path]()


def answer_of(path: Path, look: Callable[[], Result]) -> Result:
    """Return what `look` finds out about the file at `path`, and raise what it raises.

    Raises UnansweredError where that takes longer than ANSWER_SECONDS; and at once as long as the same file has not
    answered to somebody who gave up, so that those who wait for it do not pile up.
    """
    if path not in _given_up:
        looking = begin(look)
        if wait((looking,), ANSWER_SECONDS).done:
            return looking.result()
        _given_up.add(path)
        looking.add_done_callback(lambda _: _given_up.discard(path))
    raise UnansweredError(path, ANSWER_SECONDS)


def contents(path: Path, *, at_most: int) -> bytes:
    """Read a regular file of at most so many bytes.

    Raises NamedProblemError, which shows nothing of it, and UnansweredError.
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
        raise NamedProblemError("no such file: check the path", path) from None
    except PermissionError:
        problem = "permission denied: let the exporter's user read the file"
        raise NamedProblemError(problem, path) from None
    except OSError as error:
        raise NamedProblemError(f"cannot be read: {error.strerror}", path) from None


def is_open_to_all(path: Path) -> bool:
    """Whether every user of this machine can read a file: neither its mode nor a directory above it keeps them out.

    That its group can read it is no mistake: so Kubernetes and systemd hand a secret to the user of a service.
    Raises UnansweredError.
    """
    return answer_of(path, partial(_is_open_to_all, path))


def _is_open_to_all(path: Path) -> bool:
    # Python before 3.13 tells a link that leads to itself as a RuntimeError.
    with contextlib.suppress(OSError, RuntimeError):
        # What keeps others out stands around the file itself, not around a link to it.
        file = path.resolve()
        return bool(file.stat().st_mode & stat.S_IROTH) and all(
            directory.stat().st_mode & stat.S_IXOTH for directory in file.parents
        )
    return False
