"""The list of an organization's vaults, page by page.

It is accepted only as a whole, because vaults that are missing from lists are eventually no longer polled.

Source: Kraken, "List vaults", whose first revision calls an organization's id `org_id`, and later ones `org_iiban`.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from exporter.config import vault_id
from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError
from exporter.discovery.inventory import Inventory, Organization, Vault
from exporter.discovery.known import Source
from exporter.metrics.lines import Lines, Page
from exporter.metrics.metric import Metric
from exporter.resources.lists import NO_ROWS, Listing, Rows, excuse, read_rows
from exporter.resources.organization_parameter import OrganizationParameter
from exporter.resources.resource import Answer, Part, Resource
from exporter.resources.target import Target
from exporter.turns import Steps

ENDPOINT: Final = "vaults"
PAGE_ROWS: Final = 100
"""Kraken's default for `limit`; its maximum is not documented."""
MOST_PAGES: Final = 200

INFO: Final = Metric(
    name="kraken_custody_vault_info",
    type="gauge",
    help="Name and status of the vault in the API's list (API fields name, status), empty if the list "
    "does not have them. Always 1.",
    labels=("org", "vault", "vault_id", "name", "status"),
    unit="",
    source="fields of the same names",
)
MISSING_RATES: Final = Metric(
    name="kraken_custody_vault_missing_quote_rates",
    type="gauge",
    help="Assets of the vault without a quote rate, which no total includes (API field missing_rates), "
    "from the list of vaults.",
    labels=("org", "vault", "vault_id"),
    unit="assets",
    source="length of missing_rates",
)
DISCOVERED: Final = Metric(
    name="kraken_custody_discovered_vaults",
    type="gauge",
    help="Vaults of the organization and shard in the API's lists that no filter excludes, by whether they are polled.",
    labels=("org", "org_id", "polled"),
    unit="vaults",
    source="list of vaults",
)


def info_lines(vault: Vault, organization: str) -> Lines:
    """Return the samples of a vault's entry in the API's list, if there is one. organization: its label."""
    page = Page()
    if vault.found:
        id_, name, status, missing_rates = vault.found.listed
        labels = (organization, vault.label, id_)
        page.sample(INFO, (*labels, name, status), 1)
        page.sample(MISSING_RATES, labels, missing_rates)
    return page.done()


def _discovered_lines(organization: Organization) -> Lines:
    page = Page()
    if not organization.is_listed:
        return page.done()
    labels = (organization.label, organization.id)
    unpolled = sum(it.reason != "excluded" for it in organization.unpolled)
    page.sample(DISCOVERED, (*labels, "true"), organization.discovered_vaults)
    page.sample(DISCOVERED, (*labels, "false"), unpolled)
    return page.done()


class _Read(Struct, frozen=True):
    """The pages read so far.

    pages: number of pages.
    total: number of all rows according to the API, None if it does not say.
    """

    rows: Rows = NO_ROWS
    pages: int = 0
    total: int | None = None


def page_of(document: object) -> tuple[Sequence[object], int | None]:
    """Return the rows of a page, and the length of the whole list if it says so. Raises InvalidAnswerError."""
    match document:
        case {"vaults": list(elements), **envelope} | {"result": list(elements), **envelope}:
            return elements, _whole_number(envelope.get("total"))
        case list(elements):
            return elements, None
    raise InvalidAnswerError("is neither an array of vaults nor an object with one")


def read_page(elements: Iterable[object], before: Rows = NO_ROWS) -> Steps[Rows]:
    """Return the vaults of the pages `before` and of one more. Raises InvalidAnswerError."""
    return (yield from read_rows(elements, before, "vault", vault_id, ("id",)))


def _next(before: _Read, document: object) -> Steps[tuple[_Read, bool]]:
    """Return what was read including one more page, and whether the list is complete.

    Raises InvalidAnswerError if the list is inconsistent.
    """
    elements, total = page_of(document)
    page = before.pages + 1
    if before.pages and total != before.total:
        problem = (
            f"has a total of {_shown(total)} on page {page}, and of {_shown(before.total)} before"
        )
        raise InvalidAnswerError(f"{problem}: the list changed while it was read")
    if total is not None and total > MOST_PAGES * PAGE_ROWS:
        raise InvalidAnswerError(f"lists {total} vaults, more than {MOST_PAGES} pages hold")
    rows = yield from read_page(elements, before.rows)
    read = _Read(rows, page, total)
    if _is_whole(read, len(elements)):
        return read, True
    if page == MOST_PAGES:
        raise InvalidAnswerError(f"is page {page} of a list that goes on, more than may be read")
    return read, False


def _is_whole(read: _Read, last: int) -> bool:
    """Whether all pages were read. last: number of rows of the last one."""
    if read.total is None:
        return last != PAGE_ROWS
    if read.rows.count > read.total or (last == 0 and read.rows.count < read.total):
        raise InvalidAnswerError(f"ends a list of {read.rows.count} vaults, not of {read.total}")
    # A total that were of the page alone would look like this.
    is_ambiguous = read.pages == 1 and read.total == PAGE_ROWS
    return read.rows.count == read.total and not is_ambiguous


def _whole_number(value: object) -> int | None:
    if value is None:
        return None
    text = value.decode() if isinstance(value, bytes) else value
    if not isinstance(text, str) or not re.fullmatch("[0-9]{1,9}", text):
        raise InvalidAnswerError("has a total that is not a whole number")
    return int(text)


def _shown(total: int | None) -> str:
    return "nothing" if total is None else str(total)


class Requester:
    """Requests the vaults of organizations, and remembers the API's name for an organization in a query."""

    def __init__(self) -> None:
        self._parameter = OrganizationParameter()

    def __call__(self, target: Target) -> Request[Answer]:
        """Return the request for the first page of an organization's vaults."""
        return self._page(target, _Read())

    def _page(self, target: Target, before: _Read) -> Request[Answer]:
        parameter = self._parameter.name

        def read(document: object) -> Steps[Answer]:
            so_far, is_whole = yield from _next(before, document)
            if is_whole:
                return Listing(Source(target.credential, target.id), so_far.rows)
            return Part(self._page(target, so_far))

        return Request(
            endpoint=ENDPOINT,
            tag=target.key,
            path=ENDPOINT,
            id=target.id,
            query=f"?{parameter}={{id}}&limit={PAGE_ROWS}&offset={before.rows.count}",
            read=read,
            reaction=self._parameter.reaction(parameter, is_first=not before.pages),
            excuse=excuse(target, "vaults"),
        )


def _targets(inventory: Inventory) -> Iterable[Target]:
    for organization in inventory.organizations:
        for number, (credential, finds) in enumerate(organization.lists):
            yield Target(
                kind=VAULTS.kind,
                id=organization.id,
                organization=organization.label,
                vault="",
                interval=inventory.listing_interval,
                credential=credential,
                # Once for each organization, however many credentials list its vaults.
                facts={} if number else _discovered_lines(organization),
                is_another=number > 0,
                is_optional=organization.has_vaults and finds is None,
                requests=max(1, math.ceil(len(finds or ()) / PAGE_ROWS)),
            )


def _name(target: Target) -> str:
    return f"(vaults, with {target.credential})" if target.is_another else "(vaults)"


VAULTS: Final = Resource(
    kind="vaults",
    endpoint=ENDPOINT,
    singular="list of vaults",
    plural="lists of vaults",
    folder="/vault-lists/",
    metrics=(),
    facts=(INFO, MISSING_RATES, DISCOVERED),
    targets=_targets,
    name=_name,
    requester=Requester,
    is_list=True,
    heading="List",
)
