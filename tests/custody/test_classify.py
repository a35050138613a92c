"""Each answer of the API that is a failure, and what it is called: the contract's error types."""

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.custody.errors import CustodyError, Delivery, Reaction
from tests.custody.asking import (
    SECRETS,
    VAULT_ID,
    Api,
    answer,
    ask_vault,
    failure,
    failure_of,
    make_client,
    problem,
)
from tests.demo.calling import NOON

AGAIN, BACK_OFF, RETRY = Reaction.AGAIN, Reaction.BACK_OFF, Reaction.RETRY
SLOW_DOWN, LOCK_OUT = Reaction.SLOW_DOWN, Reaction.LOCK_OUT
PAUSE_ALL, PAUSE_CREDENTIAL = Reaction.PAUSE_ALL, Reaction.PAUSE_CREDENTIAL
PAGE = b"<!DOCTYPE html><title>502 Bad Gateway</title>"
KEY = SECRETS.api_key.get_secret_value()


class Named(NamedTuple):
    """What a failure is called, and all that callers decide on."""

    type: str
    status: int
    reaction: Reaction
    message: str = ""
    core_error: str | None = None
    retry_after: float | None = None


def named(error: CustodyError) -> Named:
    assert error.status is not None
    return Named(
        error.type,
        error.status,
        error.reaction,
        error.message,
        error.core_error,
        error.retry_after,
    )


def entry(severity: str, class_: str, type_: str) -> dict[str, str]:
    """An entry of the older custody API's envelope."""
    return {
        "severity": severity,
        "errorClass": class_,
        "type": type_,
        "errorMessage": "Words.",
    }


@pytest.mark.parametrize(
    ("status", "document", "expected"),
    [
        pytest.param(
            400,
            problem("BadRequest", detail="Invalid quote_asset parameter.", data={"message": "M"}),
            # With parameters that can be left out, the request may be worth another try.
            Named("BadRequest", 400, AGAIN, "Invalid quote_asset parameter."),
            id="400 BadRequest",
        ),
        pytest.param(
            403,
            problem("PermissionDenied", detail=None, data={"message": "Permission denied."}),
            Named("PermissionDenied", 403, BACK_OFF, "Permission denied."),
            id="403 PermissionDenied",
        ),
        *(
            pytest.param(
                500,
                problem(name, title="Internal Server Error"),
                Named(name, 500, RETRY, "Internal Server Error"),
                id=f"500 {name}",
            )
            for name in (
                "gateway/ReadUpstream",
                "gateway/WriteResponse",
                "gateway/Connect",
                "gateway/Fatal",
            )
        ),
        pytest.param(
            500,
            problem("Unknown", data={"message": "Unhandled.", "core_error": "InternalError"}),
            Named("Unknown", 500, RETRY, "Unhandled.", core_error="InternalError"),
            id="500 Unknown",
        ),
        pytest.param(
            503,
            problem("gateway/Connect", detail="Retry with backoff.", data={}),
            Named("gateway/Connect", 503, RETRY, "Retry with backoff."),
            id="503 gateway/Connect",
        ),
        pytest.param(
            401,
            problem("InvalidKey", title="API: Invalid key", data=None, source="Gateway"),
            Named("InvalidKey", 401, PAUSE_CREDENTIAL, "API: Invalid key"),
            id="data null and an unknown member",
        ),
        pytest.param(
            500,
            {"type": "tag:kraken.com,2025:Unknown"},
            Named("Unknown", 500, RETRY),
            id="only a type",
        ),
        pytest.param(
            500,
            problem("Unknown", detail=7, data={"message": [], "core_error": 9}, title=None),
            Named("Unknown", 500, RETRY),
            id="members of the wrong types",
        ),
        pytest.param(
            500,
            problem("Unknown", detail="", data={"message": "M", "core_error": ""}),
            Named("Unknown", 500, RETRY, "M"),
            id="empty members",
        ),
        pytest.param(
            500,
            problem("Unknown", title="T", data={"core_error": "\x00\n"}),
            Named("Unknown", 500, RETRY, "T", core_error="other"),
            id="a core error without a printable character",
        ),
        pytest.param(
            418,
            problem("TooManyAddresses", title="T"),
            Named("TooManyAddresses", 418, BACK_OFF, "T"),
            id="an unknown name",
        ),
        pytest.param(
            500,
            {"type": "tag:kraken.com,2031:gateway/Connect", "title": "T"},
            Named("gateway/Connect", 500, RETRY, "T"),
            id="another year",
        ),
        pytest.param(
            400,
            problem("\x07\n", title="T"),
            Named("other", 400, BACK_OFF, "T"),
            id="a name without a printable character",
        ),
        pytest.param(
            400,
            problem("Odd\r\nName", title="x" * 300),
            Named("Odd Name", 400, BACK_OFF, "x" * 199 + "…"),
            id="a name of two lines and a long title",
        ),
        pytest.param(
            400,
            problem("N" * 300, title="T"),
            Named("N" * 99 + "…", 400, BACK_OFF, "T"),
            id="a long name",
        ),
        pytest.param(
            200,
            problem("PermissionDenied", title="T"),
            Named("PermissionDenied", 200, BACK_OFF, "T"),
            id="a problem with status 200",
        ),
        pytest.param(
            403,
            {"type": "about:blank", "title": "Forbidden", "status": 403},
            Named("http/403", 403, BACK_OFF, "Forbidden"),
            id="about:blank",
        ),
        pytest.param(
            500,
            {"type": "tag:example.com,2025:Unknown", "detail": "D"},
            Named("http/500", 500, RETRY, "D"),
            id="somebody else's problem",
        ),
        pytest.param(502, PAGE, Named("http/502", 502, RETRY, "502 Bad Gateway"), id="a page"),
        pytest.param(503, b"", Named("http/503", 503, RETRY), id="an empty body"),
        pytest.param(
            429, b"slow down", Named("http/429", 429, PAUSE_ALL, "slow down"), id="429 without JSON"
        ),
        pytest.param(401, [], Named("http/401", 401, PAUSE_CREDENTIAL), id="401 without words"),
        pytest.param(404, None, Named("http/404", 404, BACK_OFF), id="null"),
        pytest.param(404, "no", Named("http/404", 404, BACK_OFF, "no"), id="a text"),
        pytest.param(
            404,
            {"error": "Not Found", "title": "T"},
            Named("http/404", 404, BACK_OFF, "T: Not Found"),
            id="an error that is no array",
        ),
        pytest.param(204, b"", Named("http/204", 204, SLOW_DOWN), id="another kind of success"),
        pytest.param(
            200,
            {"error": ["EAPI:Invalid nonce"]},
            Named("EAPI:Invalid nonce", 200, AGAIN, "EAPI:Invalid nonce"),
            id="the legacy envelope with 200",
        ),
        pytest.param(
            401,
            {"error": ["EAPI:Invalid nonce"]},
            Named("EAPI:Invalid nonce", 401, AGAIN, "EAPI:Invalid nonce"),
            id="an invalid nonce with 401",
        ),
        pytest.param(
            404,
            {"error": ["EGeneral:Unknown method"], "result": None},
            Named("EGeneral:Unknown method", 404, BACK_OFF, "EGeneral:Unknown method"),
            id="the legacy envelope with 404",
        ),
        pytest.param(
            429,
            {"error": ["EAPI:Rate limit exceeded"]},
            Named("EAPI:Rate limit exceeded", 429, PAUSE_ALL, "EAPI:Rate limit exceeded"),
            id="the legacy envelope with 429",
        ),
        pytest.param(
            520,
            {"error": ["EService:Unavailable"]},
            Named("EService:Unavailable", 520, RETRY, "EService:Unavailable"),
            id="the legacy envelope with 520",
        ),
        pytest.param(
            200,
            {"error": ["WGeneral:Slow", "EService:Busy", "EAPI:Invalid key"], "result": []},
            Named("EService:Busy", 200, RETRY, "EService:Busy; EAPI:Invalid key"),
            id="a warning and two errors",
        ),
        pytest.param(
            503,
            {"error": ["WGeneral:Slow"]},
            Named("http/503", 503, RETRY, "WGeneral:Slow"),
            id="a warning with a failing status",
        ),
        pytest.param(
            503, {"error": []}, Named("http/503", 503, RETRY), id="no error with a failing status"
        ),
        pytest.param(
            200,
            {"error": [f"EService: Throttled: {int(NOON) + 12}"]},
            Named(
                "EService: Throttled",
                200,
                PAUSE_ALL,
                f"EService: Throttled: {int(NOON) + 12}",
                retry_after=12.0,
            ),
            id="throttled until",
        ),
        pytest.param(
            200,
            {"error": [f"EService:Throttled:{int(NOON) - 12}"]},
            Named(
                "EService:Throttled",
                200,
                PAUSE_ALL,
                f"EService:Throttled:{int(NOON) - 12}",
                retry_after=0.0,
            ),
            id="throttled until a moment ago",
        ),
        pytest.param(
            400,
            {"errors": [entry("E", "Custody", "InvalidVault")]},
            Named("ECustody:InvalidVault", 400, BACK_OFF, "ECustody:InvalidVault: Words."),
            id="objects under errors",
        ),
        pytest.param(
            200,
            {"error": [entry("Error", "Service", "Unavailable")], "result": []},
            Named("EService:Unavailable", 200, RETRY, "EService:Unavailable: Words."),
            id="objects under error",
        ),
        pytest.param(
            200,
            {"error": [], "errors": [entry("warning", "A", "B"), entry("error", "C", "D")]},
            Named("EC:D", 200, SLOW_DOWN, "EC:D: Words."),
            id="severities in lower case",
        ),
        *(
            pytest.param(
                200,
                {"error": [unknown], "result": []},
                Named("other", 200, SLOW_DOWN, words),
                id=f"the unknown entry {unknown!r}",
            )
            for unknown, words in (
                ({"code": 7}, "7"),
                ({}, ""),
                (None, ""),
                (7, ""),
                ("", ""),
                (" \n", ""),
                (["EAPI:Invalid key"], "EAPI:Invalid key"),
            )
        ),
        pytest.param(
            401,
            problem(f"Invalid/{KEY}", detail=f"No such key: {KEY}.", data={"core_error": KEY}),
            Named(
                "Invalid/<secret>",
                401,
                PAUSE_CREDENTIAL,
                "No such key: <secret>.",
                core_error="<secret>",
            ),
            id="the key quoted",
        ),
    ],
)
def test_a_failure_is_named(status: int, document: object, expected: Named) -> None:
    error = failure(Api(answer(document, status)))
    assert named(error) == expected
    assert error.delivery is Delivery.ANSWERED


@pytest.mark.parametrize(
    "document",
    [
        {"error": [], "result": []},
        {"errors": [], "result": []},
        {"error": None, "result": []},
        {"error": ["WGeneral:Maintenance soon"], "result": []},
        {"error": [entry("W", "General", "Soon")], "result": []},
        {"type": "custody", "result": []},
        {"type": 7, "result": []},
    ],
)
def test_an_answer_without_an_error_is_none(document: object) -> None:
    assert ask_vault(Api(answer(document))).rows == ()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "https://elsewhere.test/",
            "redirects are not followed: https://elsewhere.test/",
        ),
        (f"/login?{KEY}", "redirects are not followed: /login?<secret>"),
        (None, "redirects are not followed:"),
    ],
)
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_a_failure_and_not_followed(
    status: int, location: str | None, message: str
) -> None:
    api = Api(answer(b"", status, {} if location is None else {"location": location}))
    assert named(failure(api)) == Named(f"http/{status}", status, SLOW_DOWN, message)
    assert len(api.requests) == 1


def http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("28", 28.0),
        (" 0 ", 0.0),
        ("999999999", 999_999_999.0),
        ("9999999999", None),
        ("-5", None),
        ("1.5", None),
        ("1_0", None),
        ("", None),
        ("soon", None),
        (http_date(NOON + 90), 90.0),
        (http_date(NOON - 90), 0.0),
        (http_date(NOON + 90).removesuffix(" GMT"), 90.0),
        (http_date(NOON + 90).replace("GMT", "-0000"), 90.0),
        ("1 Jan 99999999999999 0:0:0 +0", None),
        ("1 Jan 2027 0:0:0 +9999", None),
    ],
)
def test_the_api_says_when_to_come_again(text: str, seconds: float | None, elsewhere: None) -> None:
    del elsewhere
    error = failure(Api(answer(b"", 429, {"retry-after": text})))
    assert error.retry_after == seconds


@settings(max_examples=200)
@given(text=st.text("0123456789 ,:+-JanMonGMT"))
def test_no_retry_after_raises_or_asks_for_a_negative_pause(text: str) -> None:
    error = failure(Api(answer(b"", 503, {"retry-after": text})))
    assert error.retry_after is None or error.retry_after >= 0


def test_throttled_until_goes_before_retry_after() -> None:
    document = {"error": [f"EService:Throttled: {int(NOON) + 12}"]}
    assert failure(Api(answer(document, 429, {"retry-after": "90"}))).retry_after == 12


@pytest.mark.parametrize(
    ("status", "document", "type_"),
    [
        (400, problem("RateLimitExceeded"), "other"),
        (200, {"error": ["EOrder:Rate limit exceeded"]}, "other"),
        (200, {"error": ["EAPI:Rate limit exceeded"]}, "EAPI:Rate limit exceeded"),
        (429, problem("PermissionDenied"), "PermissionDenied"),
        (429, b"", "http/429"),
    ],
    ids=["a problem", "a legacy error", "a documented one", "a documented problem", "a status"],
)
def test_after_64_unknown_names_the_next_is_other_but_means_the_same(
    status: int, document: object, type_: str
) -> None:
    invented = [
        problem(f"Name-{number}") if number % 2 else {"error": [f"EGeneral:{number}"]}
        for number in range(64)
    ]
    api = Api(*(answer(one, 400) for one in invented), answer(document, status))

    async def ask() -> list[CustodyError]:
        client = make_client(api)
        return [await failure_of(client.vault_asset_balances(VAULT_ID)) for _ in range(65)]

    errors = asyncio.run(ask())
    assert len({error.type for error in errors[:64]}) == 64
    assert (errors[64].type, errors[64].reaction) == (type_, PAUSE_ALL)


def test_after_64_core_errors_the_next_is_other() -> None:
    api = Api(
        *(
            answer(problem("Unknown", data={"core_error": f"Core-{number}"}), 500)
            for number in range(65)
        )
    )

    async def ask() -> list[str | None]:
        client = make_client(api)
        errors = [await failure_of(client.vault_asset_balances(VAULT_ID)) for _ in range(65)]
        return [error.core_error for error in errors]

    assert asyncio.run(ask()) == [*(f"Core-{number}" for number in range(64)), "other"]
