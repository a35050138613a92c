"""Answers of a broken or hostile API, as bytes on the wire: read by the client, then exposed or refused."""

import asyncio
import contextlib
import copy
import gzip
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from random import Random
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families as read_text

from exporter.config import Secrets
from exporter.custody.auth import KeyAuth, Nonce, secret_texts
from exporter.custody.classify import MESSAGE_LENGTH, NAME_LENGTH, Classifier
from exporter.custody.client import Reading, Surroundings
from exporter.custody.connections import HttpApi
from exporter.custody.errors import Cleaner, CustodyError
from exporter.custody.transport import Transport
from exporter.custody.wire import Wire
from exporter.resources.organization_balances import OrganizationBalance
from exporter.resources.vault_balances import VaultBalances
from exporter.secret import Secret
from tests.custody.asking import Client, no_one, problem
from tests.fuzzing.mutation import in_pieces, mutated
from tests.fuzzing.surface import DefectError, Feed, Surface
from tests.resources.answers import (
    HOT,
    ORGANIZATION,
    ORGANIZATION_EXAMPLE,
    VAULT_EXAMPLE,
    make_store,
    page,
    put,
)

NOON: Final = 1_790_000_000.0
SECRETS: Final = Secrets(Secret("MARKER/api+key="), Secret(b"MARKER api secret"))

BALANCES: Final = (
    json.loads(VAULT_EXAMPLE),
    {"result": json.loads(VAULT_EXAMPLE), "quote_asset": "EUR"},
    json.loads(ORGANIZATION_EXAMPLE),
    {"result": json.loads(ORGANIZATION_EXAMPLE)},
)
FAILURES: Final = (
    problem("PermissionDenied", detail="denied", data={"core_error": "E1", "message": "words"}),
    {"error": ["EAPI:Invalid nonce", "WGeneral:words"], "result": {}},
    {"errors": [{"severity": "E", "errorClass": "API", "type": "Invalid key"}]},
    {"error": ["EService: Throttled: 1790000030"]},
)
VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**60,
    "",
    " ",
    "0",
    "-0",
    "1e400",
    "1e-400",
    "NaN",
    "Infinity",
    "1" * 70,
    "0x1",
    "1_000",
    "\u0661",
    "1,5",
    "\ud800",
    "\x00",
    "\u202e",
    "a" * 200,
    "BTC",
    "USD",
    [],
    {},
    [[]],
    {"": ""},
    [None],
    {"a": {"a": {}}},
    "2026-13-45T99:99:99Z",
    "tag:kraken.com,2025:",
    *secret_texts(SECRETS),
)
HEADERS: Final = (
    b"content-type: application/json",
    b"content-type: text/html",
    b"content-encoding: br",
    b"transfer-encoding: chunked",
    b"content-length: 5",
    b"content-length: -1",
    b"connection: close",
    b"date: Sat, 21 Nov 2026 12:00:00 GMT",
    b"date: never",
    b"retry-after: 3",
    b"retry-after: \xff",
    b"location: mailto:x",
    b"location: http://127.0.0.1:1/",
    b"set-cookie: a=b; Path=/",
    b"upgrade: h2c",
    b"www-authenticate: Basic",
)
TOKENS: Final = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"null",
    b"1e9999",
    b"\\ud800",
    b"[" * 40,
    b"HTTP/1.1 200 OK\r\n",
    b"chunked",
    b"gzip",
    *HEADERS,
    *(text.encode() for text in secret_texts(SECRETS)),
)
STATUSES: Final = (201, 204, 301, 304, 400, 401, 403, 404, 429, 500, 502, 503, 999)


def make(chance: Random) -> bytes:
    """Make an answer: a document with bad values in a valid response, or any bytes at all."""
    document = copy.deepcopy(chance.choice(BALANCES if chance.random() < 0.7 else FAILURES))
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        document = _spoiled(document, chance)
    body = json.dumps(document).encode()
    if chance.random() < 0.2:
        body = mutated(body, chance, TOKENS)
    response = _response(body, chance)
    return mutated(response, chance, TOKENS) if chance.random() < 0.2 else response


def _spoiled(document: Any, chance: Random) -> Any:
    """Put a bad value somewhere in a JSON document, or remove a value."""
    if not isinstance(document, dict | list) or not document or chance.random() < 0.05:
        return copy.deepcopy(chance.choice(VALUES))
    places: Sequence[Any] = list(document) if isinstance(document, dict) else range(len(document))
    place = chance.choice(places)
    match chance.randrange(8):
        case 0:
            del document[place]
        case 1 if isinstance(document, list) and len(document) < 100:
            document.extend(copy.deepcopy(document) * chance.choice((1, 1, 1, 20)))
        case _:
            document[place] = _spoiled(document[place], chance)
    return document


def _response(body: bytes, chance: Random) -> bytes:
    headers = [chance.choice(HEADERS) for _ in range(chance.choice((0, 0, 0, 1, 3)))]
    if chance.random() < 0.2:
        body = gzip.compress(body, 1, mtime=0)
        headers.append(b"content-encoding: gzip")
    if chance.random() < 0.2:
        headers.append(b"transfer-encoding: chunked")
        pieces = [piece for piece in in_pieces(body, chance) if piece]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        headers.append(b"content-length: %d" % len(body))
    status = 200 if chance.random() < 0.7 else chance.choice(STATUSES)
    return b"HTTP/1.1 %d Status\r\n%b\r\n\r\n%b" % (status, b"\r\n".join(headers), body)


class Canned(asyncio.Transport):
    """A connection whose other end answers a request with these pieces, and closes it."""

    def __init__(self, wire: Wire, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._wire, self._pieces = wire, list(pieces)
        wire.connection_made(self)

    def write(self, data: object) -> None:
        del data
        for piece in self._pieces:
            self._wire.data_received(piece)
        self._wire.eof_received()

    def abort(self) -> None:
        self._wire.connection_lost(None)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@contextlib.asynccontextmanager
async def asking() -> AsyncIterator[Feed]:
    """Yield a function that requests something, mostly what the bytes look like, from an API that answers with them."""
    classifier, chance, turn = Classifier(), Random(0), 0

    def client_of(answer: bytes) -> Client:
        async def connect() -> Wire:
            wire = Wire()
            Canned(wire, in_pieces(answer, chance))
            return wire

        transport = Transport(connect, lambda: 0.0, lambda _find: None)
        return Client(
            HttpApi("http://127.0.0.1", transport),
            KeyAuth(SECRETS, Nonce("nanoseconds", lambda: 1), lambda: NOON),
            Cleaner(*secret_texts(SECRETS)),
            Surroundings(
                10.0,
                "spaced",
                classifier,
                no_one,
                Reading(),
                lambda: 0.0,
                lambda: NOON,
            ),
        )

    async def feed(answer: bytes) -> str:
        nonlocal turn
        turn += 1
        client = client_of(answer)
        try:
            if (b'"asset_class"' in answer) != (turn % 10 == 0):
                return _exposed(await client.vault_asset_balances(HOT.id))
            return _exposed(await client.organization_balances(ORGANIZATION.id))
        except CustodyError as error:
            return _refused(error)
        finally:
            await client.close()

    yield feed


def _exposed(answer: VaultBalances | OrganizationBalance) -> str:
    """Judge an accepted answer: what it adds to the exposition parses, has each series once, and has no secret."""
    target = ORGANIZATION if isinstance(answer, OrganizationBalance) else HOT
    store = make_store(target, max_series=1_000_000)
    balances = put(store, target, answer)
    text = page(store)
    samples = [sample for family in read_text(text) for sample in family.samples]
    if len({(sample.name, *sorted(sample.labels.items())) for sample in samples}) < len(samples):
        raise DefectError("a series appears twice")
    balances.table(target)
    if isinstance(answer, VaultBalances) and answer.invalid:
        return "taken, but for some rows"
    if answer.invalid_fields:
        return "taken, but for some fields"
    return "taken"


def _refused(error: CustodyError) -> str:
    """Judge the error of a refused answer."""
    for text, length in ((error.type, NAME_LENGTH), (error.message, MESSAGE_LENGTH)):
        if len(text) > length or not text.isprintable():
            raise DefectError(f"cannot be shown: {text!r}")
    for secret in secret_texts(SECRETS):
        if secret in f"{error} {error.core_error}":
            raise DefectError("a secret is told")
    return f"refused: {error.reaction.name}"


API_ANSWERS: Final = Surface("API answers", make, asking)
