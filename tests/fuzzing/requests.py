"""Bad requests: their lines, their headers, what a scrape accepts, and passwords."""

import base64
from pathlib import Path
from random import Random
from typing import Final

import yaml

from exporter.config import parse
from exporter.polling.plan import plan_of
from exporter.web.row import path_of
from tests.exporting import ENVIRON, configuration
from tests.fuzzing.mutation import mutated

VAULT_PATH, ORGANIZATION_PATH = (
    path_of(target)
    for target in plan_of(
        parse(
            yaml.safe_dump(configuration("http://127.0.0.1:1")), directory=Path(), environ=ENVIRON
        )
    ).targets[1::-1]
)
PATHS: Final = (
    "/",
    "/metrics",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/api/v1/targets",
    "/api/v1/balances",
    "/api/v1/events",
    "/events",
    "/?sort=latency&order=desc&state=failing&org=Helix%20Fund&q=%3Cscript%3E",
    "/?q=<script>&sort=",
    "/?q=%00%ff",
    VAULT_PATH,
    f"{VAULT_PATH}?q=x",
    "/vaults/%3Cscript%3E",
    ORGANIZATION_PATH,
    "/organizations/",
    "/help",
    "/runbooks",
    "/runbooks/KrakenCustodyDefect",
    "/static/pages.css",
    "/static/../pages.css",
    "/static/%2e%2e/site.py",
    "/nowhere",
    "//",
    "/metrics/",
    "*",
    "http://127.0.0.1:10063/metrics",
    "127.0.0.1:443",
)
METHODS: Final = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "PRI",
)
VERSIONS: Final = ("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "http/1.1", "")
HEADERS: Final = (
    "Host: 127.0.0.1",
    "Host: exporter.test",
    "Host: [::1]:1",
    "Host:",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: upgrade, Host",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMA",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: 99999999999",
    "Content-Length: -1",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Expect: 100-continue",
    "Origin: https://elsewhere.test",
    "Origin: null",
    "Sec-Fetch-Site: cross-site",
    "Accept-Encoding: gzip;q=0, *",
    "Accept: */*",
    "Cookie: a=b",
    "X-Forwarded-For: 10.0.0.1",
    "Range: bytes=0-1",
    "Forwarded: for=10.0.0.1;host=elsewhere.test",
    "Authorization: Basic Og==",
    "If-None-Match: *",
    " folded",
)
ACCEPTED: Final = (
    "*/*",
    "text/plain",
    "text/plain;version=0.0.4;q=0.5",
    "application/openmetrics-text;version=1.0.0",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "text/*;q=0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.3,*/*;q=0.1",
)
USER, PASSWORD = "prometheus", "MARKER: a password"


def words(*sets: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return words that may be inserted in wrong places."""
    return tuple(word.encode() for set_ in sets for word in set_)


def request_line(chance: Random) -> bytes:
    """Make a request with a bad first line: one word of it, or anything."""
    parts = [word.encode() for word in ("GET", chance.choice(PATHS), "HTTP/1.1")]
    tokens = words(METHODS, PATHS, VERSIONS)
    match chance.randrange(4):
        case 0:
            parts[0] = mutated(chance.choice(METHODS).encode(), chance, tokens)
        case 1:
            # Only bytes that a target may have, so that the rest of what is wrong with it reaches the routes.
            parts[1] = bytes(byte for byte in mutated(parts[1], chance, tokens) if 32 < byte < 127)
        case 2:
            parts[2] = mutated(chance.choice(VERSIONS).encode(), chance, tokens)
    line = b" ".join(parts)
    if chance.random() < 0.2:
        line = mutated(line, chance, tokens)
    return line + b"\r\nHost: 127.0.0.1\r\n\r\n"


def headers(chance: Random) -> bytes:
    """Make a request whose headers, and perhaps body, are bad."""
    chosen = [chance.choice(HEADERS) for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 150)))]
    line = f"{chance.choice(('GET', 'GET', 'POST'))} {chance.choice(PATHS[:6])} HTTP/1.1\r\n"
    head = "\r\n".join(["Host: 127.0.0.1", *chosen]).encode()
    if chance.random() < 0.5:
        head = mutated(head, chance, words(HEADERS))
    body = chance.choice(
        (b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    )
    return line.encode() + head + b"\r\n\r\n" + body


def accept(chance: Random) -> bytes:
    """Make a scrape that accepts something odd."""
    value = ",".join(chance.choice(ACCEPTED) for _ in range(chance.choice((1, 1, 2, 50)))).encode()
    name = chance.choice((b"Accept", b"Accept", b"Accept-Encoding"))
    value = _one_line(mutated(value, chance, (*words(ACCEPTED), b"gzip", b"q=", b"*", b"identity")))
    return b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n%b: %b\r\n\r\n" % (name, value)


def authorization(chance: Random) -> bytes:
    """Make a request with bad credentials; some are good, in a bad form."""
    plain = f"{USER}:{PASSWORD}".encode()
    if chance.random() < 0.6:
        plain = mutated(plain, chance, (b"root", b":", b"\0", b"a" * 80))
    value = b"Basic " + base64.b64encode(plain)
    if chance.random() < 0.5:
        value = mutated(value, chance, (b"Basic", b"Bearer", b"Digest username=", b"==", b" "))
    path = chance.choice(PATHS[:6]).encode()
    return b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %b\r\n\r\n" % (
        path,
        _one_line(value),
    )


def _one_line(value: bytes) -> bytes:
    """Leave out line ends, which `headers` tries."""
    return value.replace(b"\r", b"").replace(b"\n", b"")
