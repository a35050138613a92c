"""Each answer of the API that is a failure, and what it is called: the contract's error types."""

import asyncio
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.custody.classify import Answer, Classifier
from exporter.custody.document import parse_json
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
from tests.simulator.calling import NOON

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


def named_legacy(name: str) -> Named:
    return Named(name, 200, RETRY, name)


MOVED = "redirects are not followed:"


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
def test_an_answer_without_an_error_is_no_failure(document: object) -> None:
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
@pytest.mark.parametrize("status", [300, 301, 307, 399])
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
def test_the_api_says_when_to_retry(text: str, seconds: float | None, elsewhere: None) -> None:
    del elsewhere
    error = failure(Api(answer(b"", 429, {"retry-after": text})))
    assert error.retry_after == seconds


@given(text=st.text("0123456789 ,:+-JanMonGMT"))
def test_no_retry_after_raises_or_asks_for_a_negative_pause(text: str) -> None:
    error = failure(Api(answer(b"", 503, {"retry-after": text})))
    assert error.retry_after is None or error.retry_after >= 0


def test_throttled_until_takes_precedence_over_retry_after() -> None:
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


CHALLENGE = (
    b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title><meta charset="x">'
)
CLOUDFLARE = {
    "type": "https://developers.cloudflare.com/support/troubleshooting/error-1010/",
    "title": "Error 1010: Access denied",
    "status": 403,
    "detail": "The site owner has blocked access based on your client's signature.",
    "error_code": 1010,
    "retryable": False,
}
HTML = {"content-type": "text/html; charset=UTF-8"}


@pytest.mark.parametrize(
    ("status", "headers", "document", "expected"),
    [
        # Blocked: a gateway in front of the API refused the request.
        (403, HTML, CHALLENGE, Named("http/blocked", 403, SLOW_DOWN, "Just a moment...")),
        (403, {}, CHALLENGE, Named("http/blocked", 403, SLOW_DOWN, "Just a moment...")),
        (403, HTML, b"", Named("http/blocked", 403, SLOW_DOWN)),
        (
            403,
            {},
            b"\xef\xbb\xbf\r\n <HTML><TITLE >\nAttention\n Required! &#124; Cloudflare</TITLE>",
            Named("http/blocked", 403, SLOW_DOWN, "Attention Required! | Cloudflare"),
        ),
        (
            403,
            {"content-type": "application/problem+json"},
            CLOUDFLARE,
            Named(
                "http/blocked",
                403,
                SLOW_DOWN,
                "Error 1010: Access denied: 1010: The site owner has blocked access based on your client's signature.",
            ),
        ),
        (200, {"cf-mitigated": "challenge"}, [], Named("http/blocked", 200, SLOW_DOWN)),
        (520, {"cf-mitigated": "challenge"}, b"", Named("http/blocked", 520, SLOW_DOWN)),
        # Not blocked: what these statuses say counts.
        (
            429,
            {"cf-mitigated": "challenge", **HTML},
            CHALLENGE,
            Named("http/429", 429, PAUSE_ALL, "Just a moment..."),
        ),
        (
            503,
            {"cf-mitigated": "challenge", **HTML},
            CHALLENGE,
            Named("http/503", 503, RETRY, "Just a moment..."),
        ),
        (
            429,
            {},
            {
                **CLOUDFLARE,
                "title": "Error 1015",
                "detail": "D",
                "error_code": 1,
                "retry_after": 30,
            },
            Named("http/429", 429, PAUSE_ALL, "Error 1015: 1: D", retry_after=30),
        ),
        (
            403,
            HTML,
            problem("PermissionDenied", title="T"),
            Named("PermissionDenied", 403, BACK_OFF, "T"),
        ),
        # From a gateway: not the API's refusal, and the target does not back off.
        (404, HTML, b"<title>404</title>", Named("http/404", 404, SLOW_DOWN, "404")),
        (400, HTML, b"<h1>Bad Request</h1>", Named("http/400", 400, SLOW_DOWN)),
        (404, {}, {"type": "urn:x:gone", "title": "T"}, Named("http/404", 404, SLOW_DOWN, "T")),
        (403, {}, b"error code: 1020", Named("http/403", 403, SLOW_DOWN, "error code: 1020")),
        (
            403,
            {"content-type": "text/plain"},
            b"RBAC: access denied",
            Named("http/403", 403, SLOW_DOWN, "RBAC: access denied"),
        ),
        (403, {"content-type": "image/png"}, b"\x89PNG", Named("http/403", 403, SLOW_DOWN)),
        (403, {}, b"\xff\xfe\x00", Named("http/403", 403, SLOW_DOWN)),
        (401, HTML, b"<title>Log in</title>", Named("http/401", 401, PAUSE_CREDENTIAL, "Log in")),
        (302, HTML, b"<title>Maintenance</title>", Named("http/302", 302, SLOW_DOWN, MOVED)),
        # Again, soon: the answer itself says so.
        (408, {}, b"", Named("http/408", 408, RETRY)),
        (421, HTML, b"<title>Misdirected</title>", Named("http/421", 421, RETRY, "Misdirected")),
        (425, {}, {"message": "Too early"}, Named("http/425", 425, RETRY, "Too early")),
        (
            530,
            {"retry-after": "120"},
            {**CLOUDFLARE, "title": "Error 1016", "detail": "D", "error_code": 1016},
            Named("http/530", 530, RETRY, "Error 1016: 1016: D", retry_after=120),
        ),
        (
            503,
            {},
            {"error": {"code": "busy", "message": "Later", "retry_after": 7.5}},
            Named("http/503", 503, RETRY, "busy: Later", retry_after=7.5),
        ),
        (200, {}, {"error": ["EGeneral:Internal error"]}, named_legacy("EGeneral:Internal error")),
        (
            200,
            {},
            {"error": ["EDatabase:Internal error"]},
            named_legacy("EDatabase:Internal error"),
        ),
        # The words of an envelope in whatever form.
        (400, {}, {"error": "text"}, Named("http/400", 400, BACK_OFF, "text")),
        (200, {}, {"error": "Wrong key"}, Named("other", 200, SLOW_DOWN, "Wrong key")),
        (
            403,
            {},
            {"error": "EAPI:Invalid key"},
            Named("EAPI:Invalid key", 403, PAUSE_CREDENTIAL, "EAPI:Invalid key"),
        ),
        (
            200,
            {},
            {"error": "WGeneral:Slow", "errors": "EService:Busy"},
            Named("EService:Busy", 200, RETRY, "EService:Busy"),
        ),
        (
            403,
            {},
            {"error": {"code": 403, "message": "Forbidden here"}},
            Named("http/403", 403, BACK_OFF, "403: Forbidden here"),
        ),
        (
            400,
            {},
            {"error": {"code": "PermissionDenied", "message": "No."}},
            Named("PermissionDenied", 400, BACK_OFF, "PermissionDenied: No."),
        ),
        (
            400,
            {},
            {"error": {"code": "tag:kraken.com,2025:InvalidNonce", "message": "No."}},
            Named("InvalidNonce", 400, AGAIN, "tag:kraken.com,2025:InvalidNonce: No."),
        ),
        (
            200,
            {},
            {"error": {"code": "busy", "message": "No."}},
            Named("other", 200, SLOW_DOWN, "busy: No."),
        ),
        (
            400,
            {},
            {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]},
            Named("http/400", 400, BACK_OFF, "10000: Authentication error"),
        ),
        (400, {}, {"errors": [{"message": "m"}]}, Named("http/400", 400, BACK_OFF, "m")),
        (404, {}, {"message": "no Route"}, Named("http/404", 404, BACK_OFF, "no Route")),
        (403, {}, {"Message": "denied"}, Named("http/403", 403, BACK_OFF, "denied")),
        (
            404,
            {},
            {"status": 404, "error": "Not Found", "path": "/v0", "message": "Not Found"},
            Named("http/404", 404, BACK_OFF, "Not Found"),
        ),
        (
            401,
            {},
            {"error": "invalid_token", "error_description": "expired"},
            Named("http/401", 401, PAUSE_CREDENTIAL, "invalid_token: expired"),
        ),
        (
            500,
            {},
            {"fault": {"faultstring": "F", "detail": {"errorcode": "x"}}},
            Named("http/500", 500, RETRY, "F"),
        ),
        (422, {}, {"detail": [{"msg": "m"}]}, Named("http/422", 422, BACK_OFF, "m")),
        (
            422,
            {},
            {"detail": {"detail": {"detail": {"detail": {}}}}},
            Named("http/422", 422, BACK_OFF),
        ),
        (400, {}, {"error": True}, Named("http/400", 400, BACK_OFF)),
    ],
    ids=str,
)
def test_the_text_of_a_gateways_answer_becomes_the_message(
    status: int, headers: dict[str, str], document: object, expected: Named
) -> None:
    assert named(failure(Api(answer(document, status, headers)))) == expected


@pytest.mark.parametrize("flag", [None, False, 0, "", {}, []])
def test_an_empty_error_beside_a_result_is_no_failure(flag: object) -> None:
    assert ask_vault(Api(answer({"error": flag, "result": []}))).rows == ()


@pytest.mark.parametrize(
    ("date", "wait"),
    [
        (None, 5.0),
        (http_date(NOON), 5.0),
        # The API's clock is an hour behind ours, and what it writes is meant by it.
        (http_date(NOON - 3600), 3605.0),
        (http_date(NOON + 2), 3.0),
        (http_date(NOON + 3600), 0.0),
        ("nonsense", 5.0),
    ],
)
def test_throttled_until_is_read_by_the_clock_of_its_sender(date: str | None, wait: float) -> None:
    document = {"error": [f"EService: Throttled: {int(NOON) + 5}"]}
    headers = {} if date is None else {"date": date}
    assert failure(Api(answer(document, 200, headers))).retry_after == wait


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (30, 30.0),
        (0, 0.0),
        (2.5, 2.5),
        (-1, None),
        ("30", None),
        (True, None),
        (None, None),
        ([30], None),
        (10**400, None),
    ],
)
def test_a_body_may_say_when_to_retry(said: object, seconds: float | None) -> None:
    assert failure(Api(answer({"retry_after": said}, 503))).retry_after == seconds


def test_retry_after_in_the_header_takes_precedence_over_the_body() -> None:
    api = Api(answer({"retry_after": 30}, 503, {"retry-after": "7"}))
    assert failure(api).retry_after == 7


@given(
    body=st.lists(
        st.sampled_from(
            [
                *(b"<title", b"<title>", b"</title>", b"<html>", b" ", b">", b"<", b"&#27;"),
                *(b"&#xD800;", b"\x00", b"\xff", b"T", KEY.encode(), b"<!--", b"&amp;lt;"),
            ]
        )
    ).map(b"".join),
    status=st.sampled_from([200, 301, 403, 404, 429, 503]),
)
def test_no_page_raises_or_says_more_than_a_line_without_secrets(body: bytes, status: int) -> None:
    error = failure(Api(answer(b"<html>" + body, status, HTML)))
    assert len(error.message) <= 200
    assert error.message.isprintable()
    assert KEY not in error.message


@pytest.mark.parametrize("page", [b"<title " * 20_000, b"<title>" * 20_000, b"<title" * 20_000])
def test_only_the_beginning_of_a_page_is_looked_at(page: bytes) -> None:
    error = failure(Api(answer(page, 403, HTML)))
    assert error.type == "http/blocked"


@pytest.mark.parametrize(("before", "message"), [(-30, "Blocked"), (0, "")])
def test_a_title_counts_within_the_first_16_kib_of_a_page(before: int, message: str) -> None:
    beginning = b"<html>".ljust(16 * 1024 + before)
    error = failure(Api(answer(beginning + b"<title>Blocked</title>", 403, HTML)))
    assert error.message == message


@pytest.mark.parametrize(("depth", "message"), [(1, "Words."), (3, "Words."), (4, ""), (50, "")])
def test_a_gateways_message_is_searched_three_members_deep(depth: int, message: str) -> None:
    document: object = "Words."
    for _ in range(depth):
        document = {"fault": document}
    assert failure(Api(answer(document, 502))).message == message


def test_an_entry_of_the_older_api_without_words_is_its_name() -> None:
    wordless = {**entry("error", "General", "Internal"), "errorMessage": ""}
    error = failure(Api(answer({"error": [wordless]}, 500)))
    assert (error.type, error.message) == ("EGeneral:Internal", "EGeneral:Internal")


@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "error",
                        "errors",
                        "code",
                        "message",
                        "detail",
                        "title",
                        "type",
                        "data",
                        "fault",
                    ]
                ),
                inner,
            )
        ),
        max_leaves=20,
    ),
    status=st.sampled_from([200, 204, 302, 400, 403, 404, 429, 500, 503]),
)
def test_no_document_of_a_gateway_raises(document: object, status: int) -> None:
    read = parse_json(json.dumps(document).encode())
    found = Classifier().failure(Answer(status, {}, read, NOON), lambda text, _: text)
    assert (found is None) <= (status == 200)
