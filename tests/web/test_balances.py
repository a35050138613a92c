"""`/api/v1/balances`: its JSON, which matches its schema, and its CSV."""

import csv
import json
from decimal import Decimal
from importlib.resources import files
from io import StringIO
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.datastructures import QueryParams

from exporter.discovery.inventory import (
    Inventory,
    Organization,
    OrganizationList,
    Unpolled,
    VaultList,
)
from exporter.discovery.known import Found, Listed
from exporter.resources.target import Target
from exporter.status.model import Status, TargetStatus
from exporter.web.balances import (
    PIECE_BYTES,
    MistakenQueryError,
    Wanted,
    balances_csv,
    balances_json,
    harmless,
)
from tests.json_schemas import validator
from tests.resources.answers import HOT, ORGANIZATION, exposed, row, vault_answer, vault_target
from tests.web.statuses import COLD, EVIL, NOW, failing, status, told, up

SCHEMA = json.loads(files("exporter.web").joinpath("static/balances.schema.json").read_bytes())
EVERYTHING = Wanted()


def held(*rows: dict[str, object], target: Target = HOT) -> TargetStatus:
    balances = exposed(target, vault_answer(*rows))
    return told(
        target,
        balances=balances,
        polls=1,
        last_success=NOW - 40,
        rejected=balances.rejected,
        invalid_rows=len(balances.rejected),
    )


def data(seen: Status, wanted: Wanted = EVERYTHING) -> Any:
    document = json.loads(b"".join(balances_json(seen, wanted)))
    validator(SCHEMA).validate(document)
    assert document["status"] == "success"
    return document["data"]


def records(seen: Status, wanted: Wanted = EVERYTHING) -> list[dict[str, str]]:
    text = b"".join(balances_csv(seen, wanted)).decode("utf-8-sig")
    return list(csv.DictReader(StringIO(text, newline="")))


def test_every_digit_is_as_the_api_wrote_it_with_the_moment_of_reading() -> None:
    vault = vault_target(min_available={"BTC": Decimal("1500.50")})
    seen = status(
        held(
            row(
                name="Bitcoin",
                balance="1104.5891561100",
                spot="1e-8",
                hold="0.00000000",
                available="-0.10",
                quote_balance="12345678901234567890.123456789",
                quote_asset="EUR",
            ),
            target=vault,
        )
    )
    assert data(seen) == {
        "time": "2026-11-21T12:00:00.000Z",
        "complete": True,
        "targets": [
            {
                "kind": "vault",
                "org": "acme",
                "vault": "hot",
                "id": "VABCDEF234567A",
                "page": "/vaults/VABCDEF234567A",
                "state": "up",
                "readAt": "2026-11-21T11:59:20.000Z",
                "rejectedRows": 0,
                "unpriced": 0,
                "belowMinimum": 1,
                "balances": [
                    {
                        "asset": "BTC",
                        "assetClass": "currency",
                        "name": "Bitcoin",
                        "quoteAsset": "EUR",
                        "amounts": {
                            "quote_balance": "12345678901234567890.123456789",
                            "balance": "1104.5891561100",
                            "balance_diff": None,
                            "available": "-0.10",
                            "spot": "0.00000001",
                            "hold": "0.00000000",
                            "pledged": None,
                            "staked": None,
                            "quote_price": None,
                            "quote_spot_balance": None,
                            "quote_available": None,
                        },
                        "minAvailable": "1500.50",
                        "belowMinimum": True,
                    }
                ],
            }
        ],
    }


def test_the_total_of_an_organization_is_the_apis() -> None:
    (target,) = data(status(up(ORGANIZATION)))["targets"]
    (balance,) = target["balances"]
    assert (balance["asset"], balance["quoteAsset"]) == (None, "USD")
    assert balance["amounts"] == {
        "total": "12345.6789",
        "spot": "10000.0000",
        "staked": "1500.0000",
        "pledged": "845.6789",
    }


def test_what_is_absent_is_said_to_be_and_never_zero() -> None:
    stale = failing(COLD, is_stale=True, last_success=NOW - 900)
    found = data(status(up(), stale, told(vault_target("new"))))
    assert not found["complete"]
    assert [(it["vault"], it["state"], it["readAt"] is None) for it in found["targets"]] == [
        ("hot", "up", False),
        ("cold", "stale", True),
        ("new", "waiting", True),
    ]
    assert [it["balances"] is None for it in found["targets"]] == [False, True, True]
    assert [it["unpriced"] for it in found["targets"]] == [0, None, None]
    rejected = held(row("BTC"), row("ETH", hold="?"))
    assert not data(status(rejected))["complete"]
    assert data(status(up()))["complete"]


def test_lists_have_no_balances() -> None:
    lists = Target("vaults", "ABCD EFGH IJKL MNOP", "acme", "", 600.0, "treasury")
    assert data(status(told(lists)))["targets"] == []


FOUND = Organization(ORGANIZATION.id, "acme", 60.0, "treasury", ())
READ = VaultList("treasury", {})
UNREAD = VaultList("treasury", None)
UNREAD_LIST = OrganizationList("treasury", None, has_organizations=False)
BEYOND = Unpolled(Found(Listed("VCCCCCCCCCCCCC"), NOW, NOW), "limit")


@pytest.mark.parametrize(
    ("discovery", "query", "is_complete"),
    [
        (None, "", True),
        (Inventory((replace(FOUND, lists=(READ,)),)), "", True),
        (Inventory((), lists=(UNREAD_LIST,)), "", False),
        (Inventory((), lists=(UNREAD_LIST,)), "org=acme", True),
        (Inventory((replace(FOUND, lists=(READ, UNREAD)),)), "", False),
        (Inventory((replace(FOUND, lists=(UNREAD,)),)), "org=acme", False),
        (Inventory((replace(FOUND, lists=(UNREAD,)),)), "org=ABCDEFGHIJKLMNOP", False),
        (Inventory((replace(FOUND, lists=(UNREAD,)),)), "org=beta", True),
        (Inventory((replace(FOUND, lists=(UNREAD,)),)), "vault=hot", True),
        (Inventory((replace(FOUND, unpolled=(BEYOND,)),)), "", False),
        (None, "org=nobody", False),
        (None, "vault=nobody", False),
        (None, "vault=hot&vault=nobody", False),
        (None, "vault=warm&org=acme", False),
        (None, "org=ABCDEFGHIJKLMNOP&asset=BTC", True),
    ],
)
def test_nothing_is_complete_that_may_lack_a_vault(
    discovery: Inventory | None, query: str, *, is_complete: bool
) -> None:
    seen = status(up(ORGANIZATION), up(), up(BETA), up(WARM), discovery=discovery)
    assert data(seen, Wanted.of(QueryParams(query), ""))["complete"] is is_complete


def test_a_standby_that_has_discovered_nothing_is_not_complete() -> None:
    lists = told(Target("organizations", "treasury", "", "", 600.0, "treasury"))
    unread = Inventory((), lists=(UNREAD_LIST,))
    found = data(status(lists, discovery=unread))
    assert (found["complete"], found["targets"]) == (False, [])


BETA = replace(ORGANIZATION, organization="beta", id="BBBB BBBB BBBB BBBB")
WARM = vault_target("warm", organization="beta", id="VBBBBBBBBBBBBB")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["acme/", "acme/hot", "beta/", "beta/warm"]),
        ("org=beta", ["beta/", "beta/warm"]),
        ("org=BBBB+BBBB+BBBB+BBBB", ["beta/", "beta/warm"]),
        ("org=BBBBBBBBBBBBBBBB", ["beta/", "beta/warm"]),
        ("org=acme&org=beta", ["acme/", "acme/hot", "beta/", "beta/warm"]),
        ("vault=warm", ["beta/warm"]),
        ("vault=VBBBBBBBBBBBBB", ["beta/warm"]),
        ("vault=warm&org=acme", []),
        ("vault=", []),
        ("org=nobody", []),
        ("asset=BTC", ["acme/hot", "beta/warm"]),
    ],
)
def test_organizations_and_vaults_are_requested_by_label_or_id(
    query: str, found: list[str]
) -> None:
    seen = status(up(ORGANIZATION), up(), up(BETA), up(WARM))
    targets = data(seen, Wanted.of(QueryParams(query), ""))["targets"]
    assert [f"{it['org']}/{it['vault']}" for it in targets] == found


def test_only_the_assets_that_are_requested_are_reported() -> None:
    seen = status(held(row("BTC"), row("ETH"), row("USD")))
    wanted = Wanted.of(QueryParams("asset=USD&asset=BTC&asset=SOL"), "")
    (target,) = data(seen, wanted)["targets"]
    assert [it["asset"] for it in target["balances"]] == ["BTC", "USD"]
    assert [it["asset"] for it in records(seen, wanted)] == ["BTC", "USD"]


@pytest.mark.parametrize(
    ("query", "accept", "format_"),
    [
        ("", "", "json"),
        ("", "*/*", "json"),
        ("", "text/csv", "csv"),
        ("", "application/json;q=0.5, text/csv", "csv"),
        ("", "text/csv;q=0", "json"),
        ("format=csv", "application/json", "csv"),
        ("format=json", "text/csv", "json"),
    ],
)
def test_the_address_or_else_the_header_says_which_format(
    query: str, accept: str, format_: str
) -> None:
    assert Wanted.of(QueryParams(query), accept).format == format_


@pytest.mark.parametrize("query", ["orgs=acme", "format=xlsx", "asset=BTC&assets=ETH"])
def test_a_query_that_is_mistaken_is_refused_as_it_would_be_answered_with_too_much(
    query: str,
) -> None:
    with pytest.raises(MistakenQueryError):
        Wanted.of(QueryParams(query), "")


def test_a_spreadsheet_gets_a_line_for_each_asset_of_each_vault() -> None:
    stale = failing(COLD, is_stale=True, last_success=NOW - 900)
    empty = held(target=vault_target("empty"))
    seen = status(up(ORGANIZATION), held(row(balance_diff="-1.50", name="Bitcoin")), stale, empty)
    assert b"".join(balances_csv(seen, EVERYTHING)).decode() == (
        "\ufefforg,vault,vault_id,state,read_at,asset,asset_class,name,quote_asset,quote_balance,balance,"
        "balance_diff,available,min_available,spot,hold,pledged,staked,quote_price,quote_spot_balance,"
        "quote_available\r\n"
        "acme,hot,VABCDEF234567A,up,2026-11-21T11:59:20.000Z,BTC,currency,Bitcoin,USD,,0,"
        "-1.50,0,,0,0,,,,,\r\n"
        "acme,cold,VW44KPQC4C62K6,stale,,,,,,,,,,,,,,,,,\r\n"
        "acme,empty,VABCDEF234567A,up,2026-11-21T11:59:20.000Z,,,,,,,,,,,,,,,,\r\n"
    )


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_text_of_the_api_is_a_formula(name: str) -> None:
    assert harmless(name) == f"'{name}"
    seen = status(held(row(name, name=name), target=vault_target(name, organization=name)))
    (record,) = records(seen)
    assert [record[it] for it in ("org", "vault", "asset", "name")] == [f"'{name}"] * 4


@pytest.mark.parametrize("name", ["hot", EVIL, 'quo"ted, with a comma', "two\nlines", "a=b"])
def test_whatever_is_in_a_name_stays_in_its_cell(name: str) -> None:
    assert harmless(name) == name
    (record,) = records(status(held(row(name=name))))
    assert record["name"] == name


def test_a_negative_amount_stays_a_number() -> None:
    (record,) = records(status(held(row(balance="-5.00", balance_diff="+1"))))
    assert (record["balance"], record["balance_diff"]) == ("-5.00", "1")


def test_large_bodies_are_sent_in_small_pieces() -> None:
    many = [held(*(row(f"A{number}") for number in range(400)))] * 3
    for pieces in (
        list(balances_json(status(*many), EVERYTHING)),
        list(balances_csv(status(*many), EVERYTHING)),
    ):
        assert len(pieces) > 3
        assert max(map(len, pieces)) < PIECE_BYTES + 2000
