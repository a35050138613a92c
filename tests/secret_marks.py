"""A mark in every secret, the forms in which it could appear, and an API that repeats everything it is sent."""

import base64
import itertools
import json
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

API_KEY = "MARKER/api+key="
API_SECRET = b"MARKER?>~api-secret"
OTP = "MARKER:otp&1"
TOTP_SEED = "MARKERTOTPSEED22"
OTHER_KEY = "OTHER/MARKER+key="
OTHER_SECRET = b"other MARKER?>~secret"
PROXY_PASSWORD = "MARKER@proxy/1"
WEB_PASSWORD = "MARKER:web password"
WEB_HASH = "$2b$04$RPxxpmqKCficSXwa3JHxOeCRSfkTjF2fYcUcHLLYlyvwqRtMai4yK"
"""A bcrypt hash of WEB_PASSWORD at the lowest cost."""

SECRETS: tuple[str | bytes, ...] = (
    *(API_KEY, API_SECRET, OTP, TOTP_SEED, OTHER_KEY, OTHER_SECRET),
    *(PROXY_PASSWORD, WEB_PASSWORD, WEB_HASH),
)
FILES = {
    "key": API_KEY,
    "secret": base64.b64encode(API_SECRET).decode(),
    "otp": OTP,
    "seed": TOTP_SEED,
}
ENVIRON = {"MARKED_KEY": OTHER_KEY, "MARKED_SECRET": base64.b64encode(OTHER_SECRET).decode()}
CREDENTIALS = {
    "files": {"api_key_file": "key", "api_secret_file": "secret", "otp_file": "otp"},
    "environment": {
        "api_key_env": "MARKED_KEY",
        "api_secret_env": "MARKED_SECRET",
        "totp_secret_file": "seed",
    },
}


def write_files(directory: Path) -> None:
    """Put the secret files into a directory."""
    for name, secret in FILES.items():
        (directory / name).write_text(secret)


def forms(secret: str | bytes) -> set[str]:
    """Return what to search for: the secret, and its forms in a URL, in JSON, in hexadecimal and in base64."""
    raw = secret.encode() if isinstance(secret, str) else secret
    text = raw.decode()
    found = {
        text,
        quote(text),
        quote(text, safe=""),
        json.dumps(text)[1:-1],
        repr(text)[1:-1],
        raw.hex(),
        raw.hex().upper(),
    }
    for encode, offset in itertools.product((base64.b64encode, base64.urlsafe_b64encode), range(3)):
        # As a part of longer data: without the characters that depend on what surrounds it.
        encoded = encode(bytes(offset) + raw).decode()
        found.add(encoded[ceil(offset * 4 / 3) : (offset + len(raw)) * 4 // 3])
    return found


def shown(places: dict[str, str]) -> list[tuple[str, str]]:
    """Return which forms of which secrets appear where."""
    return [
        (place, form)
        for place, text in places.items()
        for secret in SECRETS
        for form in forms(secret)
        if form in text
    ]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An API that repeats all it is sent and knows of any key, each time in another part or form of an answer."""
    request = Request(scope)
    sent = [request.headers.get(f"api-{name}", "") for name in ("key", "sign", "nonce", "otp")]
    known = (*FILES.values(), *ENVIRON.values())
    await next(_ECHOES)(" ".join(filter(None, (*sent, *known))))(scope, receive, send)


def _ways() -> Iterator[Any]:
    def problem(words: str) -> Response:
        data = {"core_error": words, "message": words}
        document = {
            "type": f"tag:kraken.com,2025:{words}",
            "title": words,
            "detail": words,
            "data": data,
        }
        return Response(json.dumps(document), 400, media_type="application/problem+json")

    def legacy(words: str) -> Response:
        return Response(json.dumps({"error": [f"EGeneral:{words}"]}))

    def older(words: str) -> Response:
        entry = {"severity": "E", "errorClass": words, "type": words, "errorMessage": words}
        return Response(json.dumps({"errors": [entry]}))

    def redirect(words: str) -> Response:
        return Response(b"", 302, {"location": f"http://127.0.0.1:1/{words}"})

    def encoding(words: str) -> Response:
        return Response(b"x", 200, {"content-encoding": words})

    def header(words: str) -> Response:
        return Response(
            b"{}", 403, {"www-authenticate": words, "retry-after": words, "date": words}
        )

    def words_alone(words: str) -> Response:
        return Response(words, 500)

    def not_a_row(words: str) -> Response:
        return Response(json.dumps([{"asset": "BTC", "balance": words, words: words}, words]))

    return itertools.cycle(
        (problem, legacy, older, redirect, encoding, header, words_alone, not_a_row)
    )


_ECHOES = _ways()
