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

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, InstanceOf, PlainValidator
from pydantic_core import CoreSchema, core_schema

LONGEST_CODE: Final = 64

_LONGEST_DESCRIPTION: Final = 128
_MOST_DIGITS: Final = 60
_PLAIN: Final = rf"[+-]?[0-9]{{1,{_MOST_DIGITS}}}(\.[0-9]{{0,{_MOST_DIGITS}}})?"
"""Decimals that any float can hold, for the regular expressions of both Python and Rust."""
_DECIMAL: Final = re.compile(rf"{_PLAIN}([eE][+-]?[0-9]{{1,4}})?")
_NOT_AN_AMOUNT: Final = "is not a finite decimal"
_PLACES: Final = {Decimal(number): number for number in range(1000)}


def parse_json(body: bytes) -> object:
    """Return the JSON value in `body`, with every number as Decimal (NaN where it is not a plain finite one).

    Raises ValueError for anything that is not JSON, and for a nesting no honest answer has.
    """
    try:
        return json.loads(body, parse_float=_number, parse_int=_whole, parse_constant=_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _number(value: object) -> Decimal:
    """Return a number that is written as text or was read as one; NaN for anything else."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    return value if isinstance(value, Decimal) else Decimal("NaN")


def _whole(digits: str) -> Decimal:
    # JSON's grammar leaves nothing to doubt in a few digits, and most numbers of an answer are that.
    return Decimal(digits) if len(digits) <= _MOST_DIGITS else _number(digits)


def _amount(value: object) -> Decimal:
    number = _number(value)
    # A Decimal may be finite and yet more than a float, the type of every sample, can hold.
    if not math.isfinite(float(number)):
        raise ValueError(_NOT_AN_AMOUNT)
    return number


def _places(value: object) -> int | None:
    return _PLACES.get(_number(value))


def _moment(value: object) -> Decimal:
    """Unix seconds as text or number; sibling pages of newer revisions write RFC 3339, so that counts too."""
    if not isinstance(value, str) or _DECIMAL.fullmatch(value):
        return _amount(value)
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("is in no time zone")
    return Decimal(str(moment.timestamp()))


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


class _UselessIsNone:
    """Marks what only describes: a value that is of no use must not withhold its row's amounts."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


_Text = Annotated[str, Field(strict=True, min_length=1)]
_DecimalText = Annotated[str, Field(strict=True, pattern=f"^{_PLAIN}$"), AfterValidator(Decimal)]
_SmallNumber = Annotated[InstanceOf[Decimal], AfterValidator(_PLACES.get)]

Amount = Annotated[Decimal, _Either(_DecimalText, _amount)]
Code = Annotated[_Text, Field(max_length=LONGEST_CODE)]
OptionalCode = Annotated[Code | None, _UselessIsNone()]
Description = Annotated[
    Annotated[_Text, AfterValidator(lambda text: text[:_LONGEST_DESCRIPTION])] | None,
    _UselessIsNone(),
]
Places = Annotated[int | None, _Either(_SmallNumber, _places)]
Flag = Annotated[bool | None, Field(strict=True), _UselessIsNone()]
Lot = Annotated[Amount | None, _UselessIsNone()]
Moment = Annotated[Annotated[Decimal, PlainValidator(_moment)] | None, _UselessIsNone()]
