"""An organization's total: its request, its targets, and its table."""

from decimal import Decimal

from exporter.discovery.inventory import Inventory, Organization
from exporter.discovery.known import Found, Listed
from exporter.resources.organization_balances import ORGANIZATION_BALANCES, request
from exporter.resources.resource import Column, Exposed, Table, TableRow
from exporter.resources.target import Target
from exporter.resources.worth import Cell
from tests.resources.answers import (
    ORGANIZATION,
    ORGANIZATION_EXAMPLE,
    exposed,
    lines_of,
    read_organization,
)

ACME = "ABCD EFGH IJKL MNOP"


def test_the_total_is_requested_in_dollars() -> None:
    asked = request(ORGANIZATION)
    assert (asked.endpoint, asked.tag) == ("organization_balances", ORGANIZATION.key)
    assert (asked.path, asked.id) == ("organizations/{id}/balances", ORGANIZATION.id)
    assert asked.query == "?quote_asset=USD"
    assert ORGANIZATION_BALANCES.endpoint == asked.endpoint
    assert ORGANIZATION_BALANCES.requester()(ORGANIZATION).read is asked.read


def test_each_organization_is_a_target_marked_if_only_discovered() -> None:
    found = Found(Listed(ACME, "Acme", "active"), 0.0, 0.0)
    organization = Organization(ACME, "acme", 60.0, "one", (), found, is_configured=False)
    (target,) = ORGANIZATION_BALANCES.targets(Inventory((organization,)))
    info = f'kraken_custody_organization_info{{org="acme",org_id="{ACME}",name="Acme",status="active"}} 1.0\n'
    assert target == Target(
        *("organization", ACME, "acme", "", 60.0, "one"),
        facts={"kraken_custody_organization_info": info.encode()},
        found=found,
        is_found=True,
    )
    configured = Organization(ACME, "acme", 60.0, "one", ())
    (target,) = ORGANIZATION_BALANCES.targets(Inventory((configured,)))
    assert target == Target("organization", ACME, "acme", "", 60.0, "one")


def test_it_is_exposed_without_rows_descriptions_or_notes() -> None:
    answer = read_organization(ORGANIZATION_EXAMPLE)
    assert exposed(ORGANIZATION, answer) == Exposed(
        lines_of(ORGANIZATION, answer),
        series=4,
        kept=answer,
        described=(),
        new={},
        rows=None,
        rejected=(),
        unread=(),
        note="",
        worth=answer.worth(ORGANIZATION),
    )


def test_its_table_has_one_row_with_the_total_and_its_parts() -> None:
    table = exposed(ORGANIZATION, read_organization(ORGANIZATION_EXAMPLE)).table(ORGANIZATION)
    amounts = ("12345.6789", "10000.0000", "1500.0000", "845.6789")
    cells = tuple(Cell(Decimal(amount), "USD") for amount in amounts)
    row = TableRow(
        *("", "", "all assets of all vaults", cells), note="", is_short=False, is_unpriced=False
    )
    assert table == Table((row,), worth="", minimum="", empty="")
    assert ORGANIZATION_BALANCES.columns == (
        Column("total", "Total"),
        Column("spot", "Spot"),
        Column("staked", "Staked"),
        Column("pledged", "Pledged"),
    )
