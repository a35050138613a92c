"""The worth of organizations, and what their sums lack."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from exporter.discovery.inventory import Inventory, Organization, Unpolled
from exporter.discovery.known import Found, Listed
from exporter.resources.target import Target
from exporter.resources.worth import Cell
from exporter.shard import Shard
from exporter.status.model import TargetStatus
from exporter.status.worth import OrganizationWorth, organizations_of
from tests.resources.answers import ORGANIZATION, exposed, row, vault_answer, vault_target
from tests.web.statuses import COLD, EXPORTER, NOW, failing, status, told, up


def vault(name: str, *rows: dict[str, object], organization: str = "acme") -> TargetStatus:
    target = vault_target(name, organization=organization)
    balances = exposed(target, vault_answer(*rows))
    return told(target, balances=balances, polls=1, last_success=NOW, rejected=balances.rejected)


def worth(amount: str | None, quote_asset: str = "USD") -> dict[str, object]:
    return row(
        f"A{amount}{quote_asset}", balance="1", quote_balance=amount, quote_asset=quote_asset
    )


def acme(*targets: TargetStatus) -> OrganizationWorth:
    (found,) = organizations_of(status(*targets))
    return found


def test_only_amounts_of_one_quote_asset_are_added_and_compared() -> None:
    found = acme(
        up(ORGANIZATION),
        vault("a", worth("10000.10"), worth("5", "EUR")),
        vault("b", worth("2000.20"), worth("0.5", "EUR")),
    )
    assert found.sum == (Cell(Decimal("12000.30"), "USD"), Cell(Decimal("5.5"), "EUR"))
    assert found.difference == (Cell(Decimal("345.3789"), "USD"),)
    assert found.lacks == ()


def test_an_amount_that_cannot_be_added_exactly_makes_no_sum_and_no_difference() -> None:
    found = acme(
        up(ORGANIZATION), vault("a", worth("1E+300"), worth("1E-300")), vault("b", worth("1"))
    )
    assert found.sum == found.difference == (Cell(None, "USD"),)


@pytest.mark.parametrize(
    ("targets", "lacks"),
    [
        ([vault("a", worth("1"))], ()),
        ([told(vault_target("new"))], ("1 vault that is not read",)),
        (
            [failing(COLD, is_stale=True), failing(COLD)],
            ("2 vaults that are not read",),
        ),
        ([vault("a", worth("1"), row("?", hold="x"))], ("1 row that was rejected",)),
        ([vault("a", worth("1"), worth(None))], ("1 amount without a price",)),
    ],
)
def test_a_sum_says_what_it_lacks(targets: list[TargetStatus], lacks: tuple[str, ...]) -> None:
    assert acme(*targets).lacks == lacks


def test_a_sum_lacks_what_was_found_and_is_not_polled() -> None:
    vault_found = Found(Listed("VCCCCCCCCCCCCA"), NOW, NOW)
    left_out = (Unpolled(vault_found, "excluded"), Unpolled(vault_found, "limit"))
    of_acme = Organization(ORGANIZATION.id, "acme", 60.0, "treasury", (), unpolled=left_out)
    of_zeta = Organization("ZZZZ ZZZZ ZZZZ ZZZZ", "zeta", 60.0, "treasury", ())
    seen = status(
        vault("a", worth("1")),
        vault("z", worth("1"), organization="zeta"),
        discovery=Inventory((of_acme, of_zeta)),
    )
    assert [it.lacks for it in organizations_of(seen)] == [("2 vaults that are not polled",), ()]


def test_what_a_sum_lacks_is_listed_in_one_order() -> None:
    invalid = [row("?", hold="x"), row("!", hold="x")]
    found = acme(vault("a", worth(None), worth(None, "EUR"), *invalid), told(vault_target("new")))
    assert found.lacks == (
        "1 vault that is not read",
        "2 rows that were rejected",
        "2 amounts without a price",
    )


def test_tasks_that_wait_stand_beside_the_worth_of_their_organization() -> None:
    tasks = told(replace(ORGANIZATION, kind="pending_tasks"))
    found = acme(tasks, vault("a", worth("1")))
    assert found.counted == {"pending_tasks": tasks}
    assert acme(vault("a", worth("1"))).counted == {}


def test_an_organization_without_vaults_is_worth_what_the_api_says() -> None:
    found = acme(up(ORGANIZATION))
    assert (found.vaults, found.sum, found.difference, found.lacks) == ((), (), (), ())
    assert found.worth is not None


def test_amounts_below_their_minimum_are_counted_over_all_vaults() -> None:
    def short(name: str, *assets: str) -> TargetStatus:
        target = replace(vault_target(name), min_available=dict.fromkeys("ABC", Decimal(5)))
        rows = [row(asset, available="4" if asset in assets else "5") for asset in "ABC"]
        return told(target, balances=exposed(target, vault_answer(*rows)), polls=1)

    assert acme(short("a", "A"), short("b", "A", "C"), short("c")).short == 3


def test_a_shard_has_a_part_of_the_vaults_only() -> None:
    exporter = replace(EXPORTER, shard=Shard(0, 3))
    (found,) = organizations_of(status(vault("a", worth("1")), exporter=exporter))
    assert found.lacks == ("vaults of other shards",)
    assert found.worth is None


def test_each_organization_has_its_own_vaults_in_the_configured_order() -> None:
    lists = Target("organizations", "treasury", "", "", 600.0, "treasury")
    of_acme = Target("vaults", "ABCD EFGH IJKL MNOP", "acme", "", 600.0, "treasury")
    seen = status(
        told(lists), vault("z", organization="zeta"), told(of_acme), up(ORGANIZATION), vault("a")
    )
    found = organizations_of(seen)
    assert [(it.name, it.targets, len(it.vaults)) for it in found] == [
        ("zeta", 1, 1),
        ("acme", 3, 1),
    ]
    assert organizations_of(seen, "acme") == found[1:]


def test_what_needs_a_look_is_counted() -> None:
    found = acme(
        vault("a", worth(None), worth(None, "EUR")),
        vault("b", worth("1")),
        failing(COLD, is_stale=True),
        told(vault_target("new")),
    )
    assert (found.stale, found.unread) == (1, 2)
    assert (found.unpriced, found.unpriced_vaults) == (2, 1)
