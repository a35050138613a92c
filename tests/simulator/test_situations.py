"""Each situation of a first contact, as seen by a caller that signs correctly."""

from itertools import count
from urllib.parse import quote

import httpx
import pytest

from exporter.simulator import situations
from exporter.simulator.server import SimulatorThread
from exporter.simulator.situations import SITUATIONS
from tests.simulator.calling import (
    API_KEY,
    NOON,
    ORGANIZATION,
    PORTFOLIO,
    VAULT,
    Caller,
    make_simulator,
    organization_path,
    vault_path,
)

ORGANIZATIONS = "/v0/insto/custody/organizations"
VAULTS = "/v0/insto/custody/vaults"
WORTH = f"{VAULTS}/{VAULT.id}/balance?quote_asset=USD"
COMPACT = organization_path(ORGANIZATION.id.replace(" ", ""))
THEIRS = PORTFOLIO.organizations[1]

FINE = "fine"
BAD_REQUEST = "BadRequest"
DENIED = "PermissionDenied"
NONCE = "EAPI:Invalid nonce"
UNKNOWN = "EGeneral:Unknown method"

SEEN = {
    "wrong_key": {ORGANIZATIONS: "InvalidKey", vault_path(): "InvalidKey"},
    "wrong_secret": {ORGANIZATIONS: "InvalidSignature", vault_path(): "InvalidSignature"},
    "used_with_nanoseconds": {ORGANIZATIONS: NONCE},
    "clock_behind": {ORGANIZATIONS: NONCE},
    "another_program": {ORGANIZATIONS: NONCE, vault_path(): NONCE},
    "one_time_password": {ORGANIZATIONS: "InvalidOtp"},
    "address_not_allowed": {ORGANIZATIONS: DENIED, vault_path(): DENIED},
    "no_organization": {ORGANIZATIONS: FINE, VAULTS: DENIED, vault_path(): DENIED},
    "no_right_to_list": {ORGANIZATIONS: DENIED, VAULTS: DENIED, vault_path(): FINE},
    "no_right_to_list_vaults": {ORGANIZATIONS: FINE, VAULTS: DENIED, vault_path(): FINE},
    "no_right_to_view_vaults": {
        VAULTS: FINE,
        vault_path(): DENIED,
        WORTH: DENIED,
        organization_path(): FINE,
    },
    "no_right_to_view_organizations": {
        ORGANIZATIONS: FINE,
        vault_path(): FINE,
        organization_path(): DENIED,
    },
    "another_organization": {
        organization_path(): FINE,
        vault_path(): FINE,
        organization_path(THEIRS.id): DENIED,
        vault_path(THEIRS.vaults[0].id): DENIED,
        f"{VAULTS}?org_id={quote(THEIRS.id)}": DENIED,
    },
    "spaced_ids": {organization_path(): FINE, COMPACT: DENIED},
    "compact_ids": {organization_path(): DENIED, COMPACT: FINE},
    "challenge_page": {"/0/public/Time": "403 Forbidden", vault_path(): "403 Forbidden"},
    "clock_off": {vault_path(): FINE},
    "rate_limit_headers": {vault_path(): FINE},
    "r1": {
        f"{vault_path()}?quote=USD": FINE,
        f"{vault_path()}?quote_asset=USD": BAD_REQUEST,
        WORTH: FINE,
    },
    "r2": {
        f"{vault_path()}?quote=USD": BAD_REQUEST,
        f"{vault_path()}?quote_asset=USD": FINE,
        WORTH: UNKNOWN,
        WORTH.replace("balance?", "balances?"): FINE,
    },
    "r3": {f"{vault_path()}?quote_asset=USD": FINE},
    "r4": {f"{vault_path()}?quote_asset=USD": FINE},
    "no_quote_parameter": {
        vault_path(): FINE,
        f"{vault_path()}?quote=USD": BAD_REQUEST,
        f"{vault_path()}?quote_asset=USD": BAD_REQUEST,
    },
}


def outcome(answer: httpx.Response) -> str:
    if answer.headers["content-type"].startswith("text/html"):
        return answer.text.split("<title>")[1].split("</title>")[0]
    document = answer.json()
    if "error" in document:
        return str(document["error"][0])
    if answer.status_code == 200:
        return FINE
    return str(document["type"]).removeprefix("tag:kraken.com,2025:")


def test_every_situation_is_seen() -> None:
    assert SEEN.keys() == SITUATIONS.keys()


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_is_seen_as_what_it_is(name: str) -> None:
    simulator = make_simulator()
    SITUATIONS[name](simulator)
    caller = Caller(simulator)
    assert {target: outcome(caller.get(target)) for target in SEEN[name]} == SEEN[name]


def test_nonces_in_nanoseconds_are_still_accepted_from_a_correct_clock() -> None:
    simulator = make_simulator()
    situations.used_with_nanoseconds(simulator)
    caller = Caller(simulator)
    caller.nonces = count(int(NOON * 1e9))
    assert outcome(caller.get(vault_path())) == FINE


def test_the_one_time_password_is_accepted() -> None:
    simulator = make_simulator()
    situations.one_time_password(simulator)
    caller = Caller(simulator)
    headers = {**caller.headers(vault_path()), "api-otp": situations.OTP}
    assert outcome(caller.get(vault_path(), headers)) == FINE


def test_another_program_sends_between_our_requests() -> None:
    simulator = make_simulator()
    situations.another_program(simulator)
    caller = Caller(simulator)
    assert [outcome(caller.get(vault_path())) for _ in range(3)] == [NONCE] * 3
    assert caller.get("/0/public/Time", {"user-agent": "tests"}).status_code == 200


def test_a_clock_that_is_off_is_off_in_the_one_date_of_an_answer_and_in_the_time() -> None:
    simulator = make_simulator()
    situations.clock_off(simulator)
    caller = Caller(simulator)
    with SimulatorThread(simulator.app) as base_url:
        answer = httpx.get(
            base_url + vault_path(), headers=caller.headers(vault_path()), verify=False
        )
    assert answer.headers.get_list("date") == ["Sat, 21 Nov 2026 12:05:00 GMT"]
    assert caller.get("/0/public/Time").json()["result"]["unixtime"] == NOON + 300


def test_rate_limit_headers_count_down() -> None:
    simulator = make_simulator(limit=3)
    situations.rate_limit_headers(simulator)
    caller = Caller(simulator)
    answers = [caller.get(vault_path()) for _ in range(4)]
    remaining = [answer.headers["x-ratelimit-remaining"] for answer in answers]
    assert remaining == ["2", "1", "0", "0"]
    assert answers[0].headers["x-ratelimit-limit"] == "3"
    assert API_KEY not in str(answers[0].headers)
