"""What an answer of the custody API is, with its amounts as Decimal, checked where it enters.

A vault's rows are judged one by one: a row that cannot be right is reported and left out, the others count. What is
absent or null stays None. Fields nobody knows are ignored.

Sources: Kraken, "List balances" and "List vault asset balances", in all revisions seen in 2026.
"""

from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from exporter.custody.values import (
    LONGEST_CODE,
    Amount,
    Code,
    Description,
    Flag,
    Lot,
    Moment,
    OptionalCode,
    Places,
)

DEFAULT_QUOTE_ASSET: Final = "USD"
MOST_ROWS: Final = 20_000

_OPTIONAL_CODE: Final[TypeAdapter[str | None]] = TypeAdapter(OptionalCode)
_PROBLEMS: Final = {
    "missing": "is missing",
    "string_type": "is not a text",
    "string_too_short": "is not a text",
    "string_too_long": f"is longer than {LONGEST_CODE} characters",
    # A JSON escape left half a character, which no exposition can carry.
    "string_unicode": "is not valid Unicode",
    "model_type": "is not an object",
}
"""In our words, by the type of pydantic's error, where its own message is not ours already."""


class InvalidAnswerError(ValueError):
    """An answer whose form is not the documented one; the message says where. type: of the error that this is."""

    type = "response/invalid"


class TooManyRowsError(InvalidAnswerError):
    """An answer with more rows than any vault has assets; to look at them all would hold up everything else."""

    type = "response/too_large"


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


_description_of: Final = attrgetter(*Asset._fields)


class AssetBalance(BaseModel):
    """One row of a vault: amounts in units of the asset, quote_* in units of `quote_asset`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    asset: Code
    asset_class: Code
    balance: Amount
    spot: Amount
    hold: Amount
    available: Amount
    pledged: Amount | None = None
    staked: Amount | None = None
    balance_diff: Amount | None = None
    quote_balance: Amount | None = None
    quote_spot_balance: Amount | None = None
    quote_available: Amount | None = None
    quote_price: Amount | None = None
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
    min_lot: Lot = None
    launch_time: Moment = None

    def description(self) -> Asset:
        """Return the part of the row that is the same in every vault."""
        return Asset._make(_description_of(self))


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
    spot: Amount | None = None
    staked: Amount | None = None
    pledged: Amount | None = None


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
    return _OPTIONAL_CODE.validate_python(value) or DEFAULT_QUOTE_ASSET


def _first_mistake(error: ValidationError) -> tuple[str, str]:
    """Return the field that is wrong (empty where the whole is) and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(map(str, first["loc"]))
    return field, _PROBLEMS.get(first["type"], first["msg"])
