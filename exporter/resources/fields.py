"""The types of the fields of an answer, and the reading of objects field by field.

Each type has two readers that agree. msgspec decodes regular objects, fast and without other fields; what it refuses is
read here, value by value. A required field that cannot be read makes the whole object unusable; an optional one is then
None, like an absent or null one, and reported.
"""

import contextlib
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sized
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from exporter.custody.document import TooManyRowsError

MOST_ROWS: Final = 8_000
"""Of one answer."""
ROWS_AT_ONCE: Final = 100
"""Rows that are read between two turns of the event loop."""
LONGEST_CODE: Final = 64
LONGEST_NAME: Final = 1000
"""Maximum length of the name of an organization or a vault; Kraken's documented names have up to 128 characters."""
DEFAULT_QUOTE_ASSET: Final = "USD"

_LONGEST_DESCRIPTION: Final = 128
_MOST_DIGITS: Final = 60
_DECIMAL: Final = re.compile(
    rf"[+-]?[0-9]{{1,{_MOST_DIGITS}}}(\.[0-9]{{0,{_MOST_DIGITS}}})?([eE][+-]?[0-9]{{1,4}})?"
)
_MOST: Final = 10**9
_MOST_PLACES: Final = 1000
_FIRST_MOMENT: Final = Decimal(-30610224000)
_LAST_MOMENT: Final = Decimal("253402300799.999")
"""What RFC 3339 and the calendar of the system can write. Others are milliseconds, or what Go writes for no time."""
_NOT_AN_AMOUNT: Final = "is not a finite decimal"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text")  # noqa: TRY004 - what readers raise
    try:
        value.encode()
    except UnicodeEncodeError:
        # A JSON escape of half a surrogate pair, which cannot be encoded in an exposition.
        raise ValueError("is not valid Unicode") from None
    return value


def _code(value: object) -> str:
    text = _text(value)
    if not text:
        raise ValueError("is not a text")
    if len(text) > LONGEST_CODE:
        raise ValueError(f"is longer than {LONGEST_CODE} characters")
    return text


def _description(value: object) -> str | None:
    return _text(value)[:_LONGEST_DESCRIPTION] or None


def _name(value: object) -> str | None:
    """Return the whole name; None if it is blank, since Prometheus treats an empty label as absent."""
    text = _text(value)
    if len(text) > LONGEST_NAME:
        raise ValueError(f"is longer than {LONGEST_NAME} characters")
    return text if text.strip() else None


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is not true or false")  # noqa: TRY004 - what readers raise
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("is not an array")  # noqa: TRY004 - what readers raise
    return value


def _digits(value: object) -> str:
    """Return an amount's digits as they are written, as text or as JSON's own number."""
    text = value.decode() if isinstance(value, bytes) else value
    # A Decimal may be finite and yet more than a float, the type of every sample, can hold.
    if isinstance(text, str) and _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
        return text
    raise ValueError(_NOT_AN_AMOUNT)


def amount(value: object) -> Decimal:
    """Return a finite decimal of a text or number. Raises ValueError for anything else."""
    return Decimal(_digits(value))


def _whole(value: object, below: int, problem: str) -> int:
    try:
        number = amount(value)
    except ValueError:
        raise ValueError(problem) from None
    if not 0 <= number < below or number != int(number):
        raise ValueError(problem)
    return int(number)


def _places(value: object) -> int:
    return _whole(value, _MOST_PLACES, f"is not a whole number below {_MOST_PLACES}")


def _count(value: object) -> int:
    return _whole(value, _MOST + 1, "is not a whole number of 0 or more")


def moment(value: object) -> Decimal:
    """Return Unix seconds of a text or number; sibling pages of newer revisions write RFC 3339, so that counts too.

    Raises ValueError for anything else.
    """
    seconds = None
    with contextlib.suppress(ValueError):
        if not isinstance(value, str) or _DECIMAL.fullmatch(value):
            seconds = amount(value)
        elif (read := datetime.fromisoformat(value)).tzinfo is not None:
            seconds = Decimal(str(read.timestamp()))
    if seconds is None:
        raise ValueError("is not Unix seconds or RFC 3339 with a time zone")
    if not _FIRST_MOMENT <= seconds <= _LAST_MOMENT:
        raise ValueError("is not a time between the years 1000 and 9999")
    return seconds


def _written_moment(value: object) -> str:
    moment(value)
    return value.decode() if isinstance(value, bytes) else str(value)


class Reader(msgspec.Struct, frozen=True):
    """Marks the type of a field with its reader.

    read: returns the field's value, or raises ValueError with what is wrong with it.
    """

    read: Callable[[object], object]


Text = Annotated[str, Reader(_text)]
Code = Annotated[str, Meta(min_length=1, max_length=LONGEST_CODE), Reader(_code)]
Description = (
    Annotated[str, Meta(min_length=1, max_length=_LONGEST_DESCRIPTION), Reader(_description)] | None
)
GivenName = Annotated[str, Reader(_name)] | None
Flag = Annotated[bool, Reader(_flag)] | None
Elements = Annotated[list[Any], Reader(_list)]
Amount = Annotated[Decimal, Reader(amount)]
Digits = Annotated[str, Meta(min_length=1, max_length=_MOST_DIGITS), Reader(_digits)]
"""An amount as it is written. Code that decodes it with msgspec must check that it is one."""
Places = Annotated[int, Meta(ge=0, lt=_MOST_PLACES), Reader(_places)] | None
Count = Annotated[int, Reader(_count)] | None
Moment = Annotated[Decimal, Reader(moment)] | None
WrittenMoment = Annotated[str, Reader(_written_moment)] | None
"""As it is written. Code that decodes it with msgspec must let `moment` read it."""

Model = TypeVar("Model", bound=msgspec.Struct)


class FieldProblem(NamedTuple):
    """A problem with an object. field: empty if it concerns the whole object."""

    field: str
    problem: str


class UselessError(Exception):
    """An object cannot be used because of `mistake`."""

    def __init__(self, mistake: FieldProblem) -> None:
        self.mistake = mistake


class InvalidRow(NamedTuple):
    """A row that was left out.

    position: in the answer, from 0.
    field: empty if the problem concerns the whole row.
    """

    position: int
    field: str
    problem: str


class InvalidField(NamedTuple):
    """An optional field that could not be read, for one reason in a number of rows, which count without it.

    position: of the first of them; None if the answer has no rows.
    """

    field: str
    problem: str
    rows: int
    position: int | None


class _Field(NamedTuple):
    name: str
    read: Callable[[object], object]
    is_required: bool


def check_number(rows: Sized) -> None:
    """Raise TooManyRowsError if an answer has more rows than MOST_ROWS."""
    if len(rows) > MOST_ROWS:
        raise TooManyRowsError(f"has {len(rows)} rows, more than {MOST_ROWS}")


def read_fields(model: type[Model], element: object) -> tuple[Model, Iterable[FieldProblem]]:
    """Return `element`, of a document as `parse_json` returns it, as `model`.

    And what is wrong with those of its fields that may be missing; they are None. Raises UselessError if another one
    is wrong.
    """
    if not isinstance(element, dict):
        raise UselessError(FieldProblem("", "is not an object"))
    values: dict[str, object] = {}
    mistakes = []
    for name, read, is_required in _fields(model):
        value = element.get(name)
        if value is None and (not is_required or name not in element):
            if is_required:
                raise UselessError(FieldProblem(name, "is missing"))
            continue
        try:
            values[name] = read(value)
        except ValueError as problem:
            mistake = FieldProblem(name, str(problem))
            if is_required:
                raise UselessError(mistake) from None
            mistakes.append(mistake)
    return model(**values), mistakes


@functools.cache
def _fields(model: type[msgspec.Struct]) -> tuple[_Field, ...]:
    """Return the fields of `model` that answers have; one without a reader is ours."""
    types = get_type_hints(model, include_extras=True)
    return tuple(
        _Field(field.name, reader.read, field.required)
        for field in msgspec.structs.fields(model)
        for reader in _readers(types[field.name])
    )


def _readers(type_: object) -> Iterator[Reader]:
    if isinstance(type_, Reader):
        yield type_
    for argument in get_args(type_):
        yield from _readers(argument)


def quote_asset_of(value: object) -> str:
    """Return the `quote_asset` of an envelope; USD if it has no readable one."""
    try:
        return _code(value)
    except ValueError:
        return DEFAULT_QUOTE_ASSET
