"""The cause that each refusal points to: a table of answers seen from the API, its gateways and its sibling APIs."""

from typing import Any

import pytest

from exporter.custody.errors import BLOCKED_TYPE, FORESEEN, CustodyError, reaction_to
from exporter.probe.causes import CAUSES, diagnose
from exporter.probe.known import Known, Reply, Subject


def cause(
    type_: str,
    status: int | None = 200,
    message: str = "",
    skew: float | None = 0.0,
    **subject: Any,
) -> str:
    reaction = reaction_to(status or 0, type_)
    error = CustodyError(type_, status=status, reaction=reaction, message=message)
    known = Known(Subject("treasury", **subject), time=Reply(200, clock_skew=skew))
    return diagnose(Reply(status, error=error), known).name


@pytest.mark.parametrize(
    ("type_", "status", "message", "expected"),
    [
        ("InvalidKey", 401, "API: Invalid key", "key_wrong"),
        ("EAPI:Invalid key", 200, "", "key_wrong"),
        ("Unauthenticated", 401, "", "key_wrong"),
        ("InvalidSignature", 401, "", "secret_wrong"),
        ("EAPI:Invalid signature", 200, "", "secret_wrong"),
        ("EAPI:Invalid nonce", 200, "", "nonce_behind"),
        ("InvalidNonce", 401, "", "nonce_behind"),
        ("EGeneral:Temporary lockout", 200, "", "locked_out"),
        ("InvalidOtp", 401, "Unauthorized", "otp_missing"),
        ("EAuth:OTP required", 200, "", "otp_missing"),
        ("Unauthorized", 401, "A one-time password is required.", "otp_missing"),
        ("PermissionDenied", 403, "Two-factor authentication is required", "otp_missing"),
        ("Unauthorized", 401, "This IP address is not allowed.", "address_not_allowed"),
        ("PermissionDenied", 403, "Address not allowed", "address_not_allowed"),
        ("PermissionDenied", 403, "IP is not whitelisted", "address_not_allowed"),
        # "not permitted" does contain "otp", and "shipment" contains "ip".
        ("PermissionDenied", 403, "Not permitted", "denied"),
        ("PermissionDenied", 403, "No right to view the shipment", "denied"),
        ("EGeneral:Permission denied", 200, "", "denied"),
        ("http/403", 403, "", "denied"),
        ("Surprise", 401, "", "refused"),
        ("http/401", 401, "", "refused"),
        (BLOCKED_TYPE, 403, "Just a moment...", "challenge"),
        ("http/429", 429, "", "rate_limited"),
        ("EAPI:Rate limit exceeded", 200, "", "rate_limited"),
        ("EGeneral:Too many requests", 200, "", "rate_limited"),
        ("EService:Throttled", 200, "", "rate_limited"),
        ("BadRequest", 400, "Unknown parameter quote.", "parameters"),
        ("EGeneral:Unknown method", 404, "", "no_such_path"),
        ("http/404", 404, "", "no_such_path"),
        ("response/invalid", 200, "the answer is not JSON", "not_understood"),
        ("response/too_large", 200, "", "not_understood"),
        ("transport/tls", None, "certificate verify failed", "tls"),
        ("transport/timeout", None, "", "no_answer"),
        ("transport/connect", None, "Connection refused", "no_answer"),
        ("gateway/Connect", 503, "", "failure"),
        ("EService:Unavailable", 200, "", "failure"),
        ("http/502", 502, "Bad Gateway", "failure"),
    ],
)
def test_a_refusal_points_to_a_cause(
    type_: str, status: int | None, message: str, expected: str
) -> None:
    assert cause(type_, status, message) == expected


@pytest.mark.parametrize(
    ("type_", "facts", "expected"),
    [
        ("EAPI:Invalid nonce", {"nonce": "milliseconds"}, "nonce_unit_coarse"),
        ("EAPI:Invalid nonce", {"nonce": "microseconds", "skew": -20.0}, "nonce_unit_coarse"),
        ("EAPI:Invalid nonce", {"skew": -20.0}, "clock_behind"),
        ("EAPI:Invalid nonce", {"skew": 20.0}, "nonce_behind"),
        ("EAPI:Invalid nonce", {"skew": None}, "nonce_behind"),
        ("InvalidOtp", {"otp": "static"}, "otp_wrong_static"),
        ("InvalidOtp", {"otp": "timed"}, "otp_wrong"),
        ("InvalidSignature", {"secret_problem": "is half"}, "secret_damaged"),
        ("InvalidKey", {"secret_problem": "is the API key"}, "key_damaged"),
    ],
)
def test_other_answers_distinguish_causes(type_: str, facts: dict[str, Any], expected: str) -> None:
    assert cause(type_, 401, **facts) == expected


@pytest.mark.parametrize(("status", "type_"), FORESEEN)
def test_every_documented_failure_has_a_cause_with_advice(status: int | None, type_: str) -> None:
    found = next(it for it in CAUSES if it.name == cause(type_, status))
    assert found.meaning
    assert found.advice


def test_the_names_of_causes_are_distinct() -> None:
    names = [it.name for it in CAUSES]
    assert len(set(names)) == len(names)
