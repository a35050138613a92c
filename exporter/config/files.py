"""Reading the files that an operator names: one way, and words for each way it can fail."""

import contextlib
import stat
from pathlib import Path

from exporter.config.mistakes import ProblemError


def contents(path: Path, *, at_most: int) -> bytes:
    """Read a regular file of at most so many bytes; raises ProblemError, which shows nothing of it."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ProblemError("is a directory: name a file")
        if not stat.S_ISREG(mode):  # a pipe would block, and can be read only once
            raise ProblemError("is no regular file: it must be one that can be read again")
        with path.open("rb") as file:
            read = file.read(at_most + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ProblemError("no such file: check the path") from None
    except PermissionError:
        raise ProblemError("permission denied: let the exporter's user read the file") from None
    except OSError as error:
        raise ProblemError(f"cannot be read: {error.strerror}") from None
    if len(read) > at_most:
        raise ProblemError(f"is larger than {at_most // 1024} KiB: is it the right file?")
    return read


def is_open_to_all(path: Path) -> bool:
    """Whether every user of this machine can read a file: neither its mode nor a directory above it keeps them out.

    That its group can read it is no mistake: so Kubernetes and systemd hand a secret to the user of a service.
    """
    # Python before 3.13 tells a link that leads to itself as a RuntimeError.
    with contextlib.suppress(OSError, RuntimeError):
        # What keeps others out stands around the file itself, not around a link to it.
        file = path.resolve()
        return bool(file.stat().st_mode & stat.S_IROTH) and all(
            directory.stat().st_mode & stat.S_IXOTH for directory in file.parents
        )
    return False
