"""Readers of single values: how they are written and what is valid.

They accept the text of a document; a value of the resulting Python type passes where a default may be one.
"""

import contextlib
import re
import ssl
from collections.abc import Callable, Mapping, Sized
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from msgspec import Struct

from exporter.durations import FORM, read_duration
from exporter.strict_yaml.files import answer_of, contents
from exporter.strict_yaml.mistakes import ProblemError

LONGEST_NAME = 128
LARGEST_CA_FILE = 16 * 1024 * 1024

WHOLE = re.compile(r"[1-9][0-9]{0,8}")
# No leading zeros, which other YAML parsers read as octal, and no exponent that could make a million digits.
NUMBER = re.compile(
    r"(?:(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?"
)
Fields = dict[str, object]
"""A mapping of the document as written."""


class Unquoted(str):
    """Unquoted text that YAML would not read as text.

    reads_as: what YAML would read, such as `a number`.
    """

    __slots__ = ("reads_as",)

    reads_as: str


def kind(value: object) -> str:
    """Return the kind of a value, without showing it."""
    match value:
        case None:
            return "nothing"
        case Unquoted():
            return value.reads_as
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


class Context(Struct, frozen=True):
    """The context in which a document is read.

    directory: where relative paths start.
    environ: the environment variables that may hold secrets.
    placeholders: the values of `{name}` in paths and names of variables.
    read: the values of the same section that were read before, without those that are wrong.
    """

    directory: Path
    environ: Mapping[str, str]
    placeholders: Mapping[str, str] = {}
    read: dict[str, Any] = {}

    def __repr__(self) -> str:
        # The environment may hold secrets.
        return f"Context(directory={self.directory!r}, placeholders={self.placeholders!r})"

    def filled(self, written: str) -> str:
        """Return `written` with each placeholder replaced."""
        for placeholder, value in self.placeholders.items():
            written = written.replace(f"{{{placeholder}}}", value)
        return written


class Within(NamedTuple):
    """In `Annotated[type, ...]`: a function of a value and its context."""

    read: Callable[[Any, Context], object]


class Before(NamedTuple):
    """The same, but of the value as written, before anything within it is read."""

    read: Callable[[object, Context], object]


def text(value: object) -> str:
    """Read printable text that is not empty; raises ProblemError."""
    if isinstance(value, Unquoted):
        raise ProblemError(f"{{value}} is {value.reads_as} to YAML: put it in quotes")
    if not isinstance(value, str):
        raise ProblemError(f"must be text, not {kind(value)}")
    if not value.strip():
        raise ProblemError("is empty: write some text")
    if not value.isprintable():
        raise ProblemError("has a control or invisible character: write printable text")
    return value


def name(value: object) -> str:
    """Read a name, which becomes a label value; raises ProblemError."""
    written = text(value)
    if len(written) > LONGEST_NAME:
        raise ProblemError(f"is longer than {LONGEST_NAME} characters")
    return written


def duration(value: object, *, may_be_zero: bool = False) -> float:
    """Read a duration, in seconds; raises ProblemError."""
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        raise ProblemError(f"must be a duration, not {kind(value)}: {FORM}")
    try:
        return read_duration(value, may_be_zero=may_be_zero)
    except ValueError as error:
        raise ProblemError(f"{{value}} {error}") from None


def whole_number(value: object) -> int:
    """Read a whole number from 1 to 999999999; raises ProblemError."""
    if isinstance(value, int):
        return value
    if not isinstance(value, str) or not WHOLE.fullmatch(value):
        raise ProblemError("{value} is not a whole number from 1 to 999999999")
    return int(value)


def number(form: str, fits: Callable[[Decimal], bool]) -> Callable[[object], Decimal]:
    """Return a reader of exact decimal numbers for which `fits`; `form` describes them."""

    def read(value: object) -> Decimal:
        if isinstance(value, Decimal):
            return value
        if isinstance(value, str) and NUMBER.fullmatch(value) and fits(Decimal(value)):
            return Decimal(value)
        raise ProblemError(f"{{value}} is not {form}")

    return read


def file_path(value: object, context: Context) -> Path:
    """Read the path of a file, which starts at the configuration file's directory."""
    return context.directory / context.filled(text(value))


def variable(value: object, context: Context) -> str:
    """Read the name of an environment variable."""
    return context.filled(text(value))


def check_certificates(path: Path) -> Path:
    """Check that a file contains a certificate that TLS can trust; raises ProblemError."""
    contents(path, at_most=LARGEST_CA_FILE)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # An SSLError is an OSError. A file with only a revocation list loads without an error.
    with contextlib.suppress(OSError):
        answer_of(path, lambda: trust.load_verify_locations(cafile=path))
        if trust.cert_store_stats()["x509"]:
            return path
    raise ProblemError("has no valid certificates: they must be in PEM format")


def not_empty(entries: Sized) -> Sized:
    """Check that a list or a mapping has entries; raises ProblemError."""
    if not entries:
        raise ProblemError("must have at least one entry")
    return entries


Text = Annotated[str, text]
Name = Annotated[str, name]
Duration = Annotated[float, duration]
WholeNumber = Annotated[int, whole_number]
Variable = Annotated[str, Within(variable)]
FilePath = Annotated[Path, Within(file_path)]
CaFile = Annotated[FilePath, check_certificates]
