"""Reads the answers to the probe's questions into facts; no document is kept."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct

from exporter.custody.document import InvalidAnswerError
from exporter.probe.known import Listing
from exporter.resources import (
    organization_balances,
    organizations,
    pending_tasks,
    vault_balances,
    vaults,
    whitelist,
)
from exporter.resources.fields import ROWS_AT_ONCE, InvalidRow
from exporter.turns import Steps


class ServerTime(NamedTuple):
    """The API's time, in whole Unix seconds."""

    unixtime: int


def read_time(document: object) -> Steps[ServerTime]:
    """Return the time of `GET /0/public/Time`. Raises InvalidAnswerError."""
    yield from ()
    match document:
        case {"result": {"unixtime": bytes(number)}} if number.isdigit() and len(number) < 12:
            return ServerTime(int(number))
    raise InvalidAnswerError("has no result.unixtime")


def read_organizations(document: object) -> Steps[Listing]:
    """Return the facts of a list of organizations. Raises InvalidAnswerError."""
    rows = yield from organizations.read_list(document)
    written = [
        (key, row[key])
        for row in organizations.elements_of(document)
        if isinstance(row, dict)
        for key in organizations.ID_FIELDS
        if isinstance(row.get(key), str)
    ]
    parameter, id_ = written[0] if written else ("", "")
    form = ("spaced" if " " in id_ else "compact") if rows.listed else ""
    return Listing(rows.listed, rows.count, rows.rejected, parameter, form)


def read_vaults(document: object) -> Steps[Listing]:
    """Return the facts of the first page of a list of vaults. Raises InvalidAnswerError."""
    elements, total = vaults.page_of(document)
    rows = yield from vaults.read_page(elements)
    return Listing(rows.listed, total, rows.rejected)


class VaultFacts(Struct, frozen=True):
    """Facts of an answer of "List vault asset balances".

    is_envelope: whether the rows are in an object.
    has_staked: whether they have the field `staked`, None without rows.
    rows, invalid, unpriced: number of rows, of invalid ones, and of those without a price.
    problem: field and problem of the first invalid row.
    places: maximum number of decimal places.
    is_beyond: whether an amount has more decimal places than its `funding_decimals`, so it is not rounded to those.
    """

    is_envelope: bool
    has_staked: bool | None
    rows: int
    invalid: int
    unpriced: int
    places: int
    is_beyond: bool
    problem: str = ""


def read_vault(document: object) -> Steps[VaultFacts]:
    """Return the facts of the balances of a vault. Raises InvalidAnswerError."""
    answer = yield from vault_balances.read(document)
    match document:
        case list(rows) | {"result": list(rows)}:
            objects = [row for row in rows if isinstance(row, dict)]
        case _:
            objects = []
    places, is_beyond = 0, False
    for position, row in enumerate(answer.rows):
        if position % ROWS_AT_ONCE == 0:
            yield
        amounts = map(Decimal, (row.balance, row.spot, row.hold, row.available))
        most = max(-int(amount.as_tuple().exponent) for amount in amounts)
        places = max(places, most)
        is_beyond = is_beyond or (row.funding_decimals is not None and most > row.funding_decimals)
    problem = answer.invalid[0] if answer.invalid else None
    return VaultFacts(
        is_envelope=not isinstance(document, list),
        has_staked=any("staked" in row for row in objects) if objects else None,
        rows=len(answer.rows) + len(answer.invalid),
        invalid=len(answer.invalid),
        unpriced=sum(row.quote_price is None for row in answer.rows),
        places=places,
        is_beyond=is_beyond,
        problem=f"{problem.field} {problem.problem}".strip() if problem else "",
    )


class OrganizationFacts(NamedTuple):
    """Facts of an organization's total. unread: fields that could not be read."""

    unread: tuple[str, ...]


def read_organization(document: object) -> Steps[OrganizationFacts]:
    """Return the facts of the total of an organization. Raises InvalidAnswerError."""
    total = yield from organization_balances.read(document)
    return OrganizationFacts(tuple(field.field for field in total.invalid_fields))


class VaultTotalFacts(NamedTuple):
    """Facts of the total of a vault. missing_rates: number of assets without a rate, None if unknown."""

    missing_rates: int | None


def read_vault_total(document: object) -> Steps[VaultTotalFacts]:
    """Return the facts of the total of a vault ("Get vault balance"). Raises InvalidAnswerError."""
    yield from ()
    inner = document.get("result") if isinstance(document, Mapping) else None
    match inner if isinstance(inner, dict) else document:
        case {"balance_fiat": _, **members}:
            missing = members.get("missing_rates")
            return VaultTotalFacts(len(missing) if isinstance(missing, list) else None)
    raise InvalidAnswerError("has no balance_fiat")


class TaskFacts(Struct, frozen=True):
    """The page of an organization's newest tasks.

    rows: number of tasks on it.
    waiting: number of pending ones.
    total: number of all tasks, None if the answer does not say.
    rejected: tasks that could not be read.
    """

    rows: int
    waiting: int
    total: int | None
    rejected: tuple[InvalidRow, ...]


def read_tasks(document: object) -> Steps[TaskFacts]:
    """Return what the first page of tasks shows. Raises InvalidAnswerError."""
    elements, total = pending_tasks.page_of(document)
    rows = yield from pending_tasks.read_page(elements, pending_tasks.Rows())
    waiting = sum(group.tasks for group in rows.groups.values())
    return TaskFacts(rows.count, waiting, total, rows.rejected)


class WhitelistFacts(Struct, frozen=True):
    """The whitelist of a vault.

    rows: number of addresses.
    assets: number of assets that they are for.
    rejected: addresses that could not be read.
    """

    rows: int
    assets: int
    rejected: tuple[InvalidRow, ...]


def read_whitelist(document: object) -> Steps[WhitelistFacts]:
    """Return what a whitelist shows. Raises InvalidAnswerError."""
    # No address is compared with any other.
    addresses = yield from whitelist.read(document, lambda _: b"")
    return WhitelistFacts(addresses.rows, len(addresses.counts), addresses.rejected)
