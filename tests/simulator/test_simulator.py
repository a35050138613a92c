import asyncio
from typing import Any

import pytest

from exporter.simulator.guard import Refusal, signature
from exporter.simulator.revisions import R1, R3, R4, Revision
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

ROUNDED = VAULT.rows(NOON, full_precision=False)
PRECISE = VAULT.rows(NOON, full_precision=True)


def less(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name not in names} for row in rows]


@pytest.mark.parametrize(
    ("revision", "query", "expected"),
    [
        (R1, "", less(ROUNDED, "staked")),
        (R1, "?full_precision=false", less(ROUNDED, "staked")),
        (R1, "?full_precision=true&quote=USD", less(PRECISE, "staked")),
        (R3, "?quote_asset=USD", PRECISE),
        (
            R4,
            "?quote_asset=USD",
            {"result": less(PRECISE, "quote_asset", "quote_asset_class"), "quote_asset": "USD"},
        ),
    ],
)
def test_a_vault_is_answered_as_its_revision_documents(
    revision: Revision, query: str, expected: object
) -> None:
    answer = Caller(make_simulator(revision=revision)).get(vault_path() + query)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == expected


@pytest.mark.parametrize("organization_id", [ORGANIZATION.id, ORGANIZATION.id.replace(" ", "")])
@pytest.mark.parametrize("query", ["", "?quote_asset=USD"])
def test_an_organization_is_answered_by_either_form_of_its_id(
    organization_id: str, query: str
) -> None:
    answer = Caller(make_simulator()).get(organization_path(organization_id) + query)
    assert answer.status_code == 200
    assert answer.json() == ORGANIZATION.balance(NOON)


@pytest.mark.parametrize(
    ("revision", "target"),
    [
        (R1, vault_path() + "?quote=EUR"),
        (R1, vault_path() + "?quote_asset=EUR"),
        (R4, vault_path() + "?quote_asset=EUR"),
        (R4, vault_path() + "?quote=USD"),
        (R4, vault_path() + "?full_precision=true"),
        (R1, organization_path() + "?quote_asset=usd"),
    ],
)
def test_a_query_that_is_not_supported_is_a_bad_request(revision: Revision, target: str) -> None:
    answer = Caller(make_simulator(revision=revision)).get(target)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "tag:kraken.com,2025:BadRequest"
    assert answer.json()["data"]["message"]


@pytest.mark.parametrize(
    "target", [vault_path("VABCDEF234567A"), organization_path("ABCD EFGH IJKL MNOP")]
)
def test_an_unknown_id_is_denied(target: str) -> None:
    answer = Caller(make_simulator()).get(target)
    assert answer.status_code == 403
    assert answer.json()["type"] == "tag:kraken.com,2025:PermissionDenied"


@pytest.mark.parametrize(
    "target",
    ["/", "/v0/insto/custody/policies", vault_path() + "/", vault_path().replace("v0", "v1")],
)
def test_any_other_path_is_an_unknown_method(target: str) -> None:
    answer = Caller(make_simulator()).get(target)
    assert answer.status_code == 404
    assert answer.json() == {"error": ["EGeneral:Unknown method"]}


def headers(nonce: str = "1", **others: str) -> dict[str, str]:
    sign = signature(API_SECRET, vault_path().encode(), nonce)
    signed = {"api-key": API_KEY, "api-nonce": nonce, "api-sign": sign}
    return signed | {name.replace("_", "-"): value for name, value in others.items()}


@pytest.mark.parametrize(
    ("sent", "name", "refusal"),
    [
        ({"x": ""}, "InvalidKey", Refusal.INVALID_KEY),
        (headers(api_key="other"), "InvalidKey", Refusal.INVALID_KEY),
        (headers(api_sign="other"), "InvalidSignature", Refusal.INVALID_SIGNATURE),
        (headers(api_otp="other"), "InvalidOtp", Refusal.INVALID_OTP),
    ],
)
def test_an_unknown_caller_is_refused_as_such(
    sent: dict[str, str], name: str, refusal: Refusal
) -> None:
    simulator = make_simulator(otp="123456")
    answer = Caller(simulator).get(vault_path(), sent)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"tag:kraken.com,2025:{name}"
    assert simulator.guard.refusals == {refusal: 1}


def test_a_replayed_request_is_refused_in_the_legacy_envelope() -> None:
    caller = Caller(make_simulator())
    assert caller.get(vault_path(), headers("5")).status_code == 200
    replay = caller.get(vault_path(), headers("5"))
    assert (replay.status_code, replay.json()) == (200, {"error": ["EAPI:Invalid nonce"]})


def test_the_encoded_request_line_is_what_is_signed() -> None:
    decoded = organization_path().replace("%20", " ")
    answer = Caller(make_simulator()).get(
        organization_path(), Caller(make_simulator()).headers(decoded)
    )
    assert answer.json()["type"] == "tag:kraken.com,2025:InvalidSignature"


def test_a_call_over_the_limit_gets_a_retry_after() -> None:
    clock = Clock(1000.0)
    caller = Caller(make_simulator(limit=2, window=30.0, monotonic=clock))
    statuses = []
    for now in (1000.0, 1010.0, 1012.5):
        clock.now = now
        answer = caller.get(vault_path())
        statuses.append(answer.status_code)
    assert statuses == [200, 200, 429]
    assert answer.json() == {"error": ["EAPI:Rate limit exceeded"]}
    assert answer.headers["retry-after"] == "28"  # the second arrival leaves the window at 1040
    clock.now += 28
    assert caller.get(vault_path()).status_code == 200


def test_a_request_is_counted_when_it_arrives_and_not_when_it_was_sent() -> None:
    clock = Clock(0.0)

    def on_the_way() -> float:
        clock.now += 7
        return 0.0

    simulator = make_simulator(monotonic=clock, window=5.0, arrival_delay=on_the_way)
    caller = Caller(simulator)
    caller.get(vault_path())
    caller.get(vault_path())
    assert simulator.guard.arrivals == 2
    assert simulator.guard.largest_window == 1


def test_simultaneous_requests_of_a_key_are_noticed() -> None:
    simulator = make_simulator()
    caller = Caller(simulator)

    async def both() -> None:
        await asyncio.gather(caller.aget(vault_path()), caller.aget(organization_path()))

    asyncio.run(both())
    assert simulator.guard.largest_in_flight[API_KEY] == 2
    assert simulator.guard.polls == {
        vault_path(): 1,
        organization_path().replace("%20", " "): 1,
    }


def test_balances_follow_the_wall_clock() -> None:
    clock = Clock(NOON)
    caller = Caller(make_simulator(wall=clock, revision=R3))
    clock.now += 3600
    rows = PORTFOLIO.vault_rows(VAULT.id, NOON + 3600, full_precision=True)
    assert caller.get(vault_path()).json() == rows
    assert rows != PRECISE


def test_the_secret_is_not_in_the_repr() -> None:
    assert API_SECRET not in repr(make_simulator())
