"""The lists of organizations and vaults, as each revision documents them."""

import re
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator import moods
from exporter.simulator.portfolio import (
    invented_iiban,
    invented_vault_id,
    large_portfolio,
    living_portfolio,
)
from exporter.simulator.revisions import R1, R2, R3, R4, Revision
from exporter.simulator.wander import DAY
from tests.simulator.calling import (
    API_KEY,
    NOON,
    ORGANIZATION,
    PORTFOLIO,
    VAULT,
    Caller,
    Clock,
    make_simulator,
    organization_path,
    vault_path,
)

ORGANIZATIONS = "/v0/insto/custody/organizations"
VAULTS = "/v0/insto/custody/vaults"
OTHER = PORTFOLIO.organizations[1]
MANY = large_portfolio(vaults=250, assets=1)
QUOTE = {"asset": "USD", "asset_class": "currency"}


def get(target: str, **options: Any) -> httpx.Response:
    return Caller(make_simulator(**options)).get(target)


def ids(answer: httpx.Response) -> list[str]:
    return [row["id"] for row in answer.json()["vaults"]]


def rows_of(name: str) -> list[dict[str, str]]:
    return [
        {name: organization.id, "status": "active", "name": organization.name}
        for organization in PORTFOLIO.organizations
    ]


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        (R1, rows_of("org_id")),
        (R2, rows_of("org_iiban")),
        (R3, rows_of("org_iiban")),
        (R4, {"result": rows_of("org_iiban")}),
    ],
)
def test_organizations_are_listed_as_the_revision_documents(
    revision: Revision, expected: object
) -> None:
    answer = get(ORGANIZATIONS, revision=revision)
    assert (answer.status_code, answer.json()) == (200, expected)


@pytest.mark.parametrize(
    ("revision", "rest"),
    [
        (R1, {"quote": QUOTE, "total": 5}),
        (R2, {"quote": QUOTE, "total": 5}),
        (R3, {"quote": QUOTE, "total": 5}),
        (R4, {"quote_asset": "USD", "total": 5}),
    ],
)
def test_vaults_are_listed_as_the_revision_documents(
    revision: Revision, rest: dict[str, object]
) -> None:
    answer = get(f"{VAULTS}?quote_asset=USD", revision=revision)
    document = answer.json()
    rows = document.pop("result" if revision is R4 else "vaults")
    assert (answer.status_code, document) == (200, rest)
    assert rows == [vault.listed(NOON) for vault in ORGANIZATION.vaults]
    assert [(row["id"], row["name"], row["status"]) for row in rows] == [
        (vault.id, vault.name, "created") for vault in ORGANIZATION.vaults
    ]


@pytest.mark.parametrize(("revision", "name"), [(R1, "org_id"), (R2, "org_iiban")])
@pytest.mark.parametrize("written", [OTHER.id, OTHER.id.replace(" ", "")])
def test_the_vaults_of_an_organization_are_requested_by_either_form_of_its_id(
    revision: Revision, name: str, written: str
) -> None:
    answer = get(f"{VAULTS}?{name}={quote(written)}", revision=revision)
    assert ids(answer) == [vault.id for vault in OTHER.vaults]


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ("", range(100)),
        ("?limit=100&offset=100", range(100, 200)),
        ("?limit=100&offset=200", range(200, 250)),
        ("?offset=240", range(240, 250)),
        ("?limit=1000", range(250)),
        ("?limit=1&offset=249", range(249, 250)),
        ("?offset=250", range(0)),
        ("?offset=2147483647", range(0)),
    ],
)
def test_vaults_come_in_pages_with_the_total_of_all(query: str, listed: range) -> None:
    answer = get(VAULTS + query, portfolio=MANY)
    assert ids(answer) == [MANY.organizations[0].vaults[number].id for number in listed]
    assert answer.json()["total"] == 250


@pytest.mark.parametrize(
    ("revision", "query", "message"),
    [
        (R1, "limit=0", "Invalid limit parameter."),
        (R1, "limit=1001", "Invalid limit parameter."),
        (R1, "limit=-1", "Invalid limit parameter."),
        (R1, "limit=", "Invalid limit parameter."),
        (R1, "limit=ten", "Invalid limit parameter."),
        (R1, "limit=1e2", "Invalid limit parameter."),
        (R1, "limit=%2B10", "Invalid limit parameter."),
        (R1, f"limit={'9' * 5000}", "Invalid limit parameter."),
        (R1, "limit=1&limit=2", "Repeated limit parameter."),
        (R1, "offset=-1", "Invalid offset parameter."),
        (R1, "offset=2147483648", "Invalid offset parameter."),
        (R1, "offset=%C2%B2", "Invalid offset parameter."),
        (R1, "quote_asset=EUR", "Invalid quote_asset parameter."),
        (R1, "quote_asset_class=fiat", "Invalid quote_asset_class parameter."),
        (R1, "page=2", "Unknown parameter page."),
        (R1, "quote=USD", "Unknown parameter quote."),
        (R1, f"org_iiban={quote(ORGANIZATION.id)}", "Unknown parameter org_iiban."),
        (R2, f"org_id={quote(ORGANIZATION.id)}", "Unknown parameter org_id."),
        (R4, "quote_asset_class=currency", "Unknown parameter quote_asset_class."),
    ],
)
def test_an_improper_request_for_a_page_is_a_bad_request(
    revision: Revision, query: str, message: str
) -> None:
    answer = get(f"{VAULTS}?{query}", revision=revision)
    assert answer.status_code == 400
    assert answer.json()["type"] == "tag:kraken.com,2025:BadRequest"
    assert answer.json()["data"] == {"message": message}


def test_the_list_of_organizations_takes_no_parameters() -> None:
    assert get(f"{ORGANIZATIONS}?limit=10").status_code == 400


@pytest.mark.parametrize("written", ["ABCDEFGHIJKLMNOP", "", "x"])
def test_the_vaults_of_an_unknown_organization_are_denied(written: str) -> None:
    assert get(f"{VAULTS}?org_id={written}").status_code == 403


def test_a_key_sees_only_what_is_in_its_scope() -> None:
    """Initiators and reviewers see only vaults that they belong to (Kraken: List vaults)."""
    seen = ORGANIZATION.vaults[0]
    caller = Caller(make_simulator(scopes={API_KEY: {ORGANIZATION.id, seen.id}}))
    assert [row["org_id"] for row in caller.get(ORGANIZATIONS).json()] == [ORGANIZATION.id]
    assert (ids(caller.get(VAULTS)), caller.get(VAULTS).json()["total"]) == ([seen.id], 1)
    assert caller.get(vault_path(seen.id)).status_code == 200
    for target in (
        vault_path(VAULT.id),
        organization_path(OTHER.id),
        f"{VAULTS}?org_id={quote(OTHER.id)}",
    ):
        assert caller.get(target).json()["type"] == "tag:kraken.com,2025:PermissionDenied"


def test_a_key_without_an_organization_lists_none_and_no_vaults() -> None:
    caller = Caller(make_simulator(scopes={API_KEY: ()}))
    assert caller.get(ORGANIZATIONS).json() == []
    assert caller.get(VAULTS).status_code == 403


@pytest.mark.parametrize(
    ("listing", "path"), [("organizations", ORGANIZATIONS), ("vaults", VAULTS)]
)
def test_a_listing_has_a_mood_by_its_name(listing: str, path: str) -> None:
    caller = Caller(make_simulator(moods={listing: moods.problem(500, "gateway/Fatal")}))
    assert caller.get(path).status_code == 500
    assert caller.get(vault_path()).status_code == 200


def test_a_listed_vault_is_worth_what_its_rows_are_worth() -> None:
    for vault in ORGANIZATION.vaults:
        row: Any = vault.listed(NOON)
        balances: list[Any] = vault.rows(NOON, full_precision=True)
        worth = sum(Decimal(it["quote_balance"]) for it in balances)
        # Each part of an amount was rounded to the cent separately, the row's total once.
        assert abs(Decimal(row["balance_fiat"]) - worth) < len(balances) * Decimal("0.02")
        before: Any = vault.listed(NOON - DAY)
        change = Decimal(row["balance_fiat"]) - Decimal(before["balance_fiat"])
        assert Decimal(row["balance_diff"]) == change


def test_a_listed_vault_names_its_assets_without_a_rate() -> None:
    vaults = {vault.name: vault for vault in OTHER.vaults}
    assert vaults["ventures"].listed(NOON)["missing_rates"] == [
        {"asset": "NOVA", "asset_class": "currency"}
    ]
    assert vaults["otc-desk"].listed(NOON)["missing_rates"] == []


def test_the_status_is_the_portfolio_s() -> None:
    archived = replace(VAULT, status="archived")
    closed = replace(ORGANIZATION, vaults=(archived,), status="closed")
    caller = Caller(make_simulator(portfolio=replace(PORTFOLIO, organizations=(closed,))))
    assert caller.get(VAULTS).json()["vaults"][0]["status"] == "archived"
    assert caller.get(ORGANIZATIONS).json()[0]["status"] == "closed"


@given(st.integers(0, 2**64 - 1))
def test_an_iiban_has_the_documented_form_and_the_check_digits_of_an_iban(number: int) -> None:
    iiban = invented_iiban(invented_vault_id(number))
    assert re.fullmatch(r"AA[0-9]{2}( [A-Z0-9]{4}){3}", iiban)
    compact = iiban.replace(" ", "")
    digits = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    assert int(digits) % 97 == 1


LIVING = living_portfolio(7)
TWO_HOURS = [NOON + 30 * step for step in range(240)]


def listed_at(now: float) -> dict[str, str]:
    """Return the names of the last organization's vaults, by id."""
    clock = Clock(now)
    caller = Caller(make_simulator(portfolio=LIVING, wall=clock))
    answer = caller.get(f"{VAULTS}?org_id={quote(OTHER.id)}").json()
    assert answer["total"] == len(answer["vaults"])
    return {row["id"]: row["name"] for row in answer["vaults"]}


def test_vaults_of_the_demo_come_and_go_and_come_back() -> None:
    last = LIVING.organizations[-1]
    always = {vault.id for vault in OTHER.vaults}
    coming = {vault.id for vault in last.vaults} - always
    assert len(coming) == 2
    for id_ in coming:
        vault = LIVING.vault(id_)
        seen = [vault.is_listed(now) for now in TWO_HOURS]
        changes = [now for now, then in pairwise(seen) if now != then]
        assert len(changes) >= 4, "comes back"
    for now in TWO_HOURS[::20]:
        assert listed_at(now).keys() == always | {
            id_ for id_ in coming if LIVING.vault(id_).is_listed(now)
        }


def test_a_vault_of_the_demo_is_renamed_now_and_then() -> None:
    names = [listed_at(now) for now in TWO_HOURS[::10]]
    renamed = {id_ for id_ in names[0] if len({it.get(id_, "") for it in names} - {""}) > 1}
    assert [LIVING.vault(id_).name for id_ in renamed] == ["validators"]
    assert {it[id_] for it in names for id_ in renamed} == {"validators", "validators-eu"}


def test_what_was_there_before_is_as_it_was() -> None:
    for living, before in zip(LIVING.organizations, PORTFOLIO.organizations, strict=True):
        assert [(vault.id, vault.name, vault.holdings) for vault in living.vaults][
            : len(before.vaults)
        ] == [(vault.id, vault.name, vault.holdings) for vault in before.vaults]


def test_an_archived_vault_can_still_be_read_by_its_id() -> None:
    (vault, *_) = (it for it in LIVING.organizations[-1].vaults if it.season)
    away = next(now for now in TWO_HOURS if not vault.is_listed(now))
    caller = Caller(make_simulator(portfolio=LIVING, wall=Clock(away)))
    assert len(caller.get(vault_path(vault.id)).json()) == len(vault.holdings)


def test_what_comes_and_goes_is_a_small_part_of_an_organization() -> None:
    last = LIVING.organizations[-1]
    total: Any = last.balance(NOON)
    coming = [vault.listed(NOON) for vault in last.vaults if vault.season]
    worth = sum(Decimal(str(row["balance_fiat"])) for row in coming)
    assert 0 < worth < Decimal("0.01") * Decimal(total["balance"]["total"])
