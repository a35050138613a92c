"""What the fields of an answer may be: a type for each, and how an object is read field by field.

Most values of most answers are plain, and pydantic's core tells so without a call into Python; what else there may be
is judged here. Amounts are Decimal. A required field that cannot be read makes the whole object useless; an optional
one is None then, as what is absent or null is, and reported.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, NamedTuple, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

LONGEST_CODE: Final = 64
LONGEST_NAME: Final = 1000
"""Of an organization or a vault; those that Kraken documents have up to 128 characters."""
DEFAULT_QUOTE_ASSET: Final = "USD"

_LONGEST_DESCRIPTION: Final = 128
_MOST_DIGITS: Final = 60
_PLAIN: Final = rf"[+-]?[0-9]{{1,{_MOST_DIGITS}}}(\.[0-9]{{0,{_MOST_DIGITS}}})?"
"""Decimals that any float can hold, for the regular expressions of both Python and Rust."""
_DECIMAL: Final = re.compile(rf"{_PLAIN}([eE][+-]?[0-9]{{1,4}})?")
_MOST: Final = 10**9
_NOT_AN_AMOUNT: Final = "is not a finite decimal"
_PLACES: Final = {Decimal(number): number for number in range(1000)}
_PLACES_AS_USUAL: Final[dict[object, int]] = {str(number): number for number in range(1000)}
"""Most answers have four in each row, which would cost as much as two amounts."""


def _number(value: object) -> Decimal:
    """Return a number that is written as text or as JSON's own; NaN for anything else."""
    text = value.decode() if isinstance(value, bytes) else value
    if isinstance(text, str) and _DECIMAL.fullmatch(text):
        return Decimal(text)
    # What a model is made of in here is one already.
    return value if isinstance(value, Decimal) else Decimal("NaN")


def _amount(value: object) -> Decimal:
    number = _number(value)
    # A Decimal may be finite and yet more than a float, the type of every sample, can hold.
    if not math.isfinite(float(number)):
        raise ValueError(_NOT_AN_AMOUNT)
    return number


def _places(value: object) -> int | None:
    if value is None:
        return None
    places = _PLACES_AS_USUAL.get(value) if isinstance(value, str) else None
    if places is None:
        # What is no number is NaN, which is not in there either.
        places = _PLACES.get(_number(value))
    if places is None:
        raise PydanticCustomError("not_places", "is not a whole number below 1000")
    return places


def _count(value: object) -> int | None:
    if value is None:
        return None
    number = _number(value)
    if not number.is_finite() or not 0 <= number <= _MOST or number != int(number):
        raise PydanticCustomError("not_a_count", "is not a whole number of 0 or more")
    return int(number)


def _moment(value: object) -> Decimal | None:
    """Unix seconds as text or number; sibling pages of newer revisions write RFC 3339, so that counts too."""
    if value is None:
        return None
    try:
        if not isinstance(value, str) or _DECIMAL.fullmatch(value):
            return _amount(value)
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return Decimal(str(moment.timestamp()))
    except ValueError:
        pass
    raise PydanticCustomError("not_a_moment", "is not Unix seconds or RFC 3339 with a time zone")


def _name(text: str) -> str | None:
    """A label has the whole name, and blanks alone are none: Prometheus takes an empty label for none at all."""
    if len(text) > LONGEST_NAME:
        raise PydanticCustomError("name_too_long", f"is longer than {LONGEST_NAME} characters")
    return text if text.strip() else None


@dataclass(frozen=True)
class _Either:
    """Marks a type whose values usually are of the type `usual`; any other is judged by `judge`.

    judge: returns what the value stands for, or raises ValueError where it is no amount.
    """

    usual: object
    judge: Callable[[object], object]

    def __get_pydantic_core_schema__(self, _: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.union_schema(
            [
                handler.generate_schema(self.usual),
                core_schema.no_info_plain_validator_function(self.judge),
            ],
            mode="left_to_right",
            # Else both would tell what is wrong.
            custom_error_type="not_an_amount",
            custom_error_message=_NOT_AN_AMOUNT,
        )


# A bound, even of 0, is what makes pydantic's core look at the characters, and find the half ones.
Text = Annotated[str, Field(strict=True, min_length=0)]
_DecimalText = Annotated[str, Field(strict=True, pattern=f"^{_PLAIN}$"), AfterValidator(Decimal)]

Amount = Annotated[Decimal, _Either(_DecimalText, _amount)]
Code = Annotated[Text, Field(min_length=1, max_length=LONGEST_CODE)]
Description = (
    Annotated[Text, AfterValidator(lambda text: text[:_LONGEST_DESCRIPTION] or None)] | None
)
GivenName = Annotated[Text, AfterValidator(_name)] | None
Flag = Annotated[bool, Field(strict=True)] | None
Places = Annotated[int | None, PlainValidator(_places)]
Count = Annotated[int | None, PlainValidator(_count)]
Moment = Annotated[Decimal | None, PlainValidator(_moment)]

_CODE: Final[TypeAdapter[str]] = TypeAdapter(Code)
_PROBLEMS: Final = {
    "missing": "is missing",
    "string_type": "is not a text",
    "string_too_short": "is not a text",
    "string_too_long": f"is longer than {LONGEST_CODE} characters",
    # A JSON escape left half a character, which no exposition can carry.
    "string_unicode": "is not valid Unicode",
    "bool_type": "is not true or false",
    "list_type": "is not an array",
    "model_type": "is not an object",
}
"""In our words, by the type of pydantic's error, where its own message is not ours already."""

Model = TypeVar("Model", bound=BaseModel)


class FieldProblem(NamedTuple):
    """What is wrong with an object. field: empty where all of it is wrong."""

    field: str
    problem: str


class UselessError(Exception):
    """There is nothing that counts in an object, because of `mistake`."""

    def __init__(self, mistake: FieldProblem) -> None:
        self.mistake = mistake


class InvalidRow(NamedTuple):
    """A row that was left out. position: in the answer, from 0. field: empty where it is the whole row."""

    position: int
    field: str
    problem: str


class InvalidField(NamedTuple):
    """An optional field that could not be read, for the same reason in so many rows; they count without it.

    position: of the first of them; None where the answer has no rows.
    """

    field: str
    problem: str
    rows: int
    position: int | None


def read_fields(model: type[Model], element: object) -> tuple[Model, Iterable[FieldProblem]]:
    """Return `element` as `model`, and what is wrong with those of its fields that may be missing; they are None.

    Raises UselessError where another one is wrong.
    """
    try:
        return model.model_validate(element), ()
    except ValidationError as error:
        mistakes = [
            FieldProblem(
                ".".join(map(str, found["loc"])), _PROBLEMS.get(found["type"], found["msg"])
            )
            for found in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    for mistake in mistakes:
        field = model.model_fields.get(mistake.field)
        if field is None or field.is_required():
            raise UselessError(mistake)
    wrong = {mistake.field for mistake in mistakes}
    rest = {
        field: value
        for field, value in cast("dict[str, object]", element).items()
        if field not in wrong
    }
    return model.model_validate(rest), mistakes


def quote_asset_of(value: object) -> str:
    """Return the `quote_asset` of an envelope; USD where it has none that can be read."""
    try:
        return _CODE.validate_python(value)
    except ValidationError:
        return DEFAULT_QUOTE_ASSET
