"""What the values in an answer may be: JSON with exact numbers, and a type for each kind of field.

Most values of most answers are plain, and pydantic's core tells so without a call into Python; what else there may be
is judged here.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, PlainValidator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

LONGEST_CODE: Final = 64
MOST_VALUES: Final = 75_000
"""In one answer, counted by commas and opening brackets: 2,700 rows of Kraken's with all their fields have fewer."""

_LONGEST_DESCRIPTION: Final = 128
_MOST_DIGITS: Final = 60
_PLAIN: Final = rf"[+-]?[0-9]{{1,{_MOST_DIGITS}}}(\.[0-9]{{0,{_MOST_DIGITS}}})?"
"""Decimals that any float can hold, for the regular expressions of both Python and Rust."""
_DECIMAL: Final = re.compile(rf"{_PLAIN}([eE][+-]?[0-9]{{1,4}})?")
_NOT_AN_AMOUNT: Final = "is not a finite decimal"
_PLACES: Final = {Decimal(number): number for number in range(1000)}


class TooManyValuesError(ValueError):
    """JSON that is longer in memory than any honest answer, however few its bytes."""


def parse_json(body: bytes | bytearray) -> object:
    """Return the JSON value in `body`, with every number as the bytes it is written in.

    So nothing is lost of it, and those in fields nobody reads cost next to nothing. Raises TooManyValuesError where it
    may have more than MOST_VALUES values, and another ValueError for what is not JSON or nested as no honest answer is.
    """
    # Each value that is not the first has one of these before it. An honest answer rarely has bytes enough to count.
    if len(body) > MOST_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise TooManyValuesError(f"has more than {MOST_VALUES} values")
    try:
        return json.loads(
            body, parse_float=str.encode, parse_int=str.encode, parse_constant=str.encode
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


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
    # What is no number is NaN, which is not in there either.
    places = _PLACES.get(_number(value))
    if places is None:
        raise PydanticCustomError("not_places", "is not a whole number below 1000")
    return places


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
_Text = Annotated[str, Field(strict=True, min_length=0)]
_DecimalText = Annotated[str, Field(strict=True, pattern=f"^{_PLAIN}$"), AfterValidator(Decimal)]

Amount = Annotated[Decimal, _Either(_DecimalText, _amount)]
Code = Annotated[_Text, Field(min_length=1, max_length=LONGEST_CODE)]
Description = (
    Annotated[_Text, AfterValidator(lambda text: text[:_LONGEST_DESCRIPTION] or None)] | None
)
Flag = Annotated[bool, Field(strict=True)] | None
Places = Annotated[int | None, PlainValidator(_places)]
Moment = Annotated[Decimal | None, PlainValidator(_moment)]
