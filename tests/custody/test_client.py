"""Requests and the handling of answers; the network is a function here."""

import asyncio
import contextlib
import errno
import gzip
import json
import ssl
from base64 import b64decode
from itertools import count
from typing import Any

import httpx
import pytest

from exporter import __version__
from exporter.config import Secrets
from exporter.custody.classify import Answer
from exporter.custody.client import MAX_BODY_BYTES, Exchange, Reading, Request, refusal_of
from exporter.custody.errors import CustodyError, Delivery, MayNotSendError, Reaction
from exporter.custody.transport import ON_SEND
from exporter.custody.wire import UnreachableError
from exporter.resources.vault_balances import WITH_PARAMETERS
from exporter.secret import Secret
from exporter.simulator.revisions import R1, R2, R3, R4, Revision
from exporter.simulator.server import SimulatorThread
from exporter.threads import Loop
from exporter.turns import Steps
from tests.custody.asking import (
    ORGANIZATION_ID,
    SECRETS,
    VAULT_ID,
    Api,
    Body,
    Client,
    answer,
    ask_vault,
    failure,
    failure_of,
    make_client,
    problem,
    run,
)
from tests.resources.answers import organization_balance
from tests.simulator.calling import (
    API_KEY,
    API_SECRET,
    NOON,
    ORGANIZATION,
    VAULT,
    Clock,
    make_simulator,
)

OTHER_VAULT = "VW44KPQC4C62K6"
NOON_AS_DATE = "Sat, 21 Nov 2026 12:00:00 GMT"
BAD_REQUEST = problem("BadRequest", data={"message": "Unknown parameter."})
KNOWN = Secrets(Secret(API_KEY), Secret(b64decode(API_SECRET)))
TOTAL = {"balance": {"total": "1"}, "quote_asset": "USD"}


def test_an_organization_is_requested_by_its_id_in_four_groups() -> None:
    api = Api(answer(TOTAL))
    balance = run(make_client(api), lambda it: it.organization_balances(ORGANIZATION_ID))
    assert balance.total == 1
    (request,) = api.requests
    assert request.method == "GET"
    assert request.url.raw_path == (
        b"/v0/insto/custody/organizations/ABCD%20EFGH%20IJKL%20MNOP/balances?quote_asset=USD"
    )


@pytest.mark.parametrize("written", ["ABCD EFGH IJKL MNOP", "ABCDEFGHIJKLMNOP"])
def test_an_organization_is_requested_by_its_compact_id_if_configured(
    written: str,
) -> None:
    api = Api(answer(TOTAL))
    run(make_client(api, id_format="compact"), lambda it: it.organization_balances(written))
    assert api.requests[0].url.raw_path == (
        b"/v0/insto/custody/organizations/ABCDEFGHIJKLMNOP/balances?quote_asset=USD"
    )


def test_an_unsigned_request_has_no_key_and_takes_no_nonce() -> None:
    """Its path may also be outside the custody API."""
    api = Api(answer({"result": 1}), answer(TOTAL))
    public = Request("time", "time", "/0/public/Time", nothing_read, is_signed=False)

    async def ask(client: Client) -> None:
        await client.ask(public)
        await client.organization_balances(ORGANIZATION_ID)

    run(make_client(api), ask)
    first, second = api.requests
    assert first.url.raw_path == b"/0/public/Time"
    assert [name for name in first.headers if name.startswith("api-")] == []
    assert second.headers["api-nonce"] == str(int(NOON) * 10**9)


def nothing_read(document: object) -> Steps[None]:
    del document
    yield from ()


@pytest.mark.parametrize("status", [200, 403, 502])
def test_observers_get_every_answer_once_it_is_decoded(status: int) -> None:
    heard: list[Answer] = []
    with contextlib.suppress(CustodyError):
        ask_vault(Api(answer([], status, {"x-limit": "1"})), on_answer=heard.append)
    ((document, header),) = [(it.document, it.headers["x-limit"]) for it in heard]
    assert (document, header) == ([], "1")


def test_a_vault_is_requested_in_full_precision() -> None:
    api = Api(answer([]))
    ask_vault(api)
    assert api.requests[0].method == "GET"
    assert api.requests[0].url.raw_path == (
        b"/v0/insto/custody/vaults/VABCDEF234567A/assets/balances?quote=USD&full_precision=true"
    )


def test_a_request_has_these_headers_and_no_body() -> None:
    api = Api(answer([]))
    ask_vault(api)
    headers = dict(api.requests[0].headers)
    assert headers.pop("api-sign")
    assert headers == {
        "host": "api.kraken.test",
        "connection": "keep-alive",
        "accept": "application/json, application/problem+json",
        "accept-encoding": "gzip",
        "user-agent": f"kraken-custody-exporter/{__version__}",
        "api-key": SECRETS.api_key.get_secret_value(),
        "api-nonce": str(int(NOON) * 10**9),
    }
    assert api.requests[0].read() == b""


def test_a_gateways_cookies_are_not_kept() -> None:
    cookie = {"set-cookie": "gateway=1; Path=/; Max-Age=3600"}
    api = Api(answer([], headers=cookie), answer([]))

    async def ask() -> None:
        client = make_client(api)
        for _ in range(2):
            await client.vault_asset_balances(VAULT_ID)

    asyncio.run(ask())
    assert "cookie" not in api.requests[1].headers


def ask_in_turn(api: Api, *vaults: str) -> list[Reaction | None]:
    """Return the reaction to each request, None if it succeeded."""

    async def ask() -> list[Reaction | None]:
        client = make_client(api)
        reactions: list[Reaction | None] = []
        for vault in vaults:
            try:
                await client.vault_asset_balances(vault)
            except CustodyError as error:
                reactions.append(error.reaction)
            else:
                reactions.append(None)
        return reactions

    return asyncio.run(ask())


def test_after_refused_parameters_a_vault_and_then_all_are_requested_without() -> None:
    api = Api(answer(BAD_REQUEST, 400), answer([]), answer([]))
    reactions = ask_in_turn(api, VAULT_ID, VAULT_ID, OTHER_VAULT)
    assert reactions == [Reaction.AGAIN, None, None]
    assert [f"?{query}" for query in api.queries] == [WITH_PARAMETERS, "?", "?"]


def test_a_vault_that_is_refused_either_way_backs_off() -> None:
    api = Api(answer(BAD_REQUEST, 400), answer(BAD_REQUEST, 400))
    assert ask_in_turn(api, VAULT_ID, VAULT_ID) == [Reaction.AGAIN, Reaction.BACK_OFF]


def test_a_bad_vault_among_good_ones_leaves_the_parameters_alone() -> None:
    api = Api(answer([]), answer(BAD_REQUEST, 400), answer([]))
    reactions = ask_in_turn(api, VAULT_ID, OTHER_VAULT, VAULT_ID)
    assert reactions == [None, Reaction.BACK_OFF, None]
    assert {f"?{query}" for query in api.queries} == {WITH_PARAMETERS}


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (403, problem("PermissionDenied")),
        (500, problem("Unknown")),
        (400, b"Bad Request"),
        (200, {"error": ["EGeneral:Invalid arguments"]}),
        (200, {"rows": "of an unknown form"}),
    ],
)
def test_no_other_failure_says_anything_about_the_parameters(status: int, document: object) -> None:
    api = Api(answer(document, status), answer([]))
    ask_in_turn(api, VAULT_ID, VAULT_ID)
    assert {f"?{query}" for query in api.queries} == {WITH_PARAMETERS}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"<html>", "the answer is not JSON"),
        (b"<!doctype html><title>Log in</title>", "the answer is not JSON: Log in"),
        (b'[{"asset": "BTC", "balance": "1.5"', "the answer is not JSON"),
        (b"", "the answer is not JSON"),
        (b"\xff", "the answer is not JSON"),
        (b"[" * 50_000, "the answer is not JSON"),
        (
            {},
            "the answer is neither an array of rows nor an object with one as result",
        ),
        (b"null", "the answer is neither an array of rows nor an object with one as result"),
    ],
    ids=repr,
)
def test_an_answer_that_is_not_the_documented_one_is_invalid(
    document: object, message: str
) -> None:
    error = failure(Api(answer(document)))
    assert (error.type, error.status, error.reaction) == ("response/invalid", 200, Reaction.WAIT)
    assert error.message == message
    assert error.delivery is Delivery.ANSWERED


def test_an_organization_without_a_total_is_invalid() -> None:
    api = Api(answer({"balance": {"spot": "1"}}))

    async def ask() -> CustodyError:
        return await failure_of(make_client(api).organization_balances(ORGANIZATION_ID))

    error = asyncio.run(ask())
    assert (error.type, error.status) == ("response/invalid", 200)
    assert error.message == "the answer balance.total is missing"


@pytest.mark.parametrize(
    ("document", "shape"),
    [
        (
            {"total": "17", "new": []},
            (".: object", ".total: decimal text", ".new: array with none"),
        ),
        (b"<html><title>Moved</title></html>", (".: a page (HTML)",)),
        (b"teapot", (".: not JSON",)),
    ],
    ids=repr,
)
def test_an_invalid_answer_has_its_shape(document: object, shape: tuple[str, ...]) -> None:
    assert failure(Api(answer(document))).shape == shape


def test_the_shape_of_an_invalid_answer_has_no_key_that_is_a_secret() -> None:
    secrets = Secrets(Secret("hunter"), SECRETS.api_secret)
    error = failure(Api(answer({"hunter": "1"})), secrets=secrets)
    assert error.shape == (".: object", '."other key": decimal text')


@pytest.mark.parametrize(
    "given",
    [answer(bytes(MAX_BODY_BYTES + 1)), answer(problem("PermissionDenied"), status=403)],
    ids=["too large", "a problem"],
)
def test_only_an_invalid_answer_has_a_shape(given: httpx.Response) -> None:
    assert failure(Api(given)).shape == ()


TOO_MUCH = bytes(MAX_BODY_BYTES + 1)


def compressed(body: bytes, encoding: str = "gzip", status: int = 200) -> httpx.Response:
    return httpx.Response(status, headers={"content-encoding": encoding}, stream=Body(body))


def test_a_compressed_answer_is_read() -> None:
    row = {"asset": "BTC", "asset_class": "currency"}
    row |= dict.fromkeys(("balance", "spot", "hold", "available"), "1")
    body = gzip.compress(json.dumps([row]).encode())
    assert [row.asset for row in ask_vault(Api(compressed(body))).rows] == ["BTC"]


@pytest.mark.parametrize(
    ("response", "type_", "message"),
    [
        (
            answer(TOO_MUCH),
            "response/too_large",
            "the answer has more than 4194304 bytes",
        ),
        (
            compressed(gzip.compress(TOO_MUCH)),
            "response/too_large",
            "the answer has more than 4194304 bytes",
        ),
        (
            compressed(gzip.compress(b"[]")[:-1]),
            "response/invalid",
            "the answer cannot be decoded: gzip: is truncated",
        ),
        (
            compressed(b"[]", "br"),
            "response/invalid",
            "the answer cannot be decoded: content-encoding br was not requested",
        ),
    ],
    ids=["too large", "a bomb", "a torn gzip", "brotli"],
)
def test_an_answer_that_cannot_be_read_is_a_failure(
    response: httpx.Response, type_: str, message: str
) -> None:
    exchanges: list[Exchange] = []
    error = failure(Api(response), observe=exchanges.append)
    assert (error.type, error.status, error.reaction) == (type_, 200, Reaction.WAIT)
    assert error.message == message
    assert error.delivery is Delivery.ANSWERED
    assert [exchange.status for exchange in exchanges] == [200]


@pytest.mark.parametrize(
    ("response", "type_", "reaction"),
    [
        (answer(TOO_MUCH, 502), "http/502", Reaction.RETRY),
        (compressed(b"", status=503), "http/503", Reaction.RETRY),
        (compressed(b"slow down", "br", status=429), "http/429", Reaction.PAUSE_ALL),
    ],
    ids=["too large", "a torn gzip", "brotli"],
)
def test_a_failing_status_counts_even_if_its_body_cannot_be_read(
    response: httpx.Response, type_: str, reaction: Reaction
) -> None:
    error = failure(Api(response))
    assert (error.type, error.reaction) == (type_, reaction)


@pytest.mark.parametrize(
    ("error", "type_", "message"),
    [
        (httpx.ConnectError("refused"), "transport/connect", "refused"),
        (httpx.ProxyError("403 Forbidden"), "transport/connect", "403 Forbidden"),
        (httpx.ConnectTimeout(""), "transport/timeout", "ConnectTimeout"),
        (httpx.ReadTimeout("timed out"), "transport/timeout", "timed out"),
        (httpx.WriteTimeout(""), "transport/timeout", "WriteTimeout"),
        (httpx.PoolTimeout(""), "transport/timeout", "PoolTimeout"),
        (httpx.ReadError(""), "transport/protocol", "ReadError"),
        (httpx.WriteError(""), "transport/protocol", "WriteError"),
        (httpx.RemoteProtocolError("bad\r\nline"), "transport/protocol", "bad line"),
        (httpx.TooManyRedirects("20"), "transport/protocol", "20"),
        (ConnectionResetError("reset"), "transport/protocol", "reset"),
    ],
    ids=repr,
)
def test_what_the_library_raises_is_a_failure_of_the_transport(
    error: Exception, type_: str, message: str
) -> None:
    failed = failure(Api(error))
    assert (failed.type, failed.status, failed.message) == (type_, None, message)
    assert failed.reaction is Reaction.RETRY


def test_a_connection_that_breaks_within_the_body_is_a_failure_of_the_transport() -> None:
    response = httpx.Response(200, stream=Body(b"[", httpx.ReadError("reset")))
    error = failure(Api(response))
    assert (error.type, error.status) == ("transport/protocol", None)


class Punctual(httpx.AsyncBaseTransport):
    """Sends after 3 seconds, and gets an answer half a second later, or none."""

    def __init__(self, clock: Clock, response: httpx.Response | None = None) -> None:
        self.clock = clock
        self.response = response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.clock.now += 3
        request.extensions[ON_SEND]()
        self.clock.now += 0.5
        if self.response is None:
            raise httpx.ReadError("reset")
        return self.response


def test_a_request_takes_from_its_sending_to_its_last_byte() -> None:
    exchanges: list[Exchange] = []
    clock = Clock(1000.0)
    ask_vault(Punctual(clock, answer([])), monotonic=clock, observe=exchanges.append)
    assert exchanges == [
        Exchange("vault_asset_balances", ("vault", VAULT_ID), status=200, seconds=0.5)
    ]


def test_a_request_that_was_sent_may_have_been_counted() -> None:
    assert failure(Punctual(Clock(0.0))).delivery is Delivery.UNANSWERED


def test_a_request_that_was_not_sent_was_not_counted() -> None:
    assert failure(Api(httpx.ConnectError("refused"))).delivery is Delivery.NEVER_SENT


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (answer([]), 200),
        (answer(problem("PermissionDenied"), 403), 403),
        (answer({"error": ["EAPI:Invalid nonce"]}), 200),
        (answer(b"<html>"), 200),
        (answer(b"", 301), 301),
        (httpx.ReadError("reset"), None),
        (httpx.Response(200, stream=Body(b"[", httpx.ReadError("reset"))), None),
    ],
    ids=["success", "problem", "legacy", "not JSON", "redirect", "no answer", "half an answer"],
)
def test_every_request_is_observed_once(
    response: httpx.Response | Exception, status: int | None
) -> None:
    exchanges: list[Exchange] = []

    async def ask() -> None:
        client = make_client(Api(response), observe=exchanges.append)
        await asyncio.gather(client.vault_asset_balances(VAULT_ID), return_exceptions=True)

    asyncio.run(ask())
    seconds = None if status is None else 0.0
    assert exchanges == [Exchange("vault_asset_balances", ("vault", VAULT_ID), status, seconds)]


def test_an_organization_is_observed_as_its_endpoint() -> None:
    exchanges: list[Exchange] = []
    client = make_client(Api(answer(TOTAL)), observe=exchanges.append)
    run(client, lambda it: it.organization_balances(ORGANIZATION_ID))
    assert [(exchange.endpoint, exchange.tag) for exchange in exchanges] == [
        ("organization_balances", ("organization", ORGANIZATION_ID))
    ]


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize(
    ("headers", "wall", "skew"),
    [
        # The date leaves out its fraction, which is half a second on average.
        ({"date": NOON_AS_DATE}, NOON + 0.5, 0.0),
        ({"date": NOON_AS_DATE}, NOON + 60, 59.5),
        ({"date": NOON_AS_DATE}, NOON - 60, -60.5),
        ({"date": NOON_AS_DATE.removesuffix(" GMT")}, NOON + 60, 59.5),
        ({}, NOON, None),
        ({"date": ""}, NOON, None),
        ({"date": "today"}, NOON, None),
        ({"date": "Sat, 21 Nov 99999999999 12:00:00 GMT"}, NOON, None),
        ({"date": "Sat, 21 Nov 2026 12:00:00 +9999"}, NOON, None),
    ],
)
def test_the_clock_skew_is_positive_if_this_machine_is_ahead(
    headers: dict[str, str], wall: float, skew: float | None, status: int, elsewhere: None
) -> None:
    del elsewhere
    exchanges: list[Exchange] = []

    async def ask() -> None:
        api = Api(answer([], status, headers))
        client = make_client(api, wall=Clock(wall), observe=exchanges.append)
        await asyncio.gather(client.vault_asset_balances(VAULT_ID), return_exceptions=True)

    asyncio.run(ask())
    assert [exchange.clock_skew for exchange in exchanges] == [skew]


class Slow(httpx.AsyncByteStream):
    """A body that takes a minute of the test's clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    async def __aiter__(self) -> Any:
        self.clock.now += 60
        yield b"[]"


def test_a_long_body_adds_no_clock_skew() -> None:
    exchanges: list[Exchange] = []
    clock = Clock(NOON + 0.5)
    response = httpx.Response(200, headers={"date": NOON_AS_DATE}, stream=Slow(clock))
    ask_vault(Api(response), wall=clock, observe=exchanges.append)
    assert [exchange.clock_skew for exchange in exchanges] == [0.0]


@pytest.mark.parametrize(
    ("status", "reaction"),
    [(429, Reaction.PAUSE_ALL), (401, Reaction.PAUSE_CREDENTIAL), (400, Reaction.AGAIN)],
)
def test_a_bad_request_concerns_the_parameters_only_if_its_status_says_so(
    status: int, reaction: Reaction
) -> None:
    error = failure(Api(answer(BAD_REQUEST, status)))
    assert (error.type, error.reaction) == ("BadRequest", reaction)


def test_the_deadline_is_known() -> None:
    assert make_client(Api(), timeout=7.5).timeout == 7.5


@pytest.mark.parametrize("revision", [R1, R2, R3, R4], ids=["r1", "r2", "r3", "r4"])
def test_every_revision_of_the_api_is_understood(revision: Revision) -> None:
    simulator = make_simulator(revision=revision)
    exchanges: list[Exchange] = []

    async def ask(base_url: str) -> list[int]:
        client = make_client(
            base_url,
            secrets=KNOWN,
            observe=exchanges.append,
        )
        if revision is not R1:
            assert (await failure_of(client.vault_asset_balances(VAULT.id))).type == "BadRequest"
        vault = await client.vault_asset_balances(VAULT.id)
        assert vault.invalid == ()
        expected = VAULT.rows(NOON, full_precision=True)
        assert [str(row.balance) for row in vault.rows] == [row["balance"] for row in expected]
        total = await client.organization_balances(ORGANIZATION.id)
        assert total == organization_balance(ORGANIZATION.balance(NOON))
        await client.close()
        return [exchange.status or 0 for exchange in exchanges]

    with SimulatorThread(simulator.app) as base_url:
        statuses = asyncio.run(ask(base_url))
    assert statuses == ([200, 200] if revision is R1 else [400, 200, 200])
    assert simulator.guard.refusals == {}
    assert simulator.guard.arrivals == len(statuses)


@pytest.mark.parametrize("id_format", ["spaced", "compact"])
def test_the_simulator_accepts_the_signature_of_either_form_of_an_id(id_format: str) -> None:
    simulator = make_simulator()
    with SimulatorThread(simulator.app) as base_url:
        client = make_client(base_url, secrets=KNOWN, id_format=id_format)
        run(client, lambda it: it.organization_balances(ORGANIZATION.id))
    assert simulator.guard.refusals == {}


def test_a_wrong_secret_is_what_the_simulator_says_it_is() -> None:
    with SimulatorThread(make_simulator().app) as base_url:
        error = failure(base_url)
    assert (error.type, error.status) == ("InvalidKey", 401)
    assert error.reaction is Reaction.PAUSE_CREDENTIAL


class Silent(httpx.AsyncBaseTransport):
    """Accepts a request and never answers."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request
        self.arrived.set()
        return await asyncio.Future()


def test_a_request_that_is_cancelled_from_outside_is_observed_and_no_failure() -> None:
    async def use() -> None:
        silent, statuses = Silent(), []
        client = make_client(silent, observe=lambda exchange: statuses.append(exchange.status))
        asking = asyncio.create_task(client.vault_asset_balances(VAULT_ID))
        await silent.arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert statuses == [None]
        await client.close()

    asyncio.run(use())


ONES = b"[" + b"1," * 1_000_000 + b"1]"


def test_an_answer_of_too_many_values_is_too_large() -> None:
    error = failure(Api(compressed(gzip.compress(ONES))))
    assert (error.type, error.message) == (
        "response/too_large",
        "the answer has more than 75000 values",
    )


def test_a_rate_limit_counts_whatever_unfolds_from_its_body() -> None:
    error = failure(Api(compressed(gzip.compress(ONES), status=429)))
    assert (error.type, error.reaction) == ("http/429", Reaction.PAUSE_ALL)


def test_an_answer_for_which_the_others_leave_no_room_is_too_large() -> None:
    reading = Reading()
    reading.room.taken = reading.room.size - 1
    error = failure(Api(answer([])), reading=reading)
    assert (error.type, error.message) == (
        "response/too_large",
        "the answer and others at the same time have more than 8388608 bytes",
    )
    assert reading.room.taken == reading.room.size - 1


@pytest.mark.parametrize(
    "response",
    [answer([]), answer(b"{"), answer(b"", 500), answer(ONES), httpx.ReadError("reset")],
    ids=["rows", "not JSON", "a failure", "too many values", "no answer"],
)
def test_room_is_given_back_whatever_came(response: httpx.Response | Exception) -> None:
    reading = Reading()

    async def ask() -> None:
        client = make_client(Api(response), reading=reading)
        await asyncio.gather(client.vault_asset_balances(VAULT_ID), return_exceptions=True)

    asyncio.run(ask())
    assert reading.room.taken == 0
    assert not reading.alone.locked()


def test_one_answer_is_decoded_at_a_time() -> None:
    reading = Reading()
    api = Api(answer([]))

    async def ask() -> None:
        client = make_client(api, reading=reading)
        async with reading.alone:
            asked = asyncio.create_task(client.vault_asset_balances(VAULT_ID))
            for _ in range(100):
                await asyncio.sleep(0)
            # Its body was read, and it goes no further.
            assert reading.room.taken
            assert not asked.done()
        assert (await asked).rows == ()

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("amount", "times", "around_decoding"),
    [("1", 1, 0), ("1e0", 3, 2)],
    ids=["as usual", "value by value"],
)
def test_the_event_loop_goes_round_between_the_rows_of_a_large_answer(
    amount: str, times: int, around_decoding: int
) -> None:
    some = dict.fromkeys(("balance", "spot", "hold", "available"), amount) | {"asset_class": "c"}
    rows = [{"asset": f"A{number}", **some} for number in range(5_000)]

    async def turns(document: object) -> int:
        asked = asyncio.create_task(
            make_client(Api(answer(document))).vault_asset_balances(VAULT_ID)
        )
        count = 0
        while not asked.done():
            await asyncio.sleep(0)
            count += 1
        await asked
        return count

    few, many = asyncio.run(turns(rows[:100])), asyncio.run(turns(rows))
    # One after each hundred rows but the last, each time that it goes through them.
    assert many - few == around_decoding + times * (5_000 // 100 - 1)


def test_a_text_of_megabytes_is_shown_in_a_few_words() -> None:
    error = failure(Api(answer(problem("Unknown", detail="word " * 800_000), 500)))
    assert error.message.startswith("word word")
    assert len(error.message) <= 200


@pytest.mark.parametrize("warnings", [1000, 1001])
def test_more_errors_than_are_looked_at_are_a_failure(warnings: int) -> None:
    api = Api(answer({"error": ["WGeneral:words"] * warnings, "result": []}))
    if warnings > 1000:
        assert failure(api).message == ""
    else:
        assert ask_vault(api).rows == ()


@pytest.mark.parametrize(
    "asked_at", [1, 2], ids=["before a nonce is taken", "right before sending"]
)
def test_a_request_that_may_not_go_is_not_sent_and_not_counted(asked_at: int) -> None:
    looks = iter(look < asked_at for look in count(1))
    network, exchanges = Api(answer()), list[Exchange]()

    class Sending(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            request.extensions[ON_SEND]()
            return network(request)

    with pytest.raises(MayNotSendError):
        ask_vault(Sending(), may_send=lambda: next(looks), observe=exchanges.append)
    assert (network.requests, exchanges) == ([], [])


def caused_by(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, ""),
        (ValueError("of no system"), ""),
        (OSError("without a number"), ""),
        (OSError(errno.ECONNREFUSED, "[Errno 111] Connect call failed"), "Connection refused"),
        (
            caused_by(
                UnreachableError("No route to host (api.test:443)"), OSError(errno.EPERM, "")
            ),
            "No route to host (api.test:443)",
        ),
        (ssl.SSLError(1, "wrong version number"), ""),
        (
            caused_by(httpx.ConnectError("all failed"), OSError(errno.EHOSTUNREACH, "")),
            "No route to host",
        ),
    ],
    ids=repr,
)
def test_why_an_address_was_not_reached_is_said_in_the_words_of_the_system(
    error: BaseException | None, words: str
) -> None:
    assert refusal_of(error) == words


class Deaf(Loop):
    """An event loop whose name servers do not answer."""

    def run_in_executor(self, *_: object) -> asyncio.Future[Any]:
        return self.create_future()


class LooksUp(httpx.AsyncBaseTransport):
    """Looks up two names, and gets stuck there."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        loop = asyncio.get_running_loop()
        looking = [loop.getaddrinfo(name, 443) for name in ("api.kraken.test", "proxy.test")]
        await asyncio.gather(*looking)
        raise AssertionError(request)


def test_a_name_server_that_does_not_answer_is_reported_with_the_names() -> None:
    async def use() -> None:
        client = make_client(LooksUp(), timeout=0.05)
        with pytest.raises(CustodyError) as caught:
            await client.vault_asset_balances(VAULT_ID)
        assert caught.value.message == (
            "no answer from the name server about api.kraken.test, proxy.test within 0.05 s"
        )

    with asyncio.Runner(loop_factory=Deaf) as runner:
        runner.run(use())
