"""`/api/v1/balances`: balances for programs and spreadsheets, with every digit that the API sent.

`static/balances.schema.json` documents the JSON. Times are RFC 3339 in UTC. A target whose balances were withdrawn or
not read yet is listed without amounts: it is neither left out nor zero.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from exporter.metrics.exposition import joined
from exporter.metrics.negotiation import preferred
from exporter.resources import RESOURCES
from exporter.resources.resource import Column, Resource, Table, TableRow
from exporter.status.model import Status, TargetStatus
from exporter.web.formatting import exact, rfc3339
from exporter.web.row import path_of

PIECE_BYTES: Final = 32_768
"""Size of the pieces in which a body is made: a few milliseconds of work."""
BYTE_ORDER_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Without it, spreadsheets read UTF-8 in a legacy encoding."""
FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Characters at which a spreadsheet begins a formula (OWASP, "CSV Injection"), or which it skips before one."""

Format = Literal["json", "csv"]
_FORMATS: Final[Mapping[str, Format]] = {"application/json": "json", "text/csv": "csv"}
_FILTERS: Final = ("org", "vault", "asset")
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

JsonObject = Mapping[str, Any]


class MistakenQueryError(ValueError):
    """An invalid query; the message says what is wrong."""


class Query(Protocol):
    """The parameters of a query."""

    def keys(self) -> Iterable[str]:
        """Return the names."""

    def getlist(self, key: str) -> list[str]:
        """Return all values of a name."""


class Wanted(Struct, frozen=True):
    """What the query selects.

    organizations, vaults: labels or ids; empty for all.
    assets: empty for all.
    """

    organizations: frozenset[str] = frozenset()
    vaults: frozenset[str] = frozenset()
    assets: frozenset[str] = frozenset()
    format: Format = "json"

    @classmethod
    def of(cls, query: Query, accept: str) -> "Wanted":
        """Read a query and the header `Accept`.

        Raises MistakenQueryError for anything unknown: an ignored filter would return more than the client expects.
        """
        for name in query.keys():  # noqa: SIM118 - not a mapping
            if name not in (*_FILTERS, "format"):
                message = f"unknown parameter {name!r}: use org, vault, asset or format"
                raise MistakenQueryError(message)
        format_ = preferred(accept, _FORMATS, "json")
        for name in query.getlist("format"):
            if name not in _FORMATS.values():
                raise MistakenQueryError(f"unknown format {name!r}: use json or csv")
            format_ = "csv" if name == "csv" else "json"
        organizations, vaults, assets = (frozenset(query.getlist(name)) for name in _FILTERS)
        return cls(organizations, vaults, assets, format_)

    def among(self, targets: Iterable[TargetStatus]) -> Iterator[TargetStatus]:
        """Yield the selected targets. An organization's total is not selected by a vault or an asset."""
        targets = [target for target in targets if _resource(target).worth is not None]
        ids = {_squeezed(it) for it in self.organizations}
        labels = self.organizations | {
            target.known.target.organization
            for target in targets
            if _resource(target).worth == "total" and _squeezed(target.known.target.id) in ids
        }
        for target in targets:
            of = target.known.target
            if self.organizations and of.organization not in labels:
                continue
            if self.vaults and self.vaults.isdisjoint(filter(None, (of.vault, of.vault and of.id))):
                continue
            if _resource(target).worth == "part" or not self.assets:
                yield target

    def has_found_all(self, status: Status, found: Sequence[TargetStatus]) -> bool:
        """Whether `found` is everything that the query selects.

        It is not if a name is unknown, or if a list of what to poll was not read since the start, as on a standby, or
        has more than is polled.
        """
        targets = [it.known.target for it in status.targets]
        known = {it.organization for it in targets} | {_squeezed(it.id) for it in targets}
        if not all(it in known or _squeezed(it) in known for it in self.organizations):
            return False
        of_vaults = [it.known.target for it in found]
        if not self.vaults <= {it.vault for it in of_vaults} | {it.id for it in of_vaults}:
            return False
        if self.vaults or status.discovery is None:
            return True
        if not self.organizations and any(it.finds is None for it in status.discovery.lists):
            return False
        ids = {_squeezed(it) for it in self.organizations}
        return not any(
            any(vaults.finds is None for vaults in it.lists)
            or any(vault.reason == "limit" for vault in it.unpolled)
            for it in status.discovery.organizations
            if not ids or it.label in self.organizations or _squeezed(it.id) in ids
        )

    def rows(self, table: Table) -> list[TableRow]:
        """Return the selected rows."""
        return [row for row in table.rows if not self.assets or row.asset in self.assets]


def _resource(target: TargetStatus) -> Resource:
    return RESOURCES[target.known.target.kind]


def _squeezed(id_: str) -> str:
    return id_.replace(" ", "")


def _table(target: TargetStatus) -> Table | None:
    """Return the balances of a target; None if they were withdrawn or not read yet."""
    known = target.known
    table = known.balances.table(known.target) if known.balances else None
    return table if isinstance(table, Table) else None


def _read_at(target: TargetStatus) -> str | None:
    """Return when the balances of a target were read; None if there are none."""
    known = target.known
    is_held = known.balances is not None and known.last_success is not None
    return rfc3339(known.last_success or 0) if is_held else None


def _in_pieces(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield `texts`, joined into pieces of about PIECE_BYTES."""
    return joined((text.encode() for text in texts), PIECE_BYTES)


def balances_json(status: Status, wanted: Wanted) -> Iterator[bytes]:
    """Yield the selected balances as JSON, in pieces."""
    return _in_pieces(_json_texts(status, wanted))


def _json_texts(status: Status, wanted: Wanted) -> Iterator[str]:
    targets = list(wanted.among(status.targets))
    facts = {
        "time": rfc3339(status.at),
        "complete": wanted.has_found_all(status, targets)
        and all(it.known.balances and not it.known.rejected for it in targets),
        "targets": [],
    }
    yield _encode({"status": "success", "data": facts}).removesuffix("]}}")
    for number, target in enumerate(targets):
        yield "," if number else ""
        table = _table(target)
        yield _encode(_target(target)).removesuffix("}") + ',"balances":'
        if table is None:
            yield "null}"
            continue
        yield "["
        for place, row in enumerate(wanted.rows(table)):
            yield "," if place else ""
            yield _encode(_row(row, table, _resource(target).columns))
        yield "]}"
    yield "]}}"


def _target(target: TargetStatus) -> JsonObject:
    known, of = target.known, target.known.target
    worth = known.balances.worth if known.balances else None
    return {
        "kind": of.kind,
        "org": of.organization,
        "vault": of.vault,
        "id": of.id,
        "page": path_of(of),
        "state": target.state,
        "readAt": _read_at(target),
        "rejectedRows": len(known.rejected) if known.balances else None,
        "unpriced": worth and worth.unpriced,
        "belowMinimum": worth and worth.short,
    }


def _row(row: TableRow, table: Table, columns: Sequence[Column]) -> JsonObject:
    amounts = _amounts(row, columns)
    minimum = amounts.pop(table.minimum, None)
    return {
        "asset": row.asset or None,
        "assetClass": row.asset_class or None,
        "name": row.name or None,
        "quoteAsset": _quote_asset(row),
        "amounts": amounts,
        "minAvailable": minimum,
        "belowMinimum": row.is_short,
    }


def _amounts(row: TableRow, columns: Sequence[Column]) -> dict[str, str | None]:
    """Return the amounts of a row by field, None for each that the API omitted."""
    cells = zip(columns, row.cells, strict=True)
    return {
        column.field: None if amount is None else exact(amount) for column, (amount, _) in cells
    }


def _quote_asset(row: TableRow) -> str | None:
    return next((unit for _, unit in row.cells if unit), None)


def balances_csv(status: Status, wanted: Wanted) -> Iterator[bytes]:
    """Yield the selected balances of vaults as CSV (RFC 4180), in pieces.

    Without the totals of organizations, so that the sum of a column counts nothing twice. Each vault has a row, even
    without amounts.
    """
    return _in_pieces(_csv_texts(status, wanted))


def _csv_texts(status: Status, wanted: Wanted) -> Iterator[str]:
    parts = [resource for resource in RESOURCES.values() if resource.worth == "part"]
    fields = list(dict.fromkeys(column.field for it in parts for column in it.columns))
    yield BYTE_ORDER_MARK
    yield _record([*_HEAD, *fields])
    for target in wanted.among(status.targets):
        if _resource(target).worth != "part":
            continue
        of, table = target.known.target, _table(target)
        own = [of.organization, of.vault, of.id, target.state, _read_at(target) or ""]
        rows = wanted.rows(table) if table else []
        if not rows and (table is None or not wanted.assets):
            yield _record(own + [""] * (len(_HEAD) - len(own) + len(fields)))
        for row in rows:
            amounts = _amounts(row, _resource(target).columns)
            texts = [row.asset, row.asset_class, row.name, _quote_asset(row) or ""]
            yield _record([*own, *texts], [amounts.get(field) or "" for field in fields])


_HEAD: Final = (
    *("org", "vault", "vault_id", "state", "read_at"),
    *("asset", "asset_class", "name", "quote_asset"),
)


def _record(texts: Iterable[str], amounts: Iterable[str] = ()) -> str:
    """Return a line. amounts: written unchanged, since a negative number is not a formula."""
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([*map(harmless, texts), *amounts])
    return line.getvalue()


def harmless(text: str) -> str:
    """Return a text that no spreadsheet reads as a formula."""
    return f"'{text}" if text.startswith(FORMULAS) else text
