"""The list of the organizations that a credential sees.

Source: Kraken, "List organizations", whose revisions call an id `org_id` or, as paths elsewhere do, `org_iiban`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from exporter.config import organization_id
from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError
from exporter.discovery.inventory import Inventory, Organization
from exporter.discovery.known import Source
from exporter.metrics.lines import Lines, Page
from exporter.metrics.metric import Metric
from exporter.resources.fields import check_number
from exporter.resources.lists import NO_ROWS, Listing, Rows, excuse, read_rows
from exporter.resources.resource import Answer, MakeRequest, Resource
from exporter.resources.target import Target
from exporter.turns import Steps

ENDPOINT: Final = "organizations"
ID_FIELDS: Final = ("org_id", "org_iiban", "iiban", "id")

INFO: Final = Metric(
    name="kraken_custody_organization_info",
    type="gauge",
    help="Name and status of the organization in the API's list (API fields name, status), empty if the "
    "list does not have them. Always 1.",
    labels=("org", "org_id", "name", "status"),
    unit="",
    source="fields of the same names",
)


def info_lines(organization: Organization) -> Lines:
    """Return the sample of an organization's entry in the API's list, if there is one."""
    page = Page()
    if found := organization.found:
        labels = (organization.label, organization.id, found.listed.name, found.listed.status)
        page.sample(INFO, labels, 1)
    return page.done()


def elements_of(document: object) -> Sequence[object]:
    """Return the unread rows of a list of organizations. Raises InvalidAnswerError."""
    match document:
        case list(elements) | {"result": list(elements)} | {"organizations": list(elements)}:
            return elements
    raise InvalidAnswerError("is neither an array of organizations nor an object with one")


def read_list(document: object) -> Steps[Rows]:
    """Return the organizations of a list. Raises InvalidAnswerError, also for more than the rows of any answer."""
    elements = elements_of(document)
    check_number(elements)
    return (yield from read_rows(elements, NO_ROWS, "organization", organization_id, ID_FIELDS))


def request(target: Target) -> Request[Answer]:
    """Return the request for the organizations of a credential."""

    def read(document: object) -> Steps[Answer]:
        rows = yield from read_list(document)
        return Listing(Source(target.credential), rows)

    return Request(
        endpoint=ENDPOINT,
        tag=target.key,
        path=ENDPOINT,
        read=read,
        excuse=excuse(target, "organizations"),
    )


def _requester() -> MakeRequest:
    return request


def _targets(inventory: Inventory) -> Iterable[Target]:
    for credential, finds, has_organizations in inventory.lists:
        yield Target(
            kind=ORGANIZATIONS.kind,
            id=credential,
            organization="",
            vault="",
            interval=inventory.listing_interval,
            credential=credential,
            is_optional=has_organizations and finds is None,
        )


ORGANIZATIONS: Final = Resource(
    kind="organizations",
    endpoint=ENDPOINT,
    singular="list of organizations",
    plural="lists of organizations",
    folder="/organization-lists/",
    metrics=(),
    facts=(INFO,),
    targets=_targets,
    name=lambda _: "(organizations)",
    requester=_requester,
    is_list=True,
    heading="List",
)
