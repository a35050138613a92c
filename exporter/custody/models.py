"""What an answer of the custody API is, with its amounts as Decimal, checked where it enters.

A vault's rows are judged one by one: a row that cannot be right is reported and left out, the others count. What is
absent or null stays None. Fields nobody knows are ignored.

Sources: Kraken, "List balances" and "List vault asset balances", in all revisions seen in 2026.
"""

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError

DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,60}(\.[0-9]{0,60})?([eE][+-]?[0-9]{1,4})?")
DEFAULT_QUOTE_ASSET: Final = "USD"
LONGEST_CODE: Final = 64
MOST_ROWS: Final = 20_000
LONGEST_DESCRIPTION: Final = 128

_HALF_A_CHARACTER: Final = re.compile("[\ud800-\udfff]")


class InvalidAnswerError(ValueError):
    """An answer whose form is not the documented one; the message says where. type: of the error that this is."""

    type = "response/invalid"


class TooManyRowsError(InvalidAnswerError):
    """An answer with more rows than any vault has assets; to look at them all would hold up everything else."""

    type = "response/too_large"


def parse_json(body: bytes) -> object:
    """Return the JSON value in `body`, with every number as Decimal (NaN where it is not a plain finite one).

    Raises ValueError for anything that is not JSON, and for a nesting no honest answer has.
    """
    try:
        return json.loads(body, parse_float=_number, parse_int=_number, parse_constant=_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _number(text: str) -> Decimal:
    return Decimal(text) if DECIMAL.fullmatch(text) else Decimal("NaN")


def _amount(value: object) -> Decimal:
    number = _number(value) if isinstance(value, str) else value
    # A Decimal may be finite and yet more than a float, the type of every sample, can hold.
    if not isinstance(number, Decimal) or not math.isfinite(float(number)):
        raise ValueError("is not a finite decimal")
    return number


def _code(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("is not a text")
    if len(value) > LONGEST_CODE:
        raise ValueError(f"is longer than {LONGEST_CODE} characters")
    if _has_surrogates(value):
        raise ValueError("is not valid Unicode")
    return value


def _optional_code(value: object) -> str | None:
    """A quote asset that is of no use counts as missing: it must not withhold its row's amounts."""
    try:
        return _code(value)
    except ValueError:
        return None


def _has_surrogates(text: str) -> bool:
    """Whether a JSON escape left half a character, which no exposition can carry."""
    return _HALF_A_CHARACTER.search(text) is not None


def _description(value: object) -> str | None:
    """Names only describe: one that is of no use must not withhold its row's amounts."""
    if not isinstance(value, str) or not value or _has_surrogates(value):
        return None
    return value[:LONGEST_DESCRIPTION]


def _places(value: object) -> int | None:
    number = _number(value) if isinstance(value, str) else value
    # The range before the rest: int() of 1e9999 would write out every zero.
    if isinstance(number, Decimal) and number.is_finite() and 0 <= number < 1000:
        return int(number) if number == int(number) else None
    return None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _lot(value: object) -> Decimal | None:
    try:
        return _amount(value)
    except ValueError:
        return None


def _moment(value: object) -> Decimal | None:
    """Unix seconds as text or number; sibling pages of newer revisions write RFC 3339, so that counts too."""
    if isinstance(value, str) and not DECIMAL.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value)
            return Decimal(str(moment.timestamp())) if moment.tzinfo else None
        except (ValueError, OverflowError):
            return None
    return _lot(value)


Amount = Annotated[Decimal, PlainValidator(_amount)]
OptionalAmount = Annotated[
    Decimal | None, PlainValidator(lambda value: None if value is None else _amount(value))
]
Code = Annotated[str, PlainValidator(_code)]
OptionalCode = Annotated[str | None, PlainValidator(_optional_code)]
Description = Annotated[str | None, PlainValidator(_description)]
Places = Annotated[int | None, PlainValidator(_places)]
Flag = Annotated[bool | None, PlainValidator(_flag)]


class Asset(NamedTuple):
    """What an asset is, apart from any vault. Missing descriptions are None.

    min_lot: in units of the asset. launch_time: Unix seconds. *decimals: places after the point.
    """

    asset: str
    asset_class: str
    name: str | None
    name_full: str | None
    symbol: str | None
    virtual: bool | None
    reserve: bool | None
    decimals: int | None
    display_decimals: int | None
    rate_decimals: int | None
    funding_decimals: int | None
    min_lot: Decimal | None
    launch_time: Decimal | None


class AssetBalance(BaseModel):
    """One row of a vault: amounts in units of the asset, quote_* in units of `quote_asset`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    asset: Code
    asset_class: Code
    balance: Amount
    spot: Amount
    hold: Amount
    available: Amount
    pledged: OptionalAmount = None
    staked: OptionalAmount = None
    balance_diff: OptionalAmount = None
    quote_balance: OptionalAmount = None
    quote_spot_balance: OptionalAmount = None
    quote_available: OptionalAmount = None
    quote_price: OptionalAmount = None
    quote_asset: OptionalCode = None
    name: Description = None
    name_full: Description = None
    symbol: Description = None
    virtual: Flag = None
    reserve: Flag = None
    decimals: Places = None
    display_decimals: Places = None
    rate_decimals: Places = None
    funding_decimals: Places = None
    min_lot: Annotated[Decimal | None, PlainValidator(_lot)] = None
    launch_time: Annotated[Decimal | None, PlainValidator(_moment)] = None

    def description(self) -> Asset:
        """Return the part of the row that is the same in every vault."""
        return Asset(*(getattr(self, field) for field in Asset._fields))


class InvalidRow(NamedTuple):
    """A row that was left out. position: in the answer, from 0. field: empty where it is the whole row."""

    position: int
    field: str
    problem: str


@dataclass(frozen=True, slots=True)
class VaultBalances:
    """The answer of "List vault asset balances". Assets and classes are distinct among `rows`.

    quote_asset: the currency of every row that does not name its own.
    """

    rows: tuple[AssetBalance, ...]
    invalid: tuple[InvalidRow, ...]
    quote_asset: str


class OrganizationBalance(BaseModel):
    """The `balance` of the answer of "List balances", in units of the answer's quote asset; a missing part is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quote_asset: Code
    total: Amount
    spot: OptionalAmount = None
    staked: OptionalAmount = None
    pledged: OptionalAmount = None


def vault_balances(document: object) -> VaultBalances:
    """Return the rows of a vault from a bare array or an envelope `{"result": [...], "quote_asset": ...}`.

    Raises InvalidAnswerError where it is neither.
    """
    match document:
        case {"result": list(elements), **envelope}:
            quote_asset = envelope.get("quote_asset")
        case list(elements):
            quote_asset = None
        case _:
            raise InvalidAnswerError(
                "is neither an array of rows nor an object with them as result"
            )
    if len(elements) > MOST_ROWS:
        raise TooManyRowsError(f"has {len(elements)} rows, more than {MOST_ROWS}")
    rows: dict[tuple[str, str], AssetBalance] = {}
    invalid: list[InvalidRow] = []
    for position, element in enumerate(elements):
        try:
            row = AssetBalance.model_validate(element)
        except ValidationError as error:
            invalid.append(InvalidRow(position, *_first_mistake(error)))
            continue
        key = (row.asset, row.asset_class)
        if key in rows:
            invalid.append(
                InvalidRow(position, "asset", "and its class stand in the answer before")
            )
        else:
            rows[key] = row
    return VaultBalances(tuple(rows.values()), tuple(invalid), _quote_asset(quote_asset))


def organization_balance(document: object) -> OrganizationBalance:
    """Return an organization's total from `{"balance": {...}, "quote_asset": ...}`, or that as `result`.

    Raises InvalidAnswerError where there is no such thing, or an amount in it is not a finite decimal.
    """
    match document:
        case {"balance": dict(balance), **envelope} | {
            "result": {"balance": dict(balance), **envelope}
        }:
            quote_asset = _quote_asset(envelope.get("quote_asset"))
        case _:
            raise InvalidAnswerError("has no balance")
    try:
        return OrganizationBalance.model_validate({**balance, "quote_asset": quote_asset})
    except ValidationError as error:
        raise InvalidAnswerError("balance.{} {}".format(*_first_mistake(error))) from None


def _quote_asset(value: object) -> str:
    return _optional_code(value) or DEFAULT_QUOTE_ASSET


def _first_mistake(error: ValidationError) -> tuple[str, str]:
    """Return the field that is wrong (empty where the whole is) and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return field, "is missing"
    return field, first["msg"].removeprefix("Value error, ") if field else "is not an object"
