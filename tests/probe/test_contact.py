"""The first contact with each kind of API, key and configuration: what is asked, and what is reported."""

import base64
import io
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import parse
from exporter.custody.errors import MayNotSendError
from exporter.polling.budget import Budget
from exporter.probe.network import Network
from exporter.probe.questions import MOST_REQUESTS, QUESTIONS
from exporter.probe.report import json_report, shape_lines, text_report
from exporter.report import console_for
from exporter.simulator import answers, moods
from exporter.simulator.portfolio import Organization, Portfolio
from exporter.simulator.revisions import R1, R4
from exporter.simulator.simulator import Simulator
from exporter.simulator.situations import OTP, SITUATIONS
from tests.custody.test_shape import DOCUMENTS, SECRET
from tests.exporting import ENVIRON
from tests.probe.contacting import Made, Time, configured, contact_in, made, simulated
from tests.simulator.calling import API_KEY, API_SECRET, NOON, ORGANIZATION, PORTFOLIO, VAULT

SECRETS = {"api_key_env": "SIMULATOR_KEY", "api_secret_env": "SIMULATOR_SECRET"}


def credential(**more: Any) -> dict[str, Any]:
    return configured(credentials={"treasury": SECRETS | more})


def not_ok(made: Made) -> dict[str, str]:
    """Return the verdict and the cause of each step that is neither ok nor skipped."""
    return {
        step.name: f"{step.finding.verdict} {step.finding.cause}"
        for step in made.contact.steps
        if step.finding.verdict in ("notice", "failed")
    }


def test_a_key_with_all_rights_has_nothing_but_good_news() -> None:
    contact = made()
    assert contact.contact.succeeded
    assert not_ok(contact) == {}
    assert contact.paths == [
        "/0/public/Time",
        "/v0/insto/custody/organizations",
        "/v0/insto/custody/organizations/NRTH%20WIND%20TRSY%200001/balances?quote_asset=USD",
        "/v0/insto/custody/organizations/NRTHWINDTRSY0001/balances?quote_asset=USD",
        "/v0/insto/custody/vaults?limit=100&org_iiban=NRTH%20WIND%20TRSY%200001",
        "/v0/insto/custody/vaults?limit=100&org_iiban=HELX%20FUND%20CUST%200002",
        f"/v0/insto/custody/vaults/{ORGANIZATION.vaults[0].id}/assets/balances?quote=USD&full_precision=true",
        f"/v0/insto/custody/vaults/{ORGANIZATION.vaults[0].id}/assets/balances?quote_asset=USD",
        f"/v0/insto/custody/vaults/{ORGANIZATION.vaults[0].id}/assets/balances",
        f"/v0/insto/custody/vaults/{ORGANIZATION.vaults[0].id}/balances?quote_asset=USD",
        f"/v0/insto/custody/vaults/{ORGANIZATION.vaults[0].id}/balance?quote_asset=USD",
    ]


EXPECTED: dict[str, dict[str, str]] = {
    "wrong_key": {"key": "failed key_wrong"},
    "wrong_secret": {"key": "failed secret_wrong"},
    "used_with_nanoseconds": {},
    "clock_behind": {"key": "failed nonce_behind"},
    "another_program": {"key": "failed nonce_behind"},
    "one_time_password": {"key": "failed otp_missing"},
    "address_not_allowed": {"rights": "failed nothing_allowed"},
    "no_organization": {
        "organizations": "notice sees_nothing",
        "organization_id_format": "failed denied",
        "vaults": "notice denied",
        "vault_balances": "failed denied",
    },
    "no_right_to_list": {"organizations": "notice denied", "vaults": "notice denied"},
    "no_right_to_list_vaults": {"vaults": "notice denied"},
    "no_right_to_view_vaults": {"vault_balances": "failed denied"},
    "no_right_to_view_organizations": {"organization_id_format": "failed denied"},
    "another_organization": {"configured": "failed foreign_id"},
    "spaced_ids": {},
    "compact_ids": {"organization_id_format": "failed compact_ids"},
    "challenge_page": {"clock": "failed challenge"},
    "clock_off": {"clock": "failed clock_off"},
    "rate_limit_headers": {"rate_limit": "notice rate_limit_headers"},
    "r1": {},
    "r2": {},
    "r3": {},
    "r4": {},
    "no_quote_parameter": {},
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_is_reported_with_its_cause(situation: str) -> None:
    contact = contact_in(situation)
    assert not_ok(contact) == EXPECTED[situation]
    assert contact.contact.succeeded == ("failed" not in str(EXPECTED[situation]))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_at_most_fifteen_reads_are_sent_one_at_a_time_a_second_apart(situation: str) -> None:
    contact = contact_in(situation)
    assert len(contact.wire.asked) <= MOST_REQUESTS
    assert {request.method for _, request in contact.wire.asked} == {"GET"}
    times = [sent for sent, _ in contact.wire.asked]
    assert all(later - sooner > 0.999 for sooner, later in itertools.pairwise(times))
    assert contact.wire.time.now < 30


def everything_is_asked(simulator: Simulator) -> None:
    """Make each answer a reason for a further question."""
    bad_request = moods.problem(400, "BadRequest")
    first = simulator.portfolio.organizations[0]
    simulator.moods |= {first.id: bad_request, first.vaults[0].id: moods.permission_denied()}
    simulator.moods["tasks"] = bad_request


def test_never_more_than_fifteen_requests_are_sent_and_those_needed_least_are_left_out() -> None:
    third = Organization("THRD ORGA NIZA TION", "third", ())
    document = configured(collect=["balances", "pending_tasks", "whitelist"])
    document["organizations"][0]["vaults"].append({"name": "missing", "id": "VABCDEF234567A"})
    portfolio = Portfolio((*PORTFOLIO.organizations, third))
    contact = made(everything_is_asked, document=document, portfolio=portfolio, latency=0.01)
    assert len(contact.paths) == MOST_REQUESTS
    assert contact.paths[-2:] == [
        "/v0/insto/custody/tasks?org_iiban=NRTH%20WIND%20TRSY%200001&limit=100",
        "/v0/insto/custody/tasks?org_id=NRTH%20WIND%20TRSY%200001&limit=100",
    ]
    (left_out,) = contact.finding("left_out").evidence
    assert left_out == (
        "whitelist of a vault; total of a vault at /balances; total of a vault at /balance: a probe sends at most 15 "
        "requests for each credential"
    )


COLLECTED = ["balances", "pending_tasks", "whitelist"]


def collected(*situations: Callable[[Simulator], None], **options: Any) -> Made:
    return made(*situations, document=configured(collect=COLLECTED), **options)


def test_tasks_and_a_whitelist_are_requested_if_they_are_collected() -> None:
    contact = collected()
    assert not_ok(contact) == {}
    own = [path for path in contact.paths if "tasks" in path or "whitelist" in path]
    assert own == [
        "/v0/insto/custody/tasks?org_iiban=NRTH%20WIND%20TRSY%200001&limit=100",
        f"/v0/insto/custody/vaults/{ORGANIZATION.vaults[0].id}/whitelist/addresses",
    ]
    asked, counted = contact.finding("pending_tasks").evidence
    assert asked == "org_iiban: HTTP 200"
    assert re.fullmatch(r"the newest 100 tasks, of 1\d\d in all; pending: \d+", counted)
    (counted,) = contact.finding("whitelist").evidence
    assert re.fullmatch(r"cold-reserve \(V\w+\): \d+ addresses for \d+ assets", counted)


def test_only_what_is_collected_is_requested() -> None:
    document = configured(collect=["balances", "whitelist"])
    document["organizations"][1]["collect"] = ["pending_tasks"]
    contact = made(document=document)
    (tasks,) = [path for path in contact.paths if "tasks" in path]
    assert "HELX%20FUND%20CUST%200002" in tasks
    assert any("whitelist" in path for path in contact.paths)
    none = made()
    assert {"pending_tasks", "whitelist"}.isdisjoint(none.verdicts)


def test_what_discovery_finds_is_collected_as_the_file_says() -> None:
    document = configured(collect=COLLECTED, organizations=None, discovery={})
    contact = made(document=document)
    assert contact.verdicts["pending_tasks"] == contact.verdicts["whitelist"] == "ok"


def test_without_an_organization_no_tasks_are_requested() -> None:
    document = configured(collect=COLLECTED, discovery={}, organizations=None)
    contact = made(SITUATIONS["no_organization"], document=document)
    assert not [path for path in contact.paths if "tasks" in path]
    assert contact.contact.credentials[0].omitted["tasks"] == "no organization is known"


def test_tasks_are_requested_by_the_other_parameter_if_the_first_is_refused() -> None:
    def takes_org_id(simulator: Simulator) -> None:
        simulator.moods["organizations"] = moods.permission_denied()
        simulator.revision = replace(simulator.revision, organization="org_id")

    evidence = collected(takes_org_id).finding("pending_tasks").evidence
    assert evidence[0].startswith("org_iiban: HTTP 400 BadRequest")
    assert evidence[1] == "org_id: HTTP 200"


@pytest.mark.parametrize(
    ("place", "step", "what"),
    [
        ("tasks", "pending_tasks", "tasks, or remove pending_tasks from `collect`"),
        (f"whitelist {VAULT.id}", "whitelist", "whitelists, or remove whitelist from `collect`"),
    ],
)
def test_a_right_that_is_missing_for_what_is_collected_fails(
    place: str, step: str, what: str
) -> None:
    def denied(simulator: Simulator) -> None:
        simulator.moods |= {
            place if place == "tasks" else f"whitelist {vault.id}": moods.permission_denied()
            for vault in ORGANIZATION.vaults
        }

    contact = collected(denied)
    assert not_ok(contact) == {step: "failed denied"}
    assert contact.finding(step).advice == f"Give the API user the right to view {what}."


def test_rows_of_tasks_and_whitelists_that_cannot_be_read_are_a_notice() -> None:
    def odd(simulator: Simulator) -> None:
        task = {"id": "T1", "type": "invite_user", "state": "executed"}
        address = {"asset": "BTC", "asset_class": "currency", "address": "somewhere"}
        simulator.moods["tasks"] = body([task, task | {"state": "new"}])
        for vault in ORGANIZATION.vaults:
            simulator.moods[f"whitelist {vault.id}"] = body([address, address | {"asset": None}])

    contact = collected(odd)
    assert not_ok(contact) == {
        "pending_tasks": "notice invalid_rows",
        "whitelist": "notice invalid_rows",
    }
    assert contact.finding("pending_tasks").evidence[1:] == (
        "the newest 2 tasks; pending: 0",
        "rows that cannot be read: 1; the first: state is none of those that Kraken documents",
    )


def body(rows: object) -> moods.Mood:
    return moods.body(json.dumps(rows).encode(), "application/json")


def test_a_list_of_tasks_of_which_none_can_be_read_fails() -> None:
    def odd(simulator: Simulator) -> None:
        simulator.moods["tasks"] = body([{"id": "T1", "type": "invite_user", "state": "new"}])

    assert not_ok(collected(odd)) == {"pending_tasks": "failed not_understood"}


def test_only_the_first_request_is_unsigned() -> None:
    signed = ["api-sign" in request.headers for _, request in made().wire.asked]
    assert signed == [False] + [True] * 10


def two_credentials(*order: str) -> dict[str, Any]:
    """Return a configuration with a credential for each organization, one of which the simulator does not know."""
    sources = {"treasury": SECRETS, "other": SECRETS | {"api_key_env": "OTHER_KEY"}}
    document = configured(credentials={name: sources[name] for name in order})
    for name, organization in zip(("treasury", "other"), document["organizations"], strict=True):
        organization["credentials"] = name
    return document


def refuses(*answers: moods.Mood) -> Made:
    """Return a contact whose signed requests get these answers, one after the other, and then good ones."""
    left = iter(answers)

    async def mood(request: Any) -> Any:
        # The request for the time has no key.
        return await next(left, moods.calm)(request) if "api-key" in request.headers else None

    def situation(simulator: Simulator) -> None:
        simulator.front = mood

    return made(situation)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (moods.problem(401, "InvalidKey"), "key_wrong"),
        (moods.problem(401, "SomethingNew"), "refused"),
        (moods.problem(401, "InvalidSignature"), "secret_wrong"),
        (moods.legacy("EAPI:Invalid signature"), "secret_wrong"),
        (moods.legacy("EAPI:Invalid key"), "key_wrong"),
        (moods.legacy("EAPI:Invalid nonce"), "nonce_behind"),
        (moods.legacy("EGeneral:Temporary lockout"), "locked_out"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
@pytest.mark.parametrize("before", [0, 4])
def test_the_first_refusal_of_the_key_is_the_last_request(
    answer: moods.Mood, cause: str, before: int
) -> None:
    contact = refuses(*[moods.calm] * before, answer)
    assert len(contact.wire.asked) == 1 + before + 1
    assert contact.finding("key").cause == cause
    assert (
        contact.finding("left_out")
        .evidence[-1]
        .endswith(": the key was refused, and another try could lock it out")
    )
    assert not contact.contact.succeeded


@pytest.mark.no_cover
@pytest.mark.parametrize("place", range(len(made().paths) - 1))
def test_after_a_403_the_next_question_is_asked(place: int) -> None:
    contact = refuses(*[moods.calm] * place, moods.problem(403, "PermissionDenied"))
    assert len(contact.wire.asked) >= 11
    assert contact.finding("key").verdict == "ok"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (moods.rate_limited(5), "rate_limited"),
        (moods.legacy("EGeneral:Too many requests"), "rate_limited"),
        (moods.challenge_page(), "challenge"),
    ],
    ids=["429", "legacy", "challenge"],
)
def test_a_rate_limit_and_a_block_end_the_contact_of_all_credentials(
    answer: moods.Mood, cause: str
) -> None:
    def situation(simulator: Simulator) -> None:
        simulator.guard.secrets["unknown-to-the-simulator"] = API_SECRET
        simulator.moods["vaults"] = answer

    contact = made(situation, document=two_credentials("treasury", "other"))
    assert contact.paths[-1].startswith("/v0/insto/custody/vaults?")
    assert {request.headers.get("api-key") for _, request in contact.wire.asked} == {None, API_KEY}
    assert contact.finding("left_out", "other").evidence == (
        "14 questions: the API, or a gateway in front of it, does not let requests through",
    )
    assert contact.finding("interrupted").cause == cause
    assert not contact.contact.succeeded


def test_a_refused_key_does_not_keep_the_others_from_being_tried() -> None:
    contact = made(document=two_credentials("other", "treasury"))
    assert contact.finding("key", "other").cause == "key_wrong"
    assert contact.finding("key", "treasury").verdict == "ok"
    assert len(contact.wire.asked) == 1 + 1 + 10
    times = [sent for sent, _ in contact.wire.asked]
    assert all(later - sooner > 0.999 for sooner, later in itertools.pairwise(times))


def test_two_requests_in_a_row_without_an_answer_end_the_contact() -> None:
    contact = refuses(moods.calm, moods.html(502), moods.calm, moods.html(503), moods.html(502))
    assert len(contact.wire.asked) == 1 + 5
    assert contact.finding("left_out").evidence[0].endswith("two requests in a row had no answer")
    assert contact.finding("interrupted").cause == "failure"
    assert not contact.contact.succeeded


@pytest.mark.parametrize(
    ("problem", "step", "cause"),
    [
        ({"name_problem": "api.example: unknown"}, "names", "name_unknown"),
        ({"connect_problem": "Connection refused"}, "tls", "not_connected"),
        ({"tls_problem": "self-signed certificate", "tls_code": 19}, "tls", "tls_intercepted"),
    ],
)
def test_nothing_is_sent_over_a_connection_that_cannot_be_trusted(
    problem: dict[str, Any], step: str, cause: str
) -> None:
    contact = made(network=Network("api.example", **problem))
    assert contact.paths == []
    assert not_ok(contact) == {step: f"failed {cause}"}
    assert contact.finding("left_out").evidence == ("14 questions: the API cannot be reached",)


def total(**balance: Any) -> Callable[[Simulator], None]:
    """Answer like this for the total of the first organization."""
    body = json.dumps({"balance": balance, "quote_asset": "USD"}).encode()

    def situation(simulator: Simulator) -> None:
        simulator.moods[ORGANIZATION.id] = moods.body(body, "application/json")

    return situation


def test_a_part_of_a_total_that_cannot_be_read_is_a_notice() -> None:
    finding = made(total(total="1", staked="much")).finding("organization_id_format")
    assert (finding.verdict, finding.cause) == ("notice", "fields_unread")
    assert finding.evidence[-1] == "unreadable fields: staked"


def test_an_invalid_total_fails() -> None:
    finding = made(total(spot="1")).finding("organization_id_format")
    assert (finding.verdict, finding.cause) == ("failed", "not_understood")


def takes(paths: str, query: str) -> Callable[[Simulator], None]:
    """Accept only this query at paths with these words."""

    def situation(simulator: Simulator) -> None:
        async def mood(request: Any) -> Any:
            is_refused = paths in request.url.path and request.url.query != query
            return answers.bad_request("Unknown parameter.") if is_refused else None

        simulator.front = mood

    return situation


@pytest.mark.parametrize(
    ("situation", "step", "cause"),
    [
        (takes("/organizations/", ""), "organization_id_format", "quote_asset_refused"),
        (takes("/assets/balances", "quote_asset=USD"), "vault_balances", "quote_asset_required"),
        (takes("/assets/balances", "other=1"), "vault_balances", "parameters"),
    ],
)
def test_an_api_that_accepts_only_what_the_exporter_does_not_send_is_reported(
    situation: Callable[[Simulator], None], step: str, cause: str
) -> None:
    contact = made(situation)
    assert (contact.finding(step).verdict, contact.finding(step).cause) == ("failed", cause)


def test_an_api_that_does_not_answer_gets_one_request() -> None:
    contact = made(app=httpx.ConnectError("Connection refused"))
    assert contact.paths == ["/0/public/Time"]
    assert not_ok(contact) == {"clock": "failed no_answer"}
    assert contact.finding("left_out").evidence == ("14 questions: the API cannot be reached",)
    assert contact.contact.suggestion == ""


@pytest.mark.parametrize(
    ("ahead", "verdict", "requests"),
    [(0, "ok", 11), (4, "ok", 11), (-4, "ok", 11), (10, "notice", 11), (-10, "notice", 11),
     (40, "failed", 1), (-40, "failed", 1), (-90_000, "failed", 1)],
)  # fmt: skip
def test_a_wrong_clock_is_reported_before_a_nonce_is_used(
    ahead: float, verdict: str, requests: int
) -> None:
    contact = made(wall_is_ahead=ahead)
    finding = contact.finding("clock")
    assert (finding.verdict, len(contact.wire.asked)) == (verdict, requests)
    if verdict != "ok":
        assert finding.cause == "clock_off"
        assert ("ahead of" if ahead > 0 else "behind") in finding.evidence[0]


def test_a_clock_that_is_a_little_behind_explains_a_refused_nonce() -> None:
    contact = made(SITUATIONS["another_program"], wall_is_ahead=-10)
    assert contact.finding("key").cause == "clock_behind"


def test_the_clock_is_compared_with_the_date_header_if_there_is_no_time() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        date = (b"date", b"Sat, 21 Nov 2026 13:00:00 GMT")
        await send({"type": "http.response.start", "status": 404, "headers": [date]})
        await send({"type": "http.response.body"})

    contact = made(app=app)
    assert contact.finding("clock").evidence == ("this machine's clock is 1h behind the API's",)


def test_nonces_in_a_coarser_unit_than_before_are_reported_with_the_configured_unit() -> None:
    contact = made(SITUATIONS["used_with_nanoseconds"], document=credential(nonce="milliseconds"))
    assert contact.finding("key").cause == "nonce_unit_coarse"


@pytest.mark.parametrize(
    ("secret", "cause"),
    [
        (API_SECRET[:44], "secret_damaged"),
        (base64.b64encode(API_SECRET.encode()).decode(), "secret_damaged"),
    ],
    ids=["half a secret", "base64 twice"],
)
def test_a_damaged_secret_is_reported_before_and_after_it_is_refused(
    secret: str, cause: str, tmp_path: Any
) -> None:
    file = tmp_path / "secret"
    file.write_text(secret)
    sources = {"api_key_env": "SIMULATOR_KEY", "api_secret_file": str(file)}
    contact = made(document=configured(credentials={"treasury": sources}))
    assert not_ok(contact) == {"secrets": "notice secret_unusual", "key": f"failed {cause}"}


def test_a_secret_that_everybody_can_read_is_a_notice(open_directory: Path) -> None:
    file = open_directory / "secret"
    file.write_text(API_SECRET)
    file.chmod(0o644)
    sources = {"api_key_env": "SIMULATOR_KEY", "api_secret_file": str(file)}
    contact = made(document=configured(credentials={"treasury": sources}))
    assert not_ok(contact) == {"secrets": "notice secret_file_readable"}
    assert str(file) in contact.finding("secrets").evidence[0]


def test_a_key_in_place_of_the_secret_is_reported(tmp_path: Any) -> None:
    file = tmp_path / "secret"
    file.write_text(API_SECRET)
    sources = {"api_key_file": str(file), "api_secret_file": str(file)}
    contact = made(document=configured(credentials={"treasury": sources}))
    assert not_ok(contact) == {"secrets": "notice secret_unusual", "key": "failed key_damaged"}
    assert contact.finding("secrets").evidence == (
        "the API secret is also where the API key belongs",
    )
    assert contact.finding("secrets").advice == "Put the key there."


@pytest.mark.parametrize(
    ("source", "written", "cause"),
    [
        ("otp_file", "000000", "otp_wrong_static"),
        ("totp_secret_file", "JBSWY3DPEHPK3PXP", "otp_wrong"),
    ],
)
def test_a_wrong_one_time_password_is_reported_by_its_kind(
    source: str, written: str, cause: str, tmp_path: Any
) -> None:
    file = tmp_path / "otp"
    file.write_text(written)
    contact = made(SITUATIONS["one_time_password"], document=credential(**{source: str(file)}))
    assert contact.finding("key").cause == cause


def test_a_right_one_time_password_is_taken(tmp_path: Any) -> None:
    file = tmp_path / "otp"
    file.write_text(OTP)
    contact = made(SITUATIONS["one_time_password"], document=credential(otp_file=str(file)))
    assert contact.contact.succeeded


@pytest.mark.parametrize(
    ("latency", "verdict"), [(4.0, "notice"), (5.5, "failed"), (9.9, "failed")]
)
def test_a_slow_api_is_probed_for_thirty_seconds_at_most(latency: float, verdict: str) -> None:
    """And more than a notice is needed if it is not even known by then whether balances can be read."""
    contact = made(latency=latency)
    assert contact.wire.time.now - contact.wire.asked[1][0] < 30
    assert contact.finding("interrupted").verdict == verdict
    assert "at most 30 seconds" in contact.finding("left_out").evidence[0]


def test_a_small_budget_is_kept_and_leaves_questions_out() -> None:
    document = configured(
        api={
            "base_url": "http://127.0.0.1:1",
            "rate_limit": {"requests": 10, "window": "30s", "share": 1},
        }
    )
    contact = made(document=document)
    times = [sent for sent, _ in contact.wire.asked]
    assert all(later - sooner > 3.33 for sooner, later in itertools.pairwise(times))
    assert contact.finding("interrupted").verdict == "notice"
    assert "at most 30 seconds" in contact.finding("left_out").evidence[0]


def test_a_limit_of_the_keys_own_is_kept_too() -> None:
    document = credential(rate_limit={"requests": 5, "window": "8s", "share": 1})
    times = [sent for sent, _ in made(document=document).wire.asked][1:]
    assert len(times) > 5
    assert max(sum(0 <= other - sent < 8 for other in times) for sent in times) == 5


@pytest.mark.parametrize(
    ("lists", "verdict"), [("no_right_to_list", "failed"), ("no_organization", "failed")]
)
def test_lists_are_needed_if_only_discovery_says_what_to_poll(lists: str, verdict: str) -> None:
    contact = made(SITUATIONS[lists], document=configured(discovery={}, organizations=None))
    assert contact.finding("vaults" if lists == "no_organization" else "rights").verdict == verdict
    assert not contact.contact.succeeded


def test_the_shortest_configuration_is_enough_for_a_first_contact() -> None:
    contact = made(document=configured(discovery={}, organizations=None))
    assert contact.contact.succeeded
    assert contact.finding("plan").evidence[0] == (
        "targets 15: 1 list of organizations, 2 organizations, 2 lists of vaults, 10 vaults"
    )
    assert yaml.safe_load(contact.contact.suggestion) == {
        "api": {"base_url": "http://127.0.0.1:1"},
        "credentials": {"treasury": SECRETS},
        "discovery": {},
    }


def test_what_filters_exclude_is_not_in_the_plan() -> None:
    discovery = {"organizations": {"exclude": ["Helix*"]}, "vaults": {"exclude": ["cold-*"]}}
    contact = made(document=configured(discovery=discovery, organizations=None))
    assert contact.finding("plan").evidence[0] == (
        "targets 7: 1 list of organizations, 1 organization, 1 list of vaults, 4 vaults"
    )


@pytest.mark.parametrize(
    ("path", "answer", "step"),
    [
        ("organizations", [{"org_id": "../x", "name": "x"}], "organizations"),
        ("vaults", {"vaults": [{"id": "no vault"}], "total": 1}, "vaults"),
    ],
)
def test_rows_of_a_list_that_cannot_be_read_are_a_notice(path: str, answer: Any, step: str) -> None:
    def situation(simulator: Simulator) -> None:
        body = json.dumps(answer).encode()
        simulator.moods[path] = moods.body(body, "application/json")

    contact = made(situation)
    finding = contact.finding(step)
    assert (finding.verdict, finding.cause) == ("notice", "invalid_rows")
    assert finding.evidence[-1].startswith("unreadable rows: ")


def test_a_vault_that_is_refused_is_replaced_by_another() -> None:
    first = ORGANIZATION.vaults[0].id

    def situation(simulator: Simulator) -> None:
        simulator.moods[first] = moods.problem(403, "PermissionDenied")

    contact = made(situation)
    balances = [path.split("/")[5] for path in contact.paths if "assets/balances" in path]
    assert balances == [first, *[VAULT.id] * 3]
    assert contact.finding("vault_balances").verdict == "ok"


def test_a_vault_of_another_organization_is_reported_with_its_id() -> None:
    contact = contact_in("another_organization")
    foreign = PORTFOLIO.organizations[1]
    finding = contact.finding("configured")
    assert foreign.id in finding.evidence[0]
    assert foreign.vaults[0].id in finding.evidence[1]
    assert "403" in finding.evidence[2]


@pytest.mark.parametrize(
    ("situation", "step", "evidence"),
    [
        ("r1", "vault_balances", "rows in a bare array, without staked"),
        ("r3", "vault_balances", "rows in a bare array, with staked"),
        ("r4", "vault_balances", "rows in an envelope (result), with staked"),
        ("r1", "parameters", "quote, full_precision: accepted"),
        ("r1", "parameters", "amounts are rounded without full_precision"),
        ("r2", "parameters", "quote_asset: accepted"),
        ("r2", "parameters", "amounts have full precision"),
        ("no_quote_parameter", "parameters", "no parameters: accepted"),
        ("no_quote_parameter", "parameters", "quote_asset: HTTP 400"),
        ("r1", "vault_total", "/balance: HTTP 200"),
        ("r1", "vault_total", "/balances: HTTP 404"),
        ("r2", "vault_total", "/balances: HTTP 200"),
        ("spaced_ids", "organization_id_format", "compact: HTTP 403"),
        ("compact_ids", "organization_id_format", "compact: HTTP 200"),
        ("rate_limit_headers", "rate_limit", "x-ratelimit-limit: 200"),
    ],
)
def test_the_revision_of_the_api_is_reported(situation: str, step: str, evidence: str) -> None:
    found = contact_in(situation).finding(step).evidence
    assert any(evidence in line for line in found), found


def test_latency_says_how_much_one_request_in_flight_can_poll() -> None:
    finding = made(latency=0.25).finding("latency")
    assert finding.evidence == ("median 250 ms, longest 250 ms",)
    assert (
        finding.meaning == "With 1 request in flight, this key can poll about 4 targets a second."
    )


def test_a_plan_that_the_latency_does_not_allow_is_a_notice() -> None:
    contact = made(latency=0.5, document=configured(polling={"interval": "5s"}))
    assert not_ok(contact) == {"plan": "notice plan"}
    assert "credential treasury: 2.4 requests/s are planned" in contact.finding("plan").meaning


def test_the_plan_is_of_what_was_found_too() -> None:
    document = configured(organizations=[{"id": ORGANIZATION.id}])
    assert made(document=document).finding("plan").evidence[0] == (
        "targets 12: 2 organizations, 10 vaults"
    )


def test_finished_questions_are_reported() -> None:
    done: list[int] = []
    made(told=done.append)
    assert done == list(range(1, len(QUESTIONS) + 1))


def test_the_budget_reckons_with_a_daemon_that_has_sent_until_just_now() -> None:
    first = made().wire.asked[0][0]
    assert first == pytest.approx(Budget(100, 30.0, in_flight=1, now=0.0).ready_at(0.0))


def test_requests_of_two_keys_are_a_second_apart_whatever_limits_they_have() -> None:
    document = two_credentials("treasury", "other")
    document["credentials"]["treasury"] = SECRETS | {
        "rate_limit": {"requests": 5, "window": "8s", "share": 1}
    }
    times = [sent for sent, _ in made(document=document).wire.asked]
    assert all(later - sooner > 0.999 for sooner, later in itertools.pairwise(times))


def test_a_probe_that_may_not_send_any_more_ends() -> None:
    """Another process polls now, because the lease was lost."""
    left = iter([True, True])
    with pytest.raises(MayNotSendError):
        made(may_send=lambda: next(left, False))


def test_vaults_are_not_taken_for_those_of_an_organization_that_may_be_another() -> None:
    """If the key may not list organizations, the API does not say whose vaults it lists."""

    def situation(simulator: Simulator) -> None:
        simulator.moods["organizations"] = moods.problem(403, "PermissionDenied")

    document = configured(organizations=[{"id": it.id} for it in PORTFOLIO.organizations])
    contact = made(situation, document=document)
    assert len(contact.contact.credentials[0].listed_vaults) == len(ORGANIZATION.vaults)
    assert "vaults:" not in contact.contact.suggestion
    assert contact.finding("plan").evidence[0] == "targets 2: 2 organizations"


def test_the_vaults_of_at_most_three_organizations_are_requested() -> None:
    organizations = tuple(
        Organization(f"ABCD EFGH IJKL MNO{number}", f"org-{number}", ()) for number in range(5)
    )
    document = configured(discovery={}, organizations=None)
    contact = made(document=document, portfolio=Portfolio(organizations))
    assert sum("/vaults?" in path for path in contact.paths) == 3
    assert contact.finding("vaults").evidence[3] == (
        "not asked, because there are many organizations: "
        "org-3 (ABCD EFGH IJKL MNO3), org-4 (ABCD EFGH IJKL MNO4)"
    )


def test_a_configured_vault_that_is_not_listed_but_can_be_read_is_a_notice() -> None:
    other = ORGANIZATION.vaults[0]

    def situation(simulator: Simulator) -> None:
        page = {"vaults": [{"id": VAULT.id, "name": "one"}], "total": 1}
        simulator.moods["vaults"] = moods.body(json.dumps(page).encode(), "application/json")

    entries = [{"id": VAULT.id}, {"name": "other", "id": other.id}]
    organizations = [{"id": ORGANIZATION.id, "vaults": entries}]
    finding = made(situation, document=configured(organizations=organizations)).finding(
        "configured"
    )
    assert (finding.verdict, finding.evidence) == (
        "notice",
        (
            f"vaults that the key does not list: other ({other.id})",
            "the first of these vaults: HTTP 200",
        ),
    )


def test_vaults_on_further_pages_are_counted() -> None:
    def situation(simulator: Simulator) -> None:
        page = {"vaults": [{"id": VAULT.id, "name": "one"}], "total": 250}
        simulator.moods["vaults"] = moods.body(json.dumps(page).encode(), "application/json")

    contact = made(situation, document=configured(organizations=[{"id": ORGANIZATION.id}]))
    assert contact.finding("plan").evidence[-1] == (
        "vaults on further pages, not read by the probe: 498"
    )


@settings(max_examples=12)
@given(st.lists(DOCUMENTS, min_size=1, max_size=3), st.sampled_from([200, 200, 400, 403, 500]))
def test_whatever_the_api_answers_there_is_a_report(documents: list[Any], status: int) -> None:
    """Its suggestion is a valid configuration, and its shapes show no secret from an answer."""
    left = itertools.cycle(documents)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        document = {"error": [], "result": {"unixtime": int(NOON)}}
        code = 200
        if not scope["path"].endswith("/Time"):
            document, code = next(left), status
        body = json.dumps(document).encode()
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": body})

    contact = made(app=app).contact
    assert SECRET not in "\n".join(shape_lines(contact))
    assert json.loads(json_report(contact))["steps"]
    assert text_report(contact, console_for(io.StringIO(), {}))
    if contact.suggestion:
        parse(contact.suggestion, directory=Path(), environ=ENVIRON)


@pytest.mark.parametrize("revision", [R1, R4])
def test_a_hostile_answer_breaks_no_step(revision: Any) -> None:
    """Whatever a single answer is."""
    for answer in (
        b"[]",
        b"{}",
        b"null",
        b"17",
        b'[{"id": null}]',
        b'{"result": [1, null]}',
        b"\xff",
    ):
        mood = moods.body(answer, "application/json")
        time = Time()
        app = simulated(time=time, revision=revision, default_mood=mood).app
        assert "failed" in made(app=app).verdicts.values()
