"""Lists of organizations and vaults: the form of every revision, and when a list is accepted."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError, TooManyRowsError, parse_json
from exporter.custody.errors import CustodyError, Reaction
from exporter.discovery.inventory import (
    Inventory,
    Organization,
    OrganizationList,
    Unpolled,
    Vault,
    VaultList,
)
from exporter.discovery.known import Found, Listed, Source
from exporter.resources import organizations as organizations_module
from exporter.resources import vaults as vaults_module
from exporter.resources.fields import InvalidField, InvalidRow
from exporter.resources.lists import Listing, NotAllowed
from exporter.resources.organizations import ORGANIZATIONS
from exporter.resources.resource import Answer, Exposable, Part, Resource
from exporter.resources.target import Target
from exporter.resources.vaults import VAULTS
from exporter.simulator.portfolio import invented_vault_id
from exporter.turns import at_once

ACME = "ABCD EFGH IJKL MNOP"
A, B = "VAAAAAAAAAAAAA", "VBBBBBBBBBBBBA"
OF_CREDENTIAL = Target("organizations", "one", "", "", 600.0, "one")
OF_ACME = Target("vaults", ACME, "acme", "", 600.0, "one")


def answer(request: Request[Answer], document: object) -> Answer:
    return at_once(request.read(parse_json(json.dumps(document).encode())))


def listing(read: Answer) -> Listing:
    assert isinstance(read, Listing)
    return read


def organizations(document: object) -> Listing:
    return listing(answer(ORGANIZATIONS.requester()(OF_CREDENTIAL), document))


ROW = {"status": "active", "name": "acme"}


@pytest.mark.parametrize("id_field", ["org_id", "org_iiban", "iiban", "id"])
@pytest.mark.parametrize("written", [ACME, "ABCDEFGHIJKLMNOP", "abcd efgh ijkl mnop"])
@pytest.mark.parametrize(
    "envelope",
    [lambda rows: rows, lambda rows: {"result": rows}, lambda rows: {"organizations": rows}],
)
def test_organizations_are_read_from_every_revision(
    id_field: str, written: str, envelope: Callable[[list[object]], object]
) -> None:
    read = organizations(envelope([{id_field: written, **ROW, "unknown": {"field": 1}}]))
    assert read.source == Source("one")
    assert read.rows.listed == (Listed(ACME, "acme", "active"),)


@pytest.mark.parametrize("document", [{}, {"result": {}}, "x", 5, None, {"vaults": []}])
def test_anything_but_a_list_of_organizations_is_an_invalid_answer(document: object) -> None:
    with pytest.raises(InvalidAnswerError, match="neither an array of organizations nor"):
        organizations(document)


def test_an_organization_that_is_listed_twice_makes_the_list_useless() -> None:
    with pytest.raises(InvalidAnswerError, match=f"lists organization {ACME} twice"):
        organizations([{"org_id": ACME}, {"org_id": "ABCDEFGHIJKLMNOP"}])


def test_more_organizations_than_the_rows_of_any_answer_are_refused() -> None:
    rows = [{"org_id": f"{number:016}"} for number in range(8_001)]
    with pytest.raises(TooManyRowsError, match="has 8001 rows, more than 8000"):
        organizations(rows)
    assert organizations(rows[:-1]).rows.count == 8_000


def vault(number: int, **fields: object) -> dict[str, object]:
    return {"id": invented_vault_id(number), "name": f"vault {number}", **fields}


def pages(*documents: object) -> Answer:
    """Return the result of a list with these pages; it requests no more of them than it needs."""
    request, read = VAULTS.requester()(OF_ACME), None
    for document in documents:
        read = answer(request, document)
        if isinstance(read, Part):
            request = read.next
    assert read is not None
    return read


def page(numbers: Sequence[int], total: object = None, name: str = "vaults") -> dict[str, object]:
    rows: dict[str, object] = {name: [vault(number) for number in numbers]}
    return rows if total is None else {**rows, "total": total}


def query_of(read: Answer) -> str:
    assert isinstance(read, Part)
    return read.next.query


@pytest.mark.parametrize("name", ["vaults", "result"])
@pytest.mark.parametrize("total", [None, 2, "2"])
def test_vaults_are_read_from_every_revision(name: str, total: object) -> None:
    read = listing(pages(page([1, 2], total, name)))
    assert read.source == Source("one", ACME)
    assert [row.name for row in read.rows.listed] == ["vault 1", "vault 2"]
    assert listing(pages([vault(1)])).rows.count == 1


def test_a_vault_has_its_name_its_status_and_how_many_rates_it_lacks() -> None:
    rates = [{"asset": "XYZ", "asset_class": "currency"}]
    rows = [
        vault(1, status="created", missing_rates=rates),
        vault(2, name=None, missing_rates=[]),
        {"id": A, "name": "  "},
    ]
    listed = listing(pages({"vaults": rows})).rows.listed
    assert [row[1:] for row in listed] == [
        ("vault 1", "created", 1),
        ("", "", 0),
        ("", "", None),
    ]


@pytest.mark.parametrize(
    "name", ['"quoted"', "two\nlines", "\\", "<b>", "x" * 500, "a\r\tb", "\N{SNOWMAN}", " blank "]
)
def test_a_name_is_taken_as_it_is(name: str) -> None:
    (row,) = listing(pages({"vaults": [vault(1, name=name)]})).rows.listed
    assert row.name == name


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("name", 5, "is not a text"),
        ("name", "x" * 1001, "is longer than 1000 characters"),
        ("name", "\ud800", "is not valid Unicode"),
        ("status", {}, "is not a text"),
        ("status", "s" * 65, "is longer than 64 characters"),
        ("missing_rates", 3, "is not an array"),
    ],
)
def test_a_field_that_cannot_be_read_is_left_out_and_reported(
    field: str, value: object, problem: str
) -> None:
    read = listing(pages({"vaults": [vault(1, name="n", status="s") | {field: value}]})).rows
    assert read.count == len(read.listed) == 1
    assert [(it.field, it.problem, it.rows) for it in read.unread.values()] == [(field, problem, 1)]


@pytest.mark.parametrize(
    ("row", "field", "problem"),
    [
        ("x", "", "is not an object"),
        ({}, "id", "is missing"),
        ({"id": 5}, "id", "is not a text"),
        ({"id": "hot"}, "id", "is not a vault id"),
        ({"id": A.lower()}, "id", "is not a vault id"),
    ],
)
def test_a_row_without_an_id_is_rejected_and_the_others_count(
    row: object, field: str, problem: str
) -> None:
    read = listing(pages({"vaults": [vault(1), row], "total": 2})).rows
    assert [listed.name for listed in read.listed] == ["vault 1"]
    ((position, its_field, its_problem),) = read.rejected
    assert (position, its_field) == (1, field)
    assert its_problem.startswith(problem)


HUNDRED = range(100)


@pytest.mark.parametrize(
    ("documents", "count", "queries"),
    [
        # By the total.
        ([page(HUNDRED, 150), page(range(100, 150), 150)], 150, [100]),
        ([page(HUNDRED, 200), page(range(100, 200), 200)], 200, [100]),
        ([page([], 0)], 0, []),
        # An API with shorter pages than requested.
        ([page([1, 2], 3), page([3], 3)], 3, [2]),
        # The total of a single page may be that of the page only.
        ([page(HUNDRED, 100), page([], 100)], 100, [100]),
        # Without a total: until a page is not full.
        ([page([1, 2])], 2, []),
        ([page([])], 0, []),
        ([page(HUNDRED), page([])], 100, [100]),
        ([page(HUNDRED), page(range(100, 200)), page([200])], 201, [100, 200]),
        # An API without pages.
        ([page(range(300))], 300, []),
    ],
)
def test_pages_are_read_until_the_list_is_whole(
    documents: list[object], count: int, queries: list[int]
) -> None:
    for number, offset in enumerate(queries, 1):
        query = query_of(pages(*documents[:number]))
        assert query == f"?org_iiban={{id}}&limit=100&offset={offset}"
    assert listing(pages(*documents)).rows.count == count


@pytest.mark.parametrize(
    ("documents", "problem"),
    [
        # A page is missing.
        ([page(HUNDRED, 150), page([], 150)], "ends a list of 100 vaults, not of 150"),
        # A page is repeated, or a vault is on two of them.
        ([page(HUNDRED, 150), page(HUNDRED, 150)], r"lists vault V\w+ twice"),
        ([page(HUNDRED), page(HUNDRED)], r"lists vault V\w+ twice"),
        ([page(HUNDRED, 150), page(range(99, 149), 150)], r"lists vault V\w+ twice"),
        ([page([1, 1], 2)], r"lists vault V\w+ twice"),
        # The total changes.
        ([page(HUNDRED, 150), page(range(100, 151), 151)], "total of 151 on page 2, and of 150"),
        ([page(HUNDRED, 150), page(range(100, 150))], "total of nothing on page 2, and of 150"),
        ([page(HUNDRED), page(range(100, 150), 150)], "total of 150 on page 2, and of nothing"),
        ([page([1, 2], 1)], "ends a list of 2 vaults, not of 1"),
        ([page([1], "many")], "has a total that is not a whole number"),
        ([page([1], 1.5)], "has a total that is not a whole number"),
        ([page([1], -1)], "has a total that is not a whole number"),
        # Too many pages.
        ([page(HUNDRED, 20_001)], "lists 20001 vaults, more than 200 pages hold"),
        ([{}], "neither an array of vaults nor an object with one"),
        ([{"result": {"vaults": []}}], "neither an array of vaults nor an object with one"),
    ],
)
def test_a_list_is_believed_only_as_a_whole(documents: list[object], problem: str) -> None:
    with pytest.raises(InvalidAnswerError, match=problem):
        pages(*documents)


def test_a_list_that_does_not_end_is_given_up_after_two_hundred_pages() -> None:
    request = VAULTS.requester()(OF_ACME)
    for number in range(199):
        read = answer(request, page(range(number * 100, number * 100 + 100)))
        assert isinstance(read, Part)
        request = read.next
    with pytest.raises(InvalidAnswerError, match="is page 200 of a list that goes on"):
        answer(request, page(range(19_900, 20_000)))


def test_a_page_that_is_requested_again_counts_once() -> None:
    first = VAULTS.requester()(OF_ACME)
    part = answer(first, page(HUNDRED, 150))
    assert isinstance(part, Part)
    for _ in range(2):
        assert listing(answer(part.next, page(range(100, 150), 150))).rows.count == 150


def refused(request: Request[Answer], status: int, type_: str) -> CustodyError:
    error = CustodyError(type_, status=status, reaction=Reaction.BACK_OFF)
    error.reaction = request.reaction(error)
    return error


def test_an_api_that_refuses_the_query_is_asked_with_the_other_name_of_organizations() -> None:
    asking = VAULTS.requester()
    queries = []
    for _ in range(3):
        request = asking(OF_ACME)
        queries.append(request.query.partition("=")[0])
        assert refused(request, 400, "BadRequest").reaction is Reaction.AGAIN
    assert queries == ["?org_iiban", "?org_id", "?org_iiban"]


def test_a_page_after_the_first_that_is_refused_changes_no_names() -> None:
    asking = VAULTS.requester()
    part = answer(asking(OF_ACME), page(HUNDRED))
    assert isinstance(part, Part)
    assert refused(part.next, 400, "BadRequest").reaction is Reaction.BACK_OFF
    assert asking(OF_ACME).query.startswith("?org_iiban")


@pytest.mark.parametrize("resource", [ORGANIZATIONS, VAULTS])
@pytest.mark.parametrize(
    ("is_optional", "status", "type_", "is_excused"),
    [
        (True, 403, "PermissionDenied", True),
        (True, 200, "EGeneral:Permission denied", True),
        (False, 403, "PermissionDenied", False),
        (True, 404, "http/404", False),
        (True, 400, "BadRequest", False),
    ],
)
def test_a_key_that_may_not_list_does_not_fail_if_the_configuration_has_some(
    *, resource: Any, is_optional: bool, status: int, type_: str, is_excused: bool
) -> None:
    target = Target(resource.kind, ACME, "acme", "", 600.0, "one", is_optional=is_optional)
    request = resource.requester()(target)
    excuse = request.excuse(refused(request, status, type_))
    assert (excuse is not None) == is_excused
    if excuse:
        assert isinstance(excuse, NotAllowed)
        exposed = at_once(excuse.expose(target, ()))
        assert exposed.note.startswith(f"the key may not list {resource.kind}: ")
        assert (exposed.lines, exposed.series) == ({}, 0)


def test_a_list_has_its_rows_and_no_series() -> None:
    read = pages({"vaults": [vault(1, name=5), "x"], "total": 2})
    exposed = at_once(exposable(read).expose(OF_ACME, ()))
    assert (exposed.lines, exposed.series, exposed.rows) == ({}, 0, 2)
    assert exposed.rejected == (InvalidRow(1, "", "is not an object"),)
    assert exposed.unread == (InvalidField("name", "is not a text", 1, 0),)
    assert at_once(exposed.kept.lines(OF_ACME, ())) == {}
    assert exposed.table(OF_ACME) is None


@pytest.mark.parametrize(("rows", "missed"), [([vault(2)], 1), ([vault(2), "x"], 0)])
def test_what_a_list_omits_is_missing_unless_it_may_be_in_a_rejected_row(
    rows: list[object], missed: int
) -> None:
    source = Source("one", ACME)
    first, other = Listed(invented_vault_id(1), "vault 1"), Listed(invented_vault_id(2), "vault 2")
    known = at_once(listing(pages({"vaults": [vault(1)]})).merged_into({Source("two"): {}}, 100.0))
    assert known == {Source("two"): {}, source: {first.id: Found(first, 100.0, 100.0)}}
    known = at_once(listing(pages({"vaults": rows})).merged_into(known, 200.0))
    assert known[source] == {
        first.id: Found(first, 100.0, 100.0, missed),
        other.id: Found(other, 200.0, 200.0),
    }


def inventory(*, is_listed: bool) -> Inventory:
    """Return the lists of two credentials: an organization with a vault in the configuration."""
    hot, cold = Listed(A, "Hot", "active", 2), Found(Listed(B, "Cold"), 0.0, 0.0)
    more = {f"V{number}": Found(hot, 0.0, 0.0) for number in range(101)}
    finds = more if is_listed else None
    acme = Organization(
        id=ACME,
        label="acme",
        interval=60.0,
        credential="one",
        vaults=(Vault(A, "hot", 60.0, "one", found=Found(hot, 0.0, 0.0)),),
        found=Found(Listed(ACME, "Acme", "active"), 0.0, 0.0) if is_listed else None,
        has_vaults=True,
        lists=(VaultList("one", finds), VaultList("two", None)),
        unpolled=(Unpolled(cold, "excluded"), Unpolled(cold, "limit")),
    )
    lists = [
        OrganizationList(name, its_finds, has_organizations=True)
        for name, its_finds in (("one", finds), ("two", None))
    ]
    return Inventory((acme,), 600.0, tuple(lists))


def test_each_list_is_a_target_that_a_key_may_be_refused_before_the_first() -> None:
    for is_listed in (True, False):
        found = inventory(is_listed=is_listed)
        targets = [replace(it, facts={}) for it in VAULTS.targets(found)]
        of_one = replace(OF_ACME, is_optional=not is_listed, requests=2 if is_listed else 1)
        of_two = replace(OF_ACME, is_optional=True, is_another=True, credential="two")
        assert targets == [of_one, of_two]
        assert list(ORGANIZATIONS.targets(found)) == [
            replace(OF_CREDENTIAL, is_optional=not is_listed),
            replace(OF_CREDENTIAL, id="two", credential="two", is_optional=True),
        ]


def test_the_content_of_lists_is_exposed_once_for_each_organization_and_vault() -> None:
    found = inventory(is_listed=True)
    (acme,) = found.organizations
    first, second = VAULTS.targets(found)
    of_acme = f'{{org="acme",org_id="{ACME}"'
    assert first.facts == {
        "kraken_custody_discovered_vaults": (
            f'kraken_custody_discovered_vaults{of_acme},polled="true"}} 1.0\n'
            f'kraken_custody_discovered_vaults{of_acme},polled="false"}} 1.0\n'
        ).encode()
    }
    assert second.facts == {}
    assert organizations_module.info_lines(acme) == {
        "kraken_custody_organization_info": (
            f'kraken_custody_organization_info{of_acme},name="Acme",status="active"}} 1.0\n'
        ).encode()
    }
    of_hot = f'{{org="acme",vault="hot",vault_id="{A}"'
    assert vaults_module.info_lines(acme.vaults[0], "acme") == {
        "kraken_custody_vault_info": (
            f'kraken_custody_vault_info{of_hot},name="Hot",status="active"}} 1.0\n'
        ).encode(),
        "kraken_custody_vault_missing_quote_rates": (
            f"kraken_custody_vault_missing_quote_rates{of_hot}}} 2.0\n"
        ).encode(),
    }
    unlisted = inventory(is_listed=False)
    assert organizations_module.info_lines(unlisted.organizations[0]) == {}


@pytest.mark.parametrize("resource", [ORGANIZATIONS, VAULTS])
def test_the_metrics_of_a_list_have_a_help_and_a_source(resource: Resource) -> None:
    assert resource.is_list
    for metric in resource.facts:
        assert re.fullmatch(r"[A-Z].*\.", metric.help)
        assert metric.source


def exposable(read: Answer) -> Exposable:
    assert not isinstance(read, Part)
    return read
