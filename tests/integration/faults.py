"""Faults in the answers for one vault, and their expected results: tables for `scenes`."""

import gzip
import json
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from exporter.simulator import moods
from exporter.simulator.moods import Mood
from tests.custody.servers import Script, resetting_after, saying, silence, trickle
from tests.integration.gateway import endless

MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A failure of every request for a vault.

    situation: its name, which is the vault's too. by: what answers. type, status: labels of the metrics; an empty
    status if no answer came. tries: requests in one poll. pauses: whether its credential pauses. core_error: label of
    the metric of that name, if any. says: part of the logged message.
    """

    situation: str
    by: Mood | Script
    type: str
    status: str = "200"
    tries: int = 1
    pauses: bool = False
    core_error: str = ""
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Oddity:
    """An unusual answer with which the poll succeeds.

    balances: by asset, None if they are those before. rejected: position and field of rows. unread: optional fields,
    each in one row. errors: types of requests that failed on the way.
    """

    situation: str
    by: Mood
    balances: dict[str, float] | None = None
    rejected: tuple[tuple[int, str], ...] = ()
    unread: tuple[str, ...] = ()
    errors: frozenset[str] = field(default_factory=frozenset)


def problem(status: int, name: str, *, tries: int = 1) -> Fault:
    return Fault(
        situation=f"{status} {name}",
        by=moods.problem(status, name, {"message": "The API's own words."}),
        type=name,
        status=str(status),
        tries=tries,
        says="The API's own words.",
    )


def legacy(entry: str, status: int = 200, *, tries: int = 1, pauses: bool = False) -> Fault:
    return Fault(
        situation=f"{status} {entry}",
        by=moods.legacy(entry, status=status),
        type=entry,
        status=str(status),
        tries=tries,
        pauses=pauses,
        says=entry,
    )


def page(status: int, *, tries: int = 1, pauses: bool = False) -> Fault:
    return Fault(
        situation=f"{status} with a page of a proxy",
        by=moods.html(status),
        type=f"http/{status}",
        status=str(status),
        tries=tries,
        pauses=pauses,
        says=f"{status} ",
    )


def said(situation: str, status: int, document: object, type_: str) -> Fault:
    """An error message in a form that is not the API's."""
    return Fault(
        situation=situation,
        by=moods.body(json.dumps(document).encode(), "application/json", status),
        type=type_,
        status=str(status),
        says="Words.",
    )


def unreadable(situation: str, content: bytes | Response, says: str = "is not JSON") -> Fault:
    by = (
        moods.body(content, "application/json")
        if isinstance(content, bytes)
        else moods.always(content)
    )
    return Fault(situation=situation, by=by, type="response/invalid", says=says)


def zipped(content: bytes, encoding: str = "gzip") -> Response:
    return Response(content, headers={"content-encoding": encoding}, media_type="application/json")


def row(asset: str, balance: Any = "2.5", **fields: Any) -> dict[str, Any]:
    return {
        "asset": asset,
        "asset_class": "currency",
        "balance": balance,
        "spot": "1",
        "hold": "0",
        "available": "1",
    } | fields


def rows(*elements: Any) -> Mood:
    return moods.body(json.dumps(elements).encode(), "application/json")


def many(count: int) -> list[dict[str, Any]]:
    return [row(f"T{number}") for number in range(count)]


MAX_SERIES: Final = 30_000
"""As many as the other answers need: four for each of `many`."""

FAILURES: Final = (
    problem(400, "BadRequest"),
    problem(403, "PermissionDenied"),
    problem(500, "gateway/ReadUpstream", tries=3),
    problem(500, "gateway/WriteResponse", tries=3),
    problem(500, "gateway/Connect", tries=3),
    problem(500, "gateway/Fatal", tries=3),
    problem(503, "gateway/Connect", tries=3),
    Fault(
        situation="500 Unknown with a core error",
        by=moods.problem(500, "Unknown", {"core_error": "InternalError"}),
        type="Unknown",
        status="500",
        tries=3,
        core_error="InternalError",
    ),
    problem(422, "custody/SomethingNew"),
    problem(500, "custody/SomethingNew", tries=3),
    problem(200, "custody/WithSuccess"),
    Fault(
        situation="a problem whose name is hostile",
        by=moods.body(
            json.dumps({"type": 'tag:kraken.com,2025:evil"\n\\\0\u202e\ud800 name'}).encode(),
            "application/problem+json",
            400,
        ),
        type='evil" \\ name',
        status="400",
    ),
    legacy("EGeneral:Permission denied"),
    legacy("EGeneral:Invalid arguments", 400),
    legacy("EService:Unavailable", tries=3),
    legacy("EAPI:Invalid nonce", tries=2),
    legacy("EAPI:Invalid key", pauses=True),
    legacy("EAPI:Invalid signature", pauses=True),
    legacy("EGeneral:Temporary lockout", pauses=True),
    Fault(
        situation="401 InvalidKey",
        by=moods.problem(401, "InvalidKey"),
        type="InvalidKey",
        status="401",
        pauses=True,
    ),
    legacy("EGeneral:Internal error", tries=3),
    legacy("EDatabase:Internal error", tries=3),
    legacy("EQuery:Something new"),
    page(401, pauses=True),
    page(404),
    page(408, tries=3),
    page(421, tries=3),
    page(425, tries=3),
    page(502, tries=3),
    Fault(
        situation="403 with a page of a firewall",
        by=moods.html(403),
        type="http/blocked",
        status="403",
        says="403 Forbidden",
    ),
    said("a text for an error", 400, {"error": "Words."}, "http/400"),
    said("a text for an error with success", 200, {"error": "Words."}, "other"),
    said("an object for an error", 403, {"error": {"code": 7, "message": "Words."}}, "http/403"),
    said("a problem of a gateway", 404, {"type": "urn:x:y", "title": "Words."}, "http/404"),
    Fault(
        situation="a redirect",
        by=moods.always(RedirectResponse("https://elsewhere.test/")),
        type="http/307",
        status="307",
        says="redirects are not followed: https://elsewhere.test/",
    ),
    unreadable("200 with a page of a proxy", Response("<html>", media_type="text/html")),
    unreadable("an empty body", b""),
    unreadable("truncated JSON", b'[{"asset": "BTC", "bal'),
    unreadable("bytes that are no text", b'["\xff\xfe"]'),
    unreadable("JSON nested without end", b"[" * 50_000),
    unreadable("JSON of another form", b'{"result": {"BTC": "1"}}', "neither an array of rows"),
    unreadable("nothing but null", b"null", "neither an array of rows"),
    unreadable("gzip that is none", zipped(b"[]"), "cannot be decoded"),
    unreadable("gzip that ends too early", zipped(gzip.compress(b"[]" * 999)[:-9]), "is truncated"),
    unreadable("an encoding nobody asked for", zipped(b"[]", "br"), "br was not requested"),
    Fault(
        situation="a bomb in gzip",
        by=moods.always(zipped(gzip.compress(bytes(64 * MEBIBYTE), 1))),
        type="response/too_large",
        says="more than 4194304 bytes",
    ),
    Fault(
        situation="a bomb in JSON",
        by=moods.always(zipped(gzip.compress(b"[" + b"{}," * MEBIBYTE + b"{}]", 1))),
        type="response/too_large",
        says="more than 75000 values",
    ),
    Fault(
        situation="more series than may be held",
        by=rows(*many(8_000)),
        type="limit/series",
        says="polling.max_series is 30000",
    ),
)
"""Failures reported by the API's answers."""

_SOME = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n["
_BROKEN: Final[dict[str, Script]] = {
    "closed before the answer": saying(),
    "closed within the body": saying(_SOME),
    "closed within a chunk": saying(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n[]"
    ),
    "reset before the answer": resetting_after(b""),
    "reset within the body": resetting_after(_SOME),
    "not HTTP": saying(b"SSH-2.0-OpenSSH_9.9\r\n"),
}
BROKEN: Final = (
    *(
        Fault(situation=situation, by=script, type="transport/protocol", status="", tries=3)
        for situation, script in _BROKEN.items()
    ),
    Fault(situation="a body without end", by=endless, type="response/too_large"),
)
"""Connections that break."""

SLOW: Final = tuple(
    Fault(
        situation=situation,
        by=script,
        type="transport/timeout",
        status="",
        tries=3,
        says="no complete answer within 2 s",
    )
    for situation, script in {"never answered": silence, "byte by byte": trickle}.items()
)
"""Answers that take longer than `api.timeout`, which is two seconds there."""

ODDITIES: Final = (
    Oddity(
        situation="wrong types of amounts",
        by=rows(
            row("BTC"),
            row("A", None),
            row("B", []),
            row("C", balance=True),
            row("D", "1,5"),
            row("E", ""),
        ),
        balances={"BTC": 2.5},
        rejected=tuple((position, "balance") for position in range(1, 6)),
    ),
    Oddity(
        situation="missing fields, and rows that are none",
        by=rows(row("BTC"), {"asset": "A"}, "ETH", None, row(""), row("B", asset_class=7)),
        balances={"BTC": 2.5},
        rejected=((1, "asset_class"), (2, ""), (3, ""), (4, "asset"), (5, "asset_class")),
    ),
    Oddity(
        situation="amounts that are not finite",
        by=rows(
            row("BTC"),
            row("A", float("nan")),
            row("B", float("-inf")),
            row("C", "NaN"),
            row("D", "Infinity"),
            row("E", "1e999"),
            row("F", "9" * 400),
        ),
        balances={"BTC": 2.5},
        rejected=tuple((position, "balance") for position in range(1, 7)),
    ),
    Oddity(
        situation="optional fields that cannot be read",
        by=rows(row("BTC", staked="", quote_price={}, name=7), row("ETH", min_lot=float("nan"))),
        balances={"BTC": 2.5, "ETH": 2.5},
        unread=("staked", "quote_price", "name", "min_lot"),
    ),
    Oddity(
        situation="gzip in several members, with padding, under its old name",
        by=moods.always(
            zipped(
                gzip.compress(b"[")
                + gzip.compress(json.dumps(row("BTC")).encode() + b"]")
                + bytes(9),
                "x-gzip",
            )
        ),
        balances={"BTC": 2.5},
    ),
    Oddity(
        situation="huge and tiny amounts",
        by=rows(
            row("A", "9" * 50), row("B", "1e300"), row("C", -1e-300), row("D", 12345678901234567890)
        ),
        balances={"A": 1e50, "B": 1e300, "C": -1e-300, "D": 12345678901234567890.0},
    ),
    Oddity(
        situation="an asset twice",
        by=rows(row("BTC", "1"), row("BTC", "2"), row("ETH", "3")),
        balances={"BTC": 1.0, "ETH": 3.0},
        rejected=((1, "asset"),),
    ),
    Oddity(
        situation="hostile names of assets",
        by=rows(row('A"} 1\nup 1\0\\'), row("\ud800"), row("x" * 65), row("Ⓩ\u202e\u2028")),
        balances={'A"} 1\nup 1\0\\': 2.5, "Ⓩ\u202e\u2028": 2.5},
        rejected=((1, "asset"), (2, "asset")),
    ),
    Oddity(situation="an empty vault", by=rows(), balances={}),
    Oddity(
        situation="thousands of assets",
        by=rows(*many(3_000)),
        balances={f"T{number}": 2.5 for number in range(3_000)},
    ),
    Oddity(
        situation="an invalid nonce, once",
        by=moods.times(1, moods.legacy("EAPI:Invalid nonce")),
        errors=frozenset({"EAPI:Invalid nonce"}),
    ),
    Oddity(
        situation="an outage of two requests",
        by=moods.times(2, moods.html(503)),
        errors=frozenset({"http/503"}),
    ),
    Oddity(situation="slow, but in time", by=moods.slow(0.2)),
)
"""Unusual answers that are still answers."""
