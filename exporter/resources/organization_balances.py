"""An organization's balances: the total of its vaults, and the parts of it.

Source: Kraken, "List balances", in all revisions seen in 2026.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError
from exporter.discovery.inventory import Inventory
from exporter.metrics.lines import Lines, Page, count_series
from exporter.metrics.metric import Metric
from exporter.resources.fields import (
    Amount,
    Code,
    InvalidField,
    UselessError,
    quote_asset_of,
    read_fields,
)
from exporter.resources.organizations import info_lines
from exporter.resources.resource import (
    CACHED,
    Answer,
    Column,
    Description,
    Exposed,
    MakeRequest,
    Resource,
    Table,
    TableRow,
)
from exporter.resources.target import Target
from exporter.resources.worth import Cell, Worth
from exporter.turns import Steps

ENDPOINT: Final = "organization_balances"
TOTAL: Final = Metric(
    name="kraken_custody_organization_quote_balance",
    type="gauge",
    help=f"Total of the organization's vaults, in units of quote_asset (API field balance.total). {CACHED}",
    labels=("org", "org_id", "quote_asset"),
    unit="quote asset",
    source="balance.total",
    is_field=True,
)
COMPONENT: Final = Metric(
    name="kraken_custody_organization_quote_component_balance",
    type="gauge",
    help="Part of the organization's total, in units of quote_asset; the parts add up to it "
    f"(API fields balance.spot, balance.staked, balance.pledged). {CACHED}",
    labels=("org", "org_id", "quote_asset", "component"),
    unit="quote asset",
    source="balance.spot, balance.staked, balance.pledged",
    is_field=True,
)


class OrganizationBalance(msgspec.Struct, frozen=True):
    """The `balance` of an answer, in units of the answer's quote asset; a missing part is None.

    It is small enough to be kept as it is.
    """

    quote_asset: Code
    total: Amount
    spot: Amount | None = None
    staked: Amount | None = None
    pledged: Amount | None = None
    invalid_fields: tuple[InvalidField, ...] = ()

    def expose(self, target: Target, known: Container[Description]) -> Steps[Exposed]:
        """Return it as exposed for `target`."""
        del known
        lines = yield from self.lines(target)
        worth = self.worth(target)
        return Exposed(lines, count_series(lines), self, unread=self.invalid_fields, worth=worth)

    def lines(self, target: Target, described: Sequence[object] = ()) -> Steps[Lines]:
        """Return the total and its parts."""
        del described
        yield from ()
        page = Page()
        labels = (target.organization, target.id, self.quote_asset)
        page.sample(TOTAL, labels, self.total)
        for component, value in COMPONENTS.items():
            page.sample(COMPONENT, (*labels, component), value(self))
        return page.done()

    def table(
        self, target: Target, described: Sequence[object] = (), *, is_whole: bool = True
    ) -> Table:
        """Return the total and its parts."""
        del target, described, is_whole
        amounts = (self.total, *(value(self) for value in COMPONENTS.values()))
        cells = tuple(Cell(amount, self.quote_asset) for amount in amounts)
        return Table((TableRow("", "", "all assets of all vaults", cells),))

    def worth(
        self, target: Target, described: Sequence[object] = (), *, is_whole: bool = True
    ) -> Worth:
        """Return the total and its parts."""
        del target, described, is_whole
        return Worth(
            total=(Cell(self.total, self.quote_asset),),
            parts={name: Cell(value(self), self.quote_asset) for name, value in COMPONENTS.items()},
        )


COMPONENTS: Final[dict[str, Callable[[OrganizationBalance], Decimal | None]]] = {
    "spot": lambda balance: balance.spot,
    "staked": lambda balance: balance.staked,
    "pledged": lambda balance: balance.pledged,
}


def read(document: object) -> Steps[OrganizationBalance]:
    """Return an organization's total from `{"balance": {...}, "quote_asset": ...}`, or the same within `result`.

    Raises InvalidAnswerError if there is no balance, or its total is not a finite decimal.
    """
    yield from ()
    match document:
        case {"balance": dict(balance), **envelope} | {
            "result": {"balance": dict(balance), **envelope}
        }:
            quote_asset = quote_asset_of(envelope.get("quote_asset"))
        case _:
            raise InvalidAnswerError("has no balance")
    element = {**balance, "quote_asset": quote_asset}
    try:
        total, mistakes = read_fields(OrganizationBalance, element)
    except UselessError as error:
        raise InvalidAnswerError("balance.{} {}".format(*error.mistake)) from None
    fields = tuple(InvalidField(*mistake, rows=1, position=None) for mistake in mistakes)
    return msgspec.structs.replace(total, invalid_fields=fields) if fields else total


def request(target: Target) -> Request[Answer]:
    """Return the request for an organization's total in USD."""
    return Request(
        endpoint=ENDPOINT,
        tag=target.key,
        path="organizations/{id}/balances",
        id=target.id,
        query="?quote_asset=USD",
        read=read,
    )


def _requester() -> MakeRequest:
    return request


def _targets(inventory: Inventory) -> Iterable[Target]:
    for organization in inventory.organizations:
        if organization.is_here and "balances" in organization.collect:
            yield Target(
                kind=ORGANIZATION_BALANCES.kind,
                id=organization.id,
                organization=organization.label,
                vault="",
                interval=organization.interval,
                credential=organization.credential,
                facts=info_lines(organization),
                found=organization.found,
                is_found=not organization.is_configured,
            )


ORGANIZATION_BALANCES: Final = Resource(
    kind="organization",
    endpoint=ENDPOINT,
    singular="organization",
    plural="organizations",
    folder="/organizations/",
    metrics=(TOTAL, COMPONENT),
    targets=_targets,
    name=lambda _: "(total)",
    requester=_requester,
    heading="Balances",
    worth="total",
    columns=tuple(Column(name, name.capitalize()) for name in ("total", *COMPONENTS)),
)
