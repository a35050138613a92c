"""Requests that the simulator refuses, as the API would."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.requests import Request

from exporter.simulator import moods
from exporter.simulator.guard import Refusal, signature
from exporter.simulator.revisions import R1, R2, R3, R4, Revision
from tests.simulator.calling import (
    API_KEY,
    API_SECRET,
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

TIME = "/0/public/Time"
ASSETS = "/v0/insto/custody/assets"
VAULT_PATH = f"/v0/insto/custody/vaults/{VAULT.id}"
UNSIGNED = {"user-agent": "tests"}
QUOTE = {"asset": "USD", "asset_class": "currency"}


def get(target: str, **options: Any) -> httpx.Response:
    return Caller(make_simulator(**options)).get(target)


def kind(answer: httpx.Response) -> str:
    """Return the error in the API's own words."""
    document = answer.json()
    return str(document["type"] if "type" in document else document["error"][0])


@pytest.mark.parametrize(
    ("revision", "query", "problem"),
    [
        (R1, "quote=USD", None),
        (R1, "quote=USD&full_precision=true", None),
        (R1, "full_precision=false", None),
        (R1, "full_precision=yes", "Invalid full_precision parameter."),
        (R1, "quote_asset=USD", "Unknown parameter quote_asset."),
        (R2, "quote_asset=USD", None),
        (R2, "quote=USD", "Unknown parameter quote."),
        (R3, "quote_asset=USD&full_precision=true", "Unknown parameter full_precision."),
        (R4, "quote_asset=USD", None),
        (R4, "quote=USD", "Unknown parameter quote."),
        (R4, "quote_asset=USD&quote_asset=USD", "Repeated quote_asset parameter."),
        (R4, "quote_asset=usd", "Invalid quote_asset parameter."),
        (R4, "quote_asset=", "Invalid quote_asset parameter."),
        (replace(R3, assets=frozenset()), "quote_asset=USD", "Unknown parameter quote_asset."),
    ],
)
def test_a_revision_knows_its_own_parameters_only(
    revision: Revision, query: str, problem: str | None
) -> None:
    answer = get(f"{vault_path()}?{query}", revision=revision)
    if problem is None:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["data"]) == (400, {"message": problem})


@pytest.mark.parametrize(
    ("revision", "known", "unknown"),
    [
        (R1, "balance", "balances"),
        (R2, "balances", "balance"),
        (R3, "balances", "balance"),
        (R4, "balances", "balance"),
    ],
)
def test_a_revision_knows_one_path_for_the_balance_of_a_vault(
    revision: Revision, known: str, unknown: str
) -> None:
    caller = Caller(make_simulator(revision=revision))
    answer = caller.get(f"{VAULT_PATH}/{known}?quote_asset=USD")
    row = VAULT.listed(NOON)
    assert answer.json() == {
        **{name: row[name] for name in ("balance_fiat", "balance_diff", "missing_rates")},
        **({"quote_asset": "USD"} if revision is R4 else {"quote": QUOTE}),
    }
    assert kind(caller.get(f"{VAULT_PATH}/{unknown}?quote_asset=USD")) == "EGeneral:Unknown method"


def test_the_first_revision_wants_the_quote_asset_of_a_vault_s_balance() -> None:
    answer = get(f"{VAULT_PATH}/balance", revision=R1)
    assert answer.json()["data"] == {"message": "Missing quote_asset parameter."}
    assert get(f"{VAULT_PATH}/balances", revision=R2).status_code == 200


def test_an_unknown_path_costs_no_nonce() -> None:
    simulator = make_simulator()
    caller = Caller(simulator)
    headers = caller.headers(vault_path())
    for path in ("/v0/insto/custody/nothing", f"{VAULT_PATH}/balances"):
        assert kind(caller.get(path, headers)) == "EGeneral:Unknown method"
    assert caller.get(vault_path(), headers).status_code == 200


SPACED, COMPACT = ORGANIZATION.id, ORGANIZATION.id.replace(" ", "")


@pytest.mark.parametrize(
    ("id_form", "known"),
    [("either", {SPACED, COMPACT}), ("spaced", {SPACED}), ("compact", {COMPACT})],
)
def test_an_organization_s_id_is_understood_in_the_forms_that_are_set(
    id_form: str, known: set[str]
) -> None:
    caller = Caller(make_simulator(id_form=id_form))
    for written in (SPACED, COMPACT, f"{COMPACT} ", SPACED.replace(" ", "+"), COMPACT.lower()):
        status = 200 if written in known else 403
        assert caller.get(organization_path(quote(written))).status_code == status
        listing = f"/v0/insto/custody/vaults?org_id={quote(written)}"
        assert caller.get(listing).status_code == status


@pytest.mark.parametrize(
    ("id_form", "listed"), [("either", SPACED), ("spaced", SPACED), ("compact", COMPACT)]
)
def test_organizations_are_listed_with_ids_that_are_understood(id_form: str, listed: str) -> None:
    answer = get("/v0/insto/custody/organizations", id_form=id_form)
    assert answer.json()[0]["org_id"] == listed


def test_an_id_in_the_query_may_have_its_blanks_as_plus() -> None:
    target = f"/v0/insto/custody/vaults?org_id={SPACED.replace(' ', '+')}"
    assert get(target).status_code == 200


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
def test_only_reads_are_known(method: str) -> None:
    simulator = make_simulator()
    caller = Caller(simulator)
    answer = caller.get(vault_path(), method=method)
    assert answer.status_code == 404
    assert simulator.guard.refusals == {}


@pytest.mark.parametrize("path", [vault_path(), TIME])
def test_a_request_without_a_user_agent_is_not_let_through(path: str) -> None:
    caller = Caller(make_simulator())
    answer = caller.get(path, {**caller.headers(path), "user-agent": None})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")


def test_a_request_for_another_host_is_misdirected() -> None:
    caller = Caller(make_simulator(host="custody"))
    assert caller.get(vault_path()).status_code == 200
    headers = {**caller.headers(vault_path()), "host": "elsewhere"}
    assert caller.get(vault_path(), headers).status_code == 421


def test_a_read_with_a_body_or_its_type_is_a_bad_request() -> None:
    caller = Caller(make_simulator())
    nonce = "100"
    signed = {
        "api-key": API_KEY,
        "api-nonce": nonce,
        "api-sign": signature(API_SECRET, vault_path().encode(), nonce, b"{}"),
    }
    answer = caller.get(vault_path(), signed, content=b"{}")
    assert answer.json()["data"] == {"message": "Unexpected body."}
    headers = {**caller.headers(vault_path()), "api-nonce": "101"}
    headers["api-sign"] = signature(API_SECRET, vault_path().encode(), "101")
    headers["content-type"] = "application/json"
    assert caller.get(vault_path(), headers).status_code == 400


def test_the_time_needs_no_signature() -> None:
    answer = Caller(make_simulator(wall=Clock(NOON + 0.9))).get(TIME, UNSIGNED)
    assert answer.json() == {
        "error": [],
        "result": {"unixtime": int(NOON), "rfc1123": "Sat, 21 Nov 26 12:00:00 +0000"},
    }


@pytest.mark.parametrize("revision", [R3, R4])
def test_assets_are_listed_to_everybody(revision: Revision) -> None:
    answer = Caller(make_simulator(revision=revision)).get(ASSETS, UNSIGNED)
    rows = answer.json()["result"] if revision is R4 else answer.json()
    assert {row["asset"] for row in rows} == {
        holding.asset.asset
        for organization in PORTFOLIO.organizations
        for vault in organization.vaults
        for holding in vault.holdings
    }
    assert len({row["asset"] for row in rows}) == len(rows)


def test_unsigned_requests_count_against_the_limit_and_against_no_nonce() -> None:
    simulator = make_simulator(limit=2)
    caller = Caller(simulator)
    assert [caller.get(TIME, UNSIGNED).status_code for _ in range(3)] == [200, 200, 429]
    assert simulator.guard.refusals == {Refusal.OVER_LIMIT: 1}


def test_a_key_is_refused_to_an_address_that_is_not_allowed() -> None:
    simulator = make_simulator()
    caller = Caller(simulator)
    simulator.guard.addresses[API_KEY] = {"10.0.0.1"}
    assert kind(caller.get(vault_path())) == "tag:kraken.com,2025:PermissionDenied"
    assert simulator.guard.refusals == {Refusal.ADDRESS_NOT_ALLOWED: 1}
    simulator.guard.addresses[API_KEY] = {"127.0.0.1"}
    assert caller.get(vault_path()).status_code == 200


def test_a_gateway_answers_before_anything_is_checked() -> None:
    simulator = make_simulator(front=moods.challenge_page())
    answer = Caller(simulator).get(vault_path(), UNSIGNED)
    assert (answer.status_code, answer.headers["cf-mitigated"]) == (403, "challenge")
    assert simulator.guard.refusals == {}
    assert simulator.guard.arrivals == 1


def test_every_answer_has_the_headers_that_are_set() -> None:
    simulator = make_simulator(headers=lambda: {"x-trace-id": "1", "content-type": "text/plain"})
    caller = Caller(simulator)
    for path in (vault_path(), TIME, "/nothing"):
        answer = caller.get(path)
        assert answer.headers["x-trace-id"] == "1"
        assert answer.headers.get_list("content-type") == ["text/plain"]


def window_of(size: int) -> Callable[[int], bool]:
    simulator = make_simulator()
    simulator.guard.nonce_window = size

    def is_accepted(nonce: int) -> bool:
        sent = {
            "api-key": API_KEY,
            "api-nonce": str(nonce),
            "api-sign": signature(API_SECRET, vault_path().encode(), str(nonce)),
        }
        return "error" not in Caller(simulator).get(vault_path(), sent).json()

    return is_accepted


@pytest.mark.parametrize(
    ("window", "nonces", "accepted"),
    [
        (0, [100, 100, 99, 101], [True, False, False, True]),
        (1, [100, 100, 99, 101], [True, False, False, True]),
        (10, [100, 91, 90, 91, 99, 100], [True, True, False, False, True, False]),
        (10, [100, 95, 110, 101, 100], [True, True, True, True, False]),
    ],
)
def test_a_nonce_within_the_window_is_accepted_once(
    window: int, nonces: list[int], accepted: list[bool]
) -> None:
    """Kraken: What is a nonce window?"""
    is_accepted = window_of(window)
    assert [is_accepted(nonce) for nonce in nonces] == accepted


def test_a_nonce_that_another_program_used_is_used() -> None:
    simulator = make_simulator()
    simulator.guard.use_nonce(API_KEY, 1)
    caller = Caller(simulator)
    assert kind(caller.get(vault_path())) == "EAPI:Invalid nonce"
    assert caller.get(vault_path()).status_code == 200


def test_a_gateway_may_let_requests_through() -> None:
    seen: list[str] = []

    async def noting(request: Request) -> None:
        seen.append(request.url.path)

    assert get(vault_path(), front=noting).status_code == 200
    assert seen == [vault_path()]
