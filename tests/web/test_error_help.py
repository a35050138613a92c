"""The advice on errors: the right one for each type, with runbooks that exist."""

import pytest

from exporter.custody.errors import (
    DOCUMENTED_PROBLEMS,
    RESPONSE_TYPES,
    SERIES_LIMIT_TYPE,
    TRANSPORT_TYPES,
)
from exporter.web.error_help import ADVICE, advice
from exporter.web.runbooks import runbooks


@pytest.mark.parametrize(
    ("type_", "runbook"),
    [
        ("EAPI:Invalid nonce", "NonceTrouble"),
        ("http/429", "RateLimited"),
        ("EAPI:Rate limit exceeded", "RateLimited"),
        ("EService: Throttled", "RateLimited"),
        ("http/401", "CredentialRefused"),
        ("InvalidKey", "CredentialRefused"),
        ("http/403", "PermissionDenied"),
        ("EAPI:Invalid key", "CredentialRefused"),
        ("EAPI:Invalid signature", "CredentialRefused"),
        ("EGeneral:Temporary lockout", "CredentialRefused"),
        ("PermissionDenied", "PermissionDenied"),
        ("BadRequest", "PermissionDenied"),
        ("http/404", "PermissionDenied"),
        ("EGeneral:Invalid arguments", "PermissionDenied"),
        ("EGeneral:Unknown method", "PermissionDenied"),
        *((type_, "TargetFailing") for type_ in TRANSPORT_TYPES),
        *((type_, "TargetFailing") for type_ in RESPONSE_TYPES),
        (SERIES_LIMIT_TYPE, "TooManySeries"),
        *((type_, "TargetFailing") for _, type_ in DOCUMENTED_PROBLEMS if type_.startswith("g")),
        ("Unknown", "TargetFailing"),
        ("http/502", "TargetFailing"),
        ("other", "TargetFailing"),
        ("http/blocked", "Blocked"),
        ("internal", "Defect"),
        ("", "TargetFailing"),
    ],
)
def test_each_type_leads_to_its_runbook(type_: str, runbook: str) -> None:
    assert advice(type_).runbook == f"KrakenCustody{runbook}"


@pytest.mark.parametrize(
    ("type_", "status", "runbook"),
    [
        ("Unauthorized", 401, "CredentialRefused"),
        ("Slow", 429, "RateLimited"),
        ("Forbidden", 403, "PermissionDenied"),
        ("SomethingNew", 400, "PermissionDenied"),
        ("SomethingNew", 500, "TargetFailing"),
        ("SomethingNew", None, "TargetFailing"),
        ("EAPI:Invalid nonce", 401, "NonceTrouble"),
    ],
)
def test_the_http_status_decides_if_the_type_is_unknown(
    type_: str, status: int | None, runbook: str
) -> None:
    assert advice(type_, status).runbook == f"KrakenCustody{runbook}"


@pytest.mark.parametrize("entry", ADVICE, ids=lambda entry: entry.examples)
def test_each_runbook_is_there_and_each_example_is_of_its_kind(entry: object) -> None:
    (found,) = [it for it in ADVICE if it is entry]
    assert found.runbook in runbooks()
    assert all(
        advice(example.rstrip("…")) is found
        for example in found.examples.split(", ")
        if example != "anything else"
    )


def test_a_lockout_is_advised_to_wait_not_to_try_other_secrets() -> None:
    meaning = advice("EGeneral:Temporary lockout").meaning
    assert meaning != advice("EAPI:Invalid key").meaning
    assert "Wait" in meaning


def test_all_gateway_problems_have_the_same_advice() -> None:
    assert advice("gateway/WriteResponse") is advice("gateway/ReadUpstream")


def test_failures_of_the_connection_have_other_advice_than_those_of_the_api() -> None:
    types = ("transport/tls", "http/502", "limit/series", "http/blocked", "internal", "http/403")
    assert len({advice(type_).meaning for type_ in types}) == len(types)


def test_an_internal_error_of_the_api_is_not_taken_for_a_defect_of_the_exporter() -> None:
    assert advice("EGeneral:Internal error") is advice("Unknown")
