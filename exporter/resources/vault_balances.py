"""A vault's balances: a row for each asset.

Rows are validated one by one: an invalid row is reported and left out, the others count. Unknown fields are ignored.

Source: Kraken, "List vault asset balances", in all revisions seen in 2026.
"""

import functools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, compress, repeat, starmap
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Final, NamedTuple, Self

import msgspec

from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError, has_too_many_values
from exporter.custody.errors import CustodyError, Reaction
from exporter.discovery.inventory import Inventory
from exporter.metrics.lines import Lines, Page, label_set, sample_values
from exporter.metrics.metric import Group, Metric
from exporter.resources.fields import (
    DEFAULT_QUOTE_ASSET,
    MOST_ROWS,
    ROWS_AT_ONCE,
    Code,
    Description,
    Digits,
    FieldProblem,
    Flag,
    InvalidField,
    InvalidRow,
    Places,
    UselessError,
    WrittenMoment,
    amount,
    check_number,
    moment,
    quote_asset_of,
    read_fields,
)
from exporter.resources.resource import (
    CACHED,
    Answer,
    Column,
    Exposed,
    MakeRequest,
    Resource,
    Table,
    TableRow,
)
from exporter.resources.resource import Description as Described
from exporter.resources.target import Target
from exporter.resources.vaults import info_lines
from exporter.resources.worth import Cell, Worth, exact_sum, is_short, is_unpriced, shortages, sums
from exporter.turns import Steps

ENDPOINT: Final = "vault_asset_balances"
WITH_PARAMETERS: Final = "?quote=USD&full_precision=true"
WITHOUT: Final = ""

_VAULT_LABELS: Final = ("org", "vault", "vault_id")
_ASSET_LABELS: Final = ("asset", "asset_class")


class AssetBalance(msgspec.Struct, frozen=True, gc=False):
    """One row: amounts in units of the asset, quote_* in units of `quote_asset`, each as it is written."""

    asset: Code
    asset_class: Code
    balance: Digits
    spot: Digits
    hold: Digits
    available: Digits
    pledged: Digits | None = None
    staked: Digits | None = None
    balance_diff: Digits | None = None
    quote_balance: Digits | None = None
    quote_spot_balance: Digits | None = None
    quote_available: Digits | None = None
    quote_price: Digits | None = None
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
    min_lot: Digits | None = None
    launch_time: WrittenMoment = None


class BalanceMetric(msgspec.Struct, frozen=True):
    """A metric with a sample for each row, of the field that is its source.

    column: its title on the page, empty if it is not shown. is_quote: whether it is in units of the quote asset.
    """

    metric: Metric
    column: str
    is_quote: bool


def _amount(
    name: str, field: str, what: str, column: str = "", *, is_quote: bool = False
) -> BalanceMetric:
    units = "quote_asset" if is_quote else "the asset"
    metric = Metric(
        name=f"kraken_custody_vault_{'quote_' if is_quote else ''}{name}",
        type="gauge",
        help=f"{what}, in units of {units} (API field {field}). {CACHED}",
        labels=(*_VAULT_LABELS, *_ASSET_LABELS, *(("quote_asset",) if is_quote else ())),
        unit="quote asset" if is_quote else "asset",
        source=field,
        is_field=True,
    )
    return BalanceMetric(metric, column, is_quote)


_quote: Final = functools.partial(_amount, is_quote=True)


BALANCES: Final = (
    _amount("balance", "balance", "Total balance of the asset in the vault", "Balance"),
    _amount("spot_balance", "spot", "Spot part of the balance", "Spot"),
    _amount("hold_balance", "hold", "Balance on hold, such as for pending withdrawals", "Hold"),
    _amount("available_balance", "available", "Balance that is available", "Available"),
    _amount("pledged_balance", "pledged", "Pledged part of the balance", "Pledged"),
    _amount("staked_balance", "staked", "Staked part of the balance", "Staked"),
    _amount(
        "balance_diff", "balance_diff", "Day-over-day change of the balance", "Day-over-day change"
    ),
    _quote("balance", "quote_balance", "Value of the total balance", "Quote balance"),
    _quote("spot_balance", "quote_spot_balance", "Value of the spot part of the balance"),
    _quote("available_balance", "quote_available", "Value of the balance that is available"),
    _quote("price", "quote_price", "Price of one unit of the asset", "Quote price"),
)
WORTH: Final = "quote_balance"
MINIMUM: Final = "min_available"
_ON_THE_PAGE: Final = (
    *(WORTH, "balance", "balance_diff", "available", MINIMUM),
    *("spot", "hold", "pledged", "staked", "quote_price"),
)
"""In this order: worth first, then what is available. Fields that are not shown are products of these."""
_PLACES: Final = {it.metric.source: place for place, it in enumerate(BALANCES)}
FIELDS: Final = (*_ON_THE_PAGE, *(field for field in _PLACES if field not in _ON_THE_PAGE))
COLUMNS: Final = tuple(
    Column(field, "Minimum" if field == MINIMUM else BALANCES[_PLACES[field]].column)
    for field in FIELDS
)
_BALANCE, _AVAILABLE, _WORTH = (_PLACES[field] for field in ("balance", "available", WORTH))
_key_of: Final = attrgetter("asset", "asset_class")
_amounts_of: Final = attrgetter(*_PLACES)
_QUOTED: Final = frozenset(it.metric.name for it in BALANCES if it.is_quote)

MIN_AVAILABLE: Final = Metric(
    name="kraken_custody_vault_min_available_balance",
    type="gauge",
    help="Configured threshold for the available balance, in units of the asset.",
    labels=(*_VAULT_LABELS, "asset"),
    unit="asset",
    source="configuration `min_available`",
)
ASSET_INFO: Final = Metric(
    name="kraken_custody_asset_info",
    # OpenMetrics's type info would remove the suffix from the family's name, so the metric would have two names.
    type="gauge",
    help="Description of an asset held in any vault, as the API gives it; missing fields are empty. Always 1.",
    labels=(
        *_ASSET_LABELS,
        "name",
        "name_full",
        "symbol",
        "virtual",
        "reserve",
        "decimals",
        "display_decimals",
        "rate_decimals",
        "funding_decimals",
    ),
    unit="",
    source="fields of the same names",
)
ASSET_MIN_LOT: Final = Metric(
    name="kraken_custody_asset_min_lot",
    type="gauge",
    help="Smallest amount of the asset that can be traded or transferred, in units of the asset (API field min_lot).",
    labels=_ASSET_LABELS,
    unit="asset",
    source="min_lot",
    is_field=True,
)
ASSET_LAUNCH: Final = Metric(
    name="kraken_custody_asset_launch_timestamp_seconds",
    type="gauge",
    help="When the asset was launched, in Unix time (API field launch_time).",
    labels=_ASSET_LABELS,
    unit="seconds",
    source="launch_time",
    is_field=True,
)


class Asset(NamedTuple):
    """The description of an asset, independent of any vault. Missing values are None.

    min_lot: in units of the asset.
    launch_time: Unix seconds.
    *decimals: decimal places.
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

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the asset."""
        return self.asset, self.asset_class

    def lines(self) -> Lines:
        """Return its samples; a missing description is an empty label, a missing number no sample."""
        page = Page()
        *descriptions, min_lot, launch_time = self[2:]
        page.sample(ASSET_INFO, (*self.key, *map(_text, descriptions)), 1)
        page.sample(ASSET_MIN_LOT, self.key, min_lot)
        page.sample(ASSET_LAUNCH, self.key, launch_time)
        return page.done()


_description_of: Final = attrgetter(*Asset._fields)


# Cached: vaults hold the same few assets, whose descriptions rarely change.
@functools.lru_cache(maxsize=4096)
def _asset(*written: Any) -> Asset:  # noqa: ANN401 - the fields of a row, in the order of Asset's
    """Raise ValueError for what cannot be read."""
    *others, min_lot, launch_time = written
    least = None if min_lot is None else amount(min_lot)
    launched = None if launch_time is None else moment(launch_time)
    return Asset._make((*others, least, launched))


def _text(description: str | int | Decimal | None) -> str:
    match description:
        case None:
            return ""
        case bool(flag):
            return "true" if flag else "false"
    return str(description)


# Not sys.intern(): in Python 3.12 what an API names would stay in memory for good.
@functools.lru_cache(maxsize=256)
def _shared(quote_asset: str) -> str:
    """Return the same object for equal texts: most rows have the same."""
    return quote_asset


_Column = Sequence[str | None]
_Floats = Sequence[float | None]
ReadFloats = Callable[[Sequence[_Column]], Sequence[_Floats]]
_FLOATS: Final = list[list[float | None]]
_NONE: Final = "null"


def _floats(columns: Sequence[_Column]) -> Sequence[_Floats]:
    """Return amounts as floats."""
    try:
        return _plain_floats(columns)
    except msgspec.ValidationError:
        # JSON has no numbers with a `+` or a final point.
        return [[None if it is None else float(it) for it in column] for column in columns]


def _plain_floats(columns: Sequence[_Column]) -> Sequence[_Floats]:
    """Return amounts as floats; raises msgspec.ValidationError for one that is not a JSON number."""
    return msgspec.convert(columns, _FLOATS, strict=False)


class Amounts(NamedTuple):
    """The amounts of one row, in the order of BALANCES, as the API wrote them; None for what it left out.

    quote_asset: the currency of the quote amounts.
    """

    quote_asset: str
    values: tuple[str | None, ...]


class Packed(msgspec.Struct, frozen=True):
    """All amounts of an answer, column by column in the order of BALANCES: few objects, and little memory.

    quote_assets: the currency of the quote amounts of each row. written: each column as the API wrote it, with tabs
    between; empty if it left an amount out. numbers: each column as `sample_values` writes it.
    """

    quote_assets: tuple[str, ...] = ()
    written: tuple[str, ...] = ("",) * len(BALANCES)
    numbers: tuple[str, ...] = ("",) * len(BALANCES)

    @classmethod
    def of(cls, rows: Sequence[AssetBalance], floats: ReadFloats, quote_asset: str) -> Self:
        """Return the amounts of `rows`.

        floats: makes columns of amounts floats. quote_asset: of rows that do not name their own.
        """
        columns = [*zip(*map(_amounts_of, rows), strict=True)]
        return cls(
            tuple([_shared(row.quote_asset or quote_asset) for row in rows]),
            # A decimal contains no tab.
            tuple(["\t".join([it or "" for it in column]) for column in columns]),
            tuple(sample_values(floats(columns))),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the amounts of all rows of `parts`."""
        if not parts:
            return cls()
        return cls(
            tuple(chain.from_iterable([part.quote_assets for part in parts])),
            tuple(map("\t".join, zip(*[part.written for part in parts], strict=True))),
            tuple(map(",".join, zip(*[part.numbers for part in parts], strict=True))),
        )

    def column(self, place: int) -> list[str]:
        """Return the amounts of one of BALANCES, each as it is written, empty if there is none."""
        return self.written[place].split("\t") if self.quote_assets else []

    def rows(self) -> list[Amounts]:
        """Return the amounts of each row."""
        columns = [[it or None for it in self.column(place)] for place in range(len(BALANCES))]
        return [*map(Amounts, self.quote_assets, zip(*columns, strict=True))]

    def lines(self, target: Target, described: Sequence[Asset]) -> Steps["BalanceLines"]:
        """Return the samples of the rows, whose assets are `described`."""
        yield from ()
        quotes = {it: f",{label_set(('quote_asset',), (it,))}}} " for it in set(self.quote_assets)}
        return BalanceLines(
            label_set(_VAULT_LABELS, (target.organization, target.vault, target.id)),
            tuple(map(label_set, repeat(_ASSET_LABELS), map(itemgetter(0, 1), described))),
            tuple([quotes[it] for it in self.quote_assets]),
            {
                it.metric.name: numbers
                for it, numbers, written in zip(BALANCES, self.numbers, self.written, strict=True)
                if written.strip("\t")
            },
        )

    def table(self, target: Target, described: Sequence[Asset], *, is_whole: bool) -> Table:
        """Return a row for each asset, and for each that has a minimum and is not in the answer."""
        missing = dict(target.min_available)
        rows = []
        for asset, amounts in zip(described, self.rows(), strict=True):
            minimum = target.min_available.get(asset.asset)
            missing.pop(asset.asset, None)
            rows.append(
                TableRow(
                    *asset.key,
                    asset.name or "",
                    _cells(amounts, minimum),
                    is_short=is_short(_decimal(amounts.values[_AVAILABLE]), minimum),
                    is_unpriced=is_unpriced(amounts.values[_BALANCE], amounts.values[_WORTH]),
                )
            )
        for code, minimum in missing.items():
            is_below = is_whole and is_short(Decimal(0), minimum)
            cells = _cells(_NO_AMOUNTS, minimum)
            rows.append(TableRow(code, "", "", cells, "not in the answer", is_below))
        return Table(rows, WORTH, MINIMUM, "The vault is empty.")

    def worth(self, target: Target, described: Sequence[Asset], *, is_whole: bool) -> Worth:
        """Return what the rows are worth, whose assets are `described`."""
        worths = self.column(_WORTH)
        units = list(compress(self.quote_assets, worths))
        priced = map(Decimal, filter(None, worths))
        unpriced = short = 0
        if "" in worths:
            balances = zip(self.column(_BALANCE), worths, strict=True)
            unpriced = sum(is_unpriced(balance, worth or None) for balance, worth in balances)
        if target.min_available:
            held = zip([it.asset for it in described], self.column(_AVAILABLE), strict=True)
            short = shortages(held, target.min_available, is_whole=is_whole)
        # One sum, as most vaults have, takes less time.
        is_one = len(set(units)) == 1
        return Worth(
            total=(Cell(exact_sum(priced), units[0]),)
            if is_one
            else sums(zip(priced, units, strict=True)),
            unpriced=unpriced,
            short=short,
        )


class VaultBalances(msgspec.Struct, frozen=True):
    """An answer. Pairs of asset and class are distinct among `rows`.

    quote_asset: the currency of rows that do not name their own.
    invalid_fields: of `rows`.
    assets, amounts: of `rows`.
    """

    rows: tuple[AssetBalance, ...]
    invalid: tuple[InvalidRow, ...]
    quote_asset: str
    invalid_fields: tuple[InvalidField, ...] = ()
    assets: tuple[Asset, ...] = ()
    amounts: Packed = Packed()

    @classmethod
    def of(
        cls,
        rows: Sequence[AssetBalance],
        floats: ReadFloats,
        quote_asset: str,
        invalid: Iterable[InvalidRow] = (),
        invalid_fields: Iterable[InvalidField] = (),
    ) -> Steps[Self]:
        """Return an answer of `rows`; yields after every ROWS_AT_ONCE rows.

        floats: see `Packed.of`. Raises ValueError if a description cannot be read, and what `floats` raises.
        """
        assets: list[Asset] = []
        parts: list[Packed] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            if start:
                yield
            some = rows[start : start + ROWS_AT_ONCE]
            assets += starmap(_asset, map(_description_of, some))
            parts.append(Packed.of(some, floats, quote_asset))
        return cls(
            tuple(rows),
            tuple(invalid),
            quote_asset,
            tuple(invalid_fields),
            tuple(assets),
            Packed.joined(parts),
        )

    def expose(self, target: Target, known: Container[Described]) -> Steps[Exposed]:
        """Return it as exposed for `target`; yields after every ROWS_AT_ONCE descriptions that are new."""
        new: dict[Described, Lines] = {}
        for asset in self.assets:
            if asset not in known:
                new[asset] = asset.lines()
                if len(new) % ROWS_AT_ONCE == 0:
                    yield
        lines = yield from self.amounts.lines(target, self.assets)
        return Exposed(
            lines,
            lines.count(),
            self.amounts,
            self.assets,
            new,
            len(self.rows) + len(self.invalid),
            self.invalid,
            self.invalid_fields,
            worth=self.amounts.worth(target, self.assets, is_whole=not self.invalid),
        )


_NO_AMOUNTS: Final = Amounts("", (None,) * len(BALANCES))


def _cells(amounts: Amounts, minimum: Decimal | None) -> tuple[Cell, ...]:
    """Return the cells of a row, in the order of FIELDS."""
    own = {
        field: Cell(
            _decimal(amounts.values[place]), amounts.quote_asset if BALANCES[place].is_quote else ""
        )
        for field, place in _PLACES.items()
    }
    return tuple([own[field] if field in own else Cell(minimum, "") for field in FIELDS])


def _decimal(written: str | None) -> Decimal | None:
    return None if written is None else Decimal(written)


class BalanceLines(Mapping[str, bytes]):
    """The samples of rows.

    Labels and values are joined only when they are read: separately they take a tenth of the memory. vault, assets: the
    labels, the latter of each row. quote_assets: what follows those of a quote amount, up to its value. numbers: by
    metric, the values of its samples (`Packed.numbers`).
    """

    __slots__ = ("assets", "numbers", "quote_assets", "vault")

    def __init__(
        self,
        vault: str,
        assets: Sequence[str],
        quote_assets: Sequence[str],
        numbers: Mapping[str, str],
    ) -> None:
        self.vault = vault
        self.assets = assets
        self.quote_assets = quote_assets
        self.numbers = numbers

    def __getitem__(self, name: str) -> bytes:
        """Return the lines of a metric; raises KeyError if it has none."""
        numbers = self.numbers[name]
        quotes = self.quote_assets if name in _QUOTED else repeat("} ")
        rows: Iterable[tuple[str, str, str]]
        rows = zip(self.assets, quotes, numbers.split(","), strict=False)
        if _NONE in numbers:
            rows = [row for row in rows if row[2] != _NONE]
        # Joined without a step of Python for each line, as a scrape reads thousands.
        begin = f"{name}{{{self.vault},"
        lines = f"\n{begin}".join(map("".join, rows))
        return f"{begin}{lines}\n".encode()

    def count(self) -> int:
        """Return the number of samples."""
        rows = len(self.numbers) * len(self.assets)
        return rows - sum([it.count(_NONE) for it in self.numbers.values()])

    def __iter__(self) -> Iterator[str]:
        """Return the metrics that have samples."""
        return iter(self.numbers)

    def __len__(self) -> int:
        """The number of metrics that have samples."""
        return len(self.numbers)

    def __contains__(self, name: object) -> bool:
        """Whether a metric has samples."""
        return name in self.numbers


def read(document: object) -> Steps[VaultBalances]:
    """Return the rows of a vault from a bare array or an envelope `{"result": [...], "quote_asset": ...}`.

    Raises InvalidAnswerError if it is neither. There is a stop after every ROWS_AT_ONCE rows.
    """
    match document:
        case {"result": list(elements), **envelope}:
            quote_asset = envelope.get("quote_asset")
        case list(elements):
            quote_asset = None
        case _:
            raise InvalidAnswerError("is neither an array of rows nor an object with one as result")
    check_number(elements)
    rows: dict[tuple[str, str], AssetBalance] = {}
    invalid: list[InvalidRow] = []
    unread: dict[FieldProblem, InvalidField] = {}
    for position, element in enumerate(elements):
        if position and position % ROWS_AT_ONCE == 0:
            yield
        try:
            row, mistakes = read_fields(AssetBalance, element)
        except UselessError as error:
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
    return (
        yield from VaultBalances.of(
            [*rows.values()], _floats, quote_asset_of(quote_asset), invalid, unread.values()
        )
    )


class _Envelope(msgspec.Struct, frozen=True):
    """An envelope that reports no error."""

    result: list[AssetBalance]
    quote_asset: Code | None = None
    error: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None
    errors: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None
    type: None = None


_USUAL: Final = msgspec.json.Decoder(list[AssetBalance] | _Envelope)


def read_usual(body: bytearray) -> Steps[VaultBalances | None]:
    """Return the result of `read` for the body of a regular successful answer, None for any other.

    This takes a fifth of the time, and no memory for members that are not read.
    """
    if has_too_many_values(body):
        return None
    try:
        # msgspec does not check members that it skips, and a body that is not UTF-8 is not JSON.
        if not body.isascii():
            body.decode()
        answer = _USUAL.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    rows, quote_asset = (
        (answer.result, answer.quote_asset) if isinstance(answer, _Envelope) else (answer, None)
    )
    if len(rows) > MOST_ROWS or len(set(map(_key_of, rows))) < len(rows):
        return None
    try:
        read = yield from VaultBalances.of(rows, _plain_floats, quote_asset or DEFAULT_QUOTE_ASSET)
    except (msgspec.MsgspecError, ValueError):
        return None
    # An exponent may be larger than is reasonable for a decimal, and a number may be called inf or nan.
    is_plain = not any(it in column for column in read.amounts.written for it in "eEnN")
    return read if is_plain else None


class Requester:
    """Finds out which query the API accepts for a vault's balances, and remembers it.

    The API's first documented revision has the parameters `quote` and `full_precision`; later ones renamed the one,
    dropped the other, and may refuse both. Without `full_precision` the first revision rounds its amounts, so it is
    asked for as long as it is not refused.
    """

    def __init__(self) -> None:
        self._accepted: str | None = None
        self._refused_for: set[str] = set()

    def __call__(self, target: Target) -> Request[Answer]:
        """Return the next request for a vault."""
        query = self.query(target.id)
        return Request(
            endpoint=ENDPOINT,
            tag=target.key,
            path="vaults/{id}/assets/balances",
            id=target.id,
            query=query,
            read=functools.partial(self._read, query),
            read_usual=functools.partial(self._read_usual, query),
            reaction=functools.partial(self._reaction, target.id, query),
        )

    def _read(self, query: str, document: object) -> Steps[VaultBalances]:
        answer = yield from read(document)
        self.accepted(query)
        return answer

    def _read_usual(self, query: str, body: bytearray) -> Steps[VaultBalances | None]:
        answer = yield from read_usual(body)
        if answer is not None:
            self.accepted(query)
        return answer

    def _reaction(self, vault_id: str, query: str, error: CustodyError) -> Reaction:
        is_about_the_query = error.type == "BadRequest" and error.reaction is Reaction.BACK_OFF
        if is_about_the_query and self.refused(vault_id, query):
            return Reaction.AGAIN
        return error.reaction

    def query(self, vault_id: str) -> str:
        """Return the query (with its `?`) for the next request for `vault_id`."""
        if self._accepted is not None:
            return self._accepted
        return WITHOUT if vault_id in self._refused_for else WITH_PARAMETERS

    def accepted(self, query: str) -> None:
        """Record that the API answered a request with `query`."""
        self._accepted = query
        self._refused_for.clear()

    def refused(self, vault_id: str, query: str) -> bool:
        """Record a `BadRequest`; return whether another query is worth a try for this vault.

        It is if parameters were refused that are not known to be accepted, and then for the very vault that was
        refused: only if the same vault is answered without them, they were the reason. A refusal of parameters that
        were accepted before puts them in doubt. So the exporter follows an API that changes while it runs, without
        asking twice each time for a vault that the API refuses anyway.
        """
        if query == WITHOUT:
            self._refused_for.discard(vault_id)
            return False
        if self._accepted == WITH_PARAMETERS:
            self._accepted = None
            return False
        self._refused_for.add(vault_id)
        return True


def _requester() -> MakeRequest:
    return Requester()


def _targets(inventory: Inventory) -> Iterable[Target]:
    for organization in inventory.organizations:
        if "balances" not in organization.collect:
            continue
        for vault in organization.vaults:
            labels = (organization.label, vault.label, vault.id)
            thresholds = threshold_lines(labels, vault.min_available)
            yield Target(
                kind=VAULT_BALANCES.kind,
                id=vault.id,
                organization=organization.label,
                vault=vault.label,
                interval=vault.interval,
                credential=vault.credential,
                facts={**thresholds, **info_lines(vault, organization.label)},
                found=vault.found,
                is_found=not vault.is_configured,
                min_available=vault.min_available,
            )


def threshold_lines(labels: tuple[str, str, str], min_available: Mapping[str, Decimal]) -> Lines:
    """Return the configured thresholds of a vault. labels: its values of `org`, `vault` and `vault_id`."""
    page = Page()
    for asset, minimum in min_available.items():
        page.sample(MIN_AVAILABLE, (*labels, asset), minimum)
    return page.done()


VAULT_BALANCES: Final = Resource(
    kind="vault",
    endpoint=ENDPOINT,
    singular="vault",
    plural="vaults",
    folder="/vaults/",
    metrics=tuple(it.metric for it in BALANCES),
    facts=(MIN_AVAILABLE,),
    described=Group(
        "Assets, once for each that is held anywhere", (ASSET_INFO, ASSET_MIN_LOT, ASSET_LAUNCH)
    ),
    targets=_targets,
    name=lambda target: target.vault,
    requester=_requester,
    heading="Balances",
    worth="part",
    columns=COLUMNS,
)
