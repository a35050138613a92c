"""No text that people may see contains a secret, even if a made-up API repeats everything it is sent."""

import asyncio
import base64
import logging
import traceback
from collections.abc import Iterator

import httpx
import pytest

from exporter.config import Secrets
from exporter.custody.auth import KeyAuth, Nonce
from exporter.custody.client import CustodyClient
from exporter.custody.errors import CustodyError
from exporter.secret import Secret
from tests.custody.asking import VAULT_ID, answer, failure_of, make_client, problem
from tests.custody.servers import closed_port, saying, serving
from tests.simulator.calling import NOON

API_KEY = "MARKED/API+KEY="
API_SECRET = b"MARKED API SECRET"
OTP = "MARKED-OTP"
TOTP_SEED = "MARKEDSEEDMARKED"
STATIC = Secrets(Secret(API_KEY), Secret(API_SECRET), otp=Secret(OTP))
TIMED = Secrets(Secret(API_KEY), Secret(API_SECRET), totp_seed=Secret(TOTP_SEED))
MARKERS = (
    API_KEY,
    API_SECRET.decode(),
    base64.b64encode(API_SECRET).decode(),
    OTP,
    TOTP_SEED,
)
WORDS = f"{API_KEY} {base64.b64encode(API_SECRET).decode()}"


def marked(text: str) -> list[str]:
    return [marker for marker in MARKERS if marker in text]


def told(error: CustodyError) -> str:
    """Return everything that can be shown of an error."""
    return "\n".join(
        [
            repr(vars(error)),
            repr(error),
            str(error),
            "".join(traceback.format_exception(error)),
        ]
    )


def echo(*secrets: str) -> Iterator[httpx.Response | Exception]:
    words = " ".join(secrets)
    yield answer(problem(words, detail=words, title=words, data={"core_error": words}), 401)
    yield answer({"type": "about:blank", "title": words}, 403)
    yield answer({"error": [f"EAPI:Invalid key {words}"]})
    yield answer(
        {"errors": [{"severity": "E", "errorClass": words, "type": words, "errorMessage": words}]}
    )
    yield answer(b"", 302, {"location": words.replace(" ", "&")})
    yield httpx.Response(200, headers={"content-encoding": words})
    yield httpx.RemoteProtocolError(f"illegal header line: {words}")
    yield httpx.ConnectError(words)


@pytest.mark.parametrize(
    ("secrets", "texts"),
    [(STATIC, (*WORDS.split(), OTP)), (TIMED, (*WORDS.split(), TOTP_SEED))],
    ids=["a static password", "a timed password"],
)
def test_an_api_that_says_every_secret_is_not_repeated(
    secrets: Secrets, texts: tuple[str, ...]
) -> None:
    async def ask() -> list[CustodyError]:
        errors = []
        for response in echo(*texts):

            def say(_request: httpx.Request, said: object = response) -> httpx.Response:
                if isinstance(said, httpx.Response):
                    return said
                assert isinstance(said, Exception)
                raise said

            client = make_client(say, secrets=secrets)
            errors.append(await failure_of(client.vault_asset_balances(VAULT_ID)))
        return errors

    for error in asyncio.run(ask()):
        shown = told(error)
        assert "<secret>" in shown, "what the API said is shown"
        assert marked(shown) == []


def test_a_secret_is_cut_out_before_the_text_is_cut() -> None:
    def say(_request: httpx.Request) -> httpx.Response:
        return answer(problem("x" * 95 + API_KEY, detail="x" * 195 + API_KEY), 401)

    async def ask() -> CustodyError:
        client = make_client(say, secrets=STATIC)
        return await failure_of(client.vault_asset_balances(VAULT_ID))

    error = asyncio.run(ask())
    assert error.type == "x" * 95 + "<sec…"
    assert error.message == "x" * 195 + "<sec…"


@pytest.mark.parametrize("secrets", [STATIC, TIMED], ids=["static", "timed"])
def test_nothing_that_holds_a_secret_shows_it(secrets: Secrets) -> None:
    auth = KeyAuth(secrets, Nonce("nanoseconds", lambda: 1), lambda: NOON)
    client: CustodyClient = make_client("https://api.kraken.test", secrets=secrets)
    for holder in (secrets, auth, vars(auth), client, vars(client), client._api):
        assert marked(f"{holder!r} {holder}") == []


def test_neither_httpx_nor_this_package_logs_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def ask() -> None:
        async with serving(saying(b"HTTP/1.1 401 Unauthorized\r\n\r\n{}")) as base_url:
            for url in (base_url, f"http://127.0.0.1:{closed_port()}"):
                client = make_client(url, secrets=STATIC)
                await failure_of(client.vault_asset_balances(VAULT_ID))
                await client.close()

    asyncio.run(ask())
    assert marked(caplog.text) == []
