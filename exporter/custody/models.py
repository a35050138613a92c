"""What an answer of the custody API is, with its amounts as Decimal, checked where it enters.

A vault's rows are judged one by one: a row that cannot be right is reported and left out, the others count. A field
that may be missing and cannot be read is reported and None, as what is absent or null is. Fields nobody knows are
ignored.

Sources: Kraken, "List balances" and "List vault asset balances", in all revisions seen in 2026.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from exporter.custody.values import (
    LONGEST_CODE,
    Amount,
    Code,
    Description,
    Flag,
    Moment,
    Places,
)
from exporter.turns import Steps, at_once

DEFAULT_QUOTE_ASSET: Final = "USD"
MOST_ROWS: Final = 8_000
ROWS_AT_ONCE: Final = 100

_CODE: Final[TypeAdapter[str]] = TypeAdapter(Code)
_PROBLEMS: Final = {
    "missing": "is missing",
    "string_type": "is not a text",
    "string_too_short": "is not a text",
    "string_too_long": f"is longer than {LONGEST_CODE} characters",
    # A JSON escape left half a character, which no exposition can carry.
    "string_unicode": "is not valid Unicode",
    "bool_type": "is not true or false",
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
    quote_asset: Code | None = None
    name: Description = None
    name_full: Description = None
    symbol: Description = None
    virtual: Flag = None
    reserve: Flag = None
    decimals: Places = None
    display_decimals: Places = None
    rate_decimals: Places = None
    funding_decimals: Places = None
    min_lot: Amount | None = None
    launch_time: Moment = None

    def description(self) -> Asset:
        """Return the part of the row that is the same in every vault."""
        return Asset._make(_description_of(self))


class InvalidRow(NamedTuple):
    """A row that was left out. position: in the answer, from 0. field: empty where it is the whole row."""

    position: int
    field: str
    problem: str


class InvalidField(NamedTuple):
    """A field that may be missing and could not be read, for the same reason in so many rows; they count without it.

    position: of the first of them; 0 for an organization's total.
    """

    field: str
    problem: str
    rows: int
    position: int


@dataclass(frozen=True, slots=True)
class VaultBalances:
    """The answer of "List vault asset balances". Assets and classes are distinct among `rows`.

    quote_asset: the currency of every row that does not name its own. invalid_fields: of `rows`.
    """

    rows: tuple[AssetBalance, ...]
    invalid: tuple[InvalidRow, ...]
    quote_asset: str
    invalid_fields: tuple[InvalidField, ...] = ()


class OrganizationBalance(BaseModel):
    """The `balance` of the answer of "List balances", in units of the answer's quote asset; a missing part is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quote_asset: Code
    total: Amount
    spot: Amount | None = None
    staked: Amount | None = None
    pledged: Amount | None = None
    invalid_fields: tuple[InvalidField, ...] = ()


_Model = TypeVar("_Model", AssetBalance, OrganizationBalance)


def vault_balances(document: object) -> VaultBalances:
    """Return the rows of a vault from a bare array or an envelope `{"result": [...], "quote_asset": ...}`.

    Raises InvalidAnswerError where it is neither.
    """
    return at_once(vault_steps(document))


def vault_steps(document: object) -> Steps[VaultBalances]:
    """Return the same as `vault_balances`, with a stop after every ROWS_AT_ONCE rows."""
    match document:
        case {"result": list(elements), **envelope}:
            quote_asset = envelope.get("quote_asset")
        case list(elements):
            quote_asset = None
        case _:
            raise InvalidAnswerError("is neither an array of rows nor an object with one as result")
    if len(elements) > MOST_ROWS:
        raise TooManyRowsError(f"has {len(elements)} rows, more than {MOST_ROWS}")
    rows: dict[tuple[str, str], AssetBalance] = {}
    invalid: list[InvalidRow] = []
    unread: dict[_Mistake, InvalidField] = {}
    for position, element in enumerate(elements):
        if position and position % ROWS_AT_ONCE == 0:
            yield
        try:
            row, mistakes = _read(AssetBalance, element)
        except _UselessError as error:
            invalid.append(InvalidRow(position, *error.mistake))
            continue
        key = (row.asset, row.asset_class)
        if key in rows:
            invalid.append(InvalidRow(position, "asset", "and its class appear more than once"))
            continue
        rows[key] = row
        for mistake in mistakes:
            first = unread.get(mistake, InvalidField(*mistake, 0, position))
            unread[mistake] = first._replace(rows=first.rows + 1)
    return VaultBalances(
        tuple(rows.values()), tuple(invalid), _quote_asset(quote_asset), tuple(unread.values())
    )


def organization_balance(document: object) -> OrganizationBalance:
    """Return an organization's total from `{"balance": {...}, "quote_asset": ...}`, or that as `result`.

    Raises InvalidAnswerError where there is no such thing, or its total is not a finite decimal.
    """
    match document:
        case {"balance": dict(balance), **envelope} | {
            "result": {"balance": dict(balance), **envelope}
        }:
            quote_asset = _quote_asset(envelope.get("quote_asset"))
        case _:
            raise InvalidAnswerError("has no balance")
    element = {**balance, "quote_asset": quote_asset}
    # That is ours to say.
    element.pop("invalid_fields", None)
    try:
        total, mistakes = _read(OrganizationBalance, element)
    except _UselessError as error:
        raise InvalidAnswerError("balance.{} {}".format(*error.mistake)) from None
    fields = tuple(InvalidField(*mistake, rows=1, position=0) for mistake in mistakes)
    return total.model_copy(update={"invalid_fields": fields}) if fields else total


def organization_steps(document: object) -> Steps[OrganizationBalance]:
    """Return the same as `organization_balance`, which is too short for a stop."""
    yield from ()
    return organization_balance(document)


class _Mistake(NamedTuple):
    """field: empty where all of it is wrong."""

    field: str
    problem: str


class _UselessError(Exception):
    """There is nothing that counts in it, because of `mistake`."""

    def __init__(self, mistake: _Mistake) -> None:
        self.mistake = mistake


def _read(model: type[_Model], element: object) -> tuple[_Model, Iterable[_Mistake]]:
    """Return `element` as `model`, and what is wrong with those of its fields that may be missing; they are None.

    Raises _UselessError where another one is wrong.
    """
    try:
        return model.model_validate(element), ()
    except ValidationError as error:
        mistakes = [
            _Mistake(".".join(map(str, found["loc"])), _PROBLEMS.get(found["type"], found["msg"]))
            for found in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    for mistake in mistakes:
        field = model.model_fields.get(mistake.field)
        if field is None or field.is_required():
            raise _UselessError(mistake)
    wrong = {mistake.field for mistake in mistakes}
    rest = {
        field: value
        for field, value in cast("dict[str, object]", element).items()
        if field not in wrong
    }
    return model.model_validate(rest), mistakes


def _quote_asset(value: object) -> str:
    try:
        return _CODE.validate_python(value)
    except ValidationError:
        return DEFAULT_QUOTE_ASSET
