"""Reads secrets from files and environment variables; no message shows one."""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

from exporter.strict_yaml.files import contents
from exporter.strict_yaml.mistakes import NamedProblemError, ProblemError

LARGEST_SECRET = 64 * 1024

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
USUAL_VARIABLE = re.compile(r"(?=.{3,40}$)[A-Z]+(?:_(?:[A-Z0-9]|\{[a-z]+\})+)+")
LONG_BASE64 = re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9+/_-]{20,}")
PATH_PART = re.compile(r"[\w. ~{}@:-]*")
WORDS = re.compile(r"[a-z]+(?:[._-][a-z0-9]+)*|\.+")
IN_ITS_PLACE = (
    "; if this is the secret itself, remove it here: put it into a file and write the file's path, "
    "or into an environment variable and write its name"
)


def may_be_secret(field: str, written: str) -> bool:
    """Whether a value looks like a secret where a file or a variable is expected, so that no message may show it."""
    if field.endswith("_env"):
        return not USUAL_VARIABLE.fullmatch(written)
    parts = written.split("/")
    # Base64 has slashes too, but rarely begins with one.
    if any(map(LONG_BASE64.fullmatch, parts if written.startswith("/") else (written, *parts))):
        return True
    if not all(map(PATH_PART.fullmatch, parts)):
        return True
    # Text with a directory is a path; a single word only if it looks like a usual file name. A static password is
    # chosen by people, and may be any word.
    return len(parts) == 1 and (field == "otp_file" or not WORDS.fullmatch(written))


def secret_text(where: Path | str, environ: Mapping[str, str]) -> str:
    """Read a secret from a file (a path) or an environment variable (a name); raises ProblemError."""
    written = _file_text(where) if isinstance(where, Path) else _variable(where, environ)
    stripped = written.rstrip("\r\n")
    if not stripped:
        raise ProblemError("is empty: put the secret there")
    return stripped


def _file_text(file: Path) -> str:
    read = contents(file, at_most=LARGEST_SECRET)
    with contextlib.suppress(UnicodeDecodeError):
        return read.decode()
    raise ProblemError("is not text: put the secret there as one line of text")


def _variable(name: str, environ: Mapping[str, str]) -> str:
    # An invalid name could make os.environ raise, and may be an inline secret.
    if not VARIABLE.fullmatch(name):
        form = "must be the name of an environment variable: letters, digits and _"
        raise NamedProblemError(form, name)
    if name not in environ:
        raise NamedProblemError("the environment variable is not set", name)
    return environ[name]
