"""One method for each endpoint of the custody API: a single signed request, and its answer or a `CustodyError`.

Retries, pauses and the rate limit are the caller's: each call here is exactly one request.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeVar
from urllib.parse import quote

import httpx

from exporter.custody.auth import KeyAuth
from exporter.custody.body import BodyEncodingError, BodyTooLargeError, read_body
from exporter.custody.classify import MESSAGE_LENGTH, NOT_JSON, Answer, Classifier
from exporter.custody.connections import Connections
from exporter.custody.errors import CustodyError, Delivery, Reaction
from exporter.custody.models import (
    InvalidAnswerError,
    OrganizationBalance,
    VaultBalances,
    organization_balance,
    parse_json,
    vault_balances,
)
from exporter.custody.vault_query import VaultQuery

MAX_BODY_BYTES: Final = 16 * 1024 * 1024

Endpoint = Literal["organization_balances", "vault_asset_balances"]
ENDPOINTS: Final[tuple[Endpoint, ...]] = ("organization_balances", "vault_asset_balances")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What there is to know of one request, whatever came of it.

    status: None where no complete answer came. seconds: from send to last byte, None likewise.
    clock_skew: seconds by which this machine's clock is ahead of the API's, None where the answer had no date.
    """

    endpoint: Endpoint
    status: int | None = None
    seconds: float | None = None
    clock_skew: float | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all clients of the process share.

    timeout: seconds for a whole request. observe: told of every request when it ends.
    """

    timeout: float
    id_format: Literal["spaced", "compact"]
    classifier: Classifier
    vault_query: VaultQuery
    observe: Callable[[Exchange], None]
    monotonic: Callable[[], float]
    wall: Callable[[], float]


class CustodyClient:
    """Asks the API with one credential.

    clean: makes the API's words fit to be shown, without this credential's secrets (see `errors.cleaner`).
    """

    def __init__(
        self,
        connections: Connections,
        auth: KeyAuth,
        clean: Callable[[str, int], str],
        surroundings: Surroundings,
    ) -> None:
        self._connections = connections
        self._auth = auth
        self._clean = clean
        self._shared = surroundings

    @property
    def timeout(self) -> float:
        """Seconds after which any request has ended."""
        return self._shared.timeout

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def organization_balances(self, organization_id: str) -> OrganizationBalance:
        """Return the total of an organization in USD. Raises CustodyError.

        Kraken: "List balances".
        """
        if self._shared.id_format == "compact":
            organization_id = organization_id.replace(" ", "")
        target = (
            f"/v0/insto/custody/organizations/{quote(organization_id)}/balances?quote_asset=USD"
        )
        return await self._ask("organization_balances", target, organization_balance)

    async def vault_asset_balances(self, vault_id: str) -> VaultBalances:
        """Return the rows of a vault, in full precision where the API lets one ask for it. Raises CustodyError.

        Kraken: "List vault asset balances".
        """
        query = self._shared.vault_query.of(vault_id)
        target = f"/v0/insto/custody/vaults/{quote(vault_id)}/assets/balances{query}"
        try:
            answer = await self._ask("vault_asset_balances", target, vault_balances)
        except CustodyError as error:
            if error.type == "BadRequest" and self._shared.vault_query.refused(vault_id, query):
                error.reaction = Reaction.AGAIN
            raise
        self._shared.vault_query.accepted(query)
        return answer

    async def _ask(
        self, endpoint: Endpoint, target: str, read: Callable[[object], Result]
    ) -> Result:
        exchange = Exchange(endpoint)
        try:
            answer, seconds = await self._exchange(target)
            exchange = Exchange(endpoint, answer.status, seconds, _clock_skew(answer))
        finally:
            self._shared.observe(exchange)
        if failure := self._shared.classifier.failure(answer, self._clean):
            raise failure
        if answer.document is NOT_JSON:
            raise self._invalid("is not JSON", answer.status)
        try:
            return read(answer.document)
        except InvalidAnswerError as error:
            raise self._invalid(str(error), answer.status) from None

    def _invalid(self, problem: str, status: int) -> CustodyError:
        words = self._clean(f"the answer {problem}", MESSAGE_LENGTH)
        return CustodyError("response/invalid", status=status, message=words)

    async def _exchange(self, target: str) -> tuple[Answer, float]:
        """Send one request for `target`; return the answer and the seconds from its sending to its last byte."""
        departure = _Departure(self._shared.monotonic)
        try:
            async with (
                self._connections.borrow() as http,
                asyncio.timeout(self._shared.timeout),
                http.stream(
                    "GET", target, auth=self._auth, extensions={"trace": departure.trace}
                ) as response,
            ):
                body = await read_body(response, MAX_BODY_BYTES)
        except TimeoutError:
            raise CustodyError(
                "transport/timeout",
                reaction=Reaction.RETRY,
                message=f"no complete answer within {self._shared.timeout:g} s",
                delivery=departure.delivery(),
            ) from None
        except httpx.TransportError as error:
            raise self._broken(error, departure) from None
        except BodyTooLargeError:
            message = f"the answer has more than {MAX_BODY_BYTES} bytes"
            raise CustodyError(
                "response/too_large", status=response.status_code, message=message
            ) from None
        except BodyEncodingError as error:
            raise self._invalid(f"cannot be decoded: {error}", response.status_code) from None
        seconds = self._shared.monotonic() - departure.at
        return self._answer(response, body), seconds

    def _answer(self, response: httpx.Response, body: bytes) -> Answer:
        try:
            document = parse_json(body)
        except ValueError:
            document = NOT_JSON
        return Answer(response.status_code, response.headers, document, self._shared.wall())

    def _broken(self, error: httpx.TransportError, departure: "_Departure") -> CustodyError:
        """Translate what httpx raises where no answer came."""
        type_, reaction = "transport/protocol", Reaction.RETRY
        if _is_tls_failure(error):
            # A certificate does not get better within seconds.
            type_, reaction = "transport/tls", Reaction.WAIT
        elif isinstance(error, httpx.ConnectError | httpx.ProxyError):
            type_ = "transport/connect"
        message = self._clean(str(error) or type(error).__name__, MESSAGE_LENGTH)
        return CustodyError(
            type_, reaction=reaction, message=message, delivery=departure.delivery()
        )


class _Departure:
    """When a request left, if it did; a time of 0 stands for never."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.at = monotonic()
        self._has_left = False

    async def trace(self, event: str, info: object) -> None:
        """Take note of the moment in which httpcore begins to send (its "trace" extension)."""
        del info
        if event.endswith("send_request_headers.started"):
            self.at = self._monotonic()
            self._has_left = True

    def delivery(self) -> Delivery:
        """Return what became of a request that was not answered."""
        return Delivery.UNANSWERED if self._has_left else Delivery.NEVER_SENT


def _is_tls_failure(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _clock_skew(answer: Answer) -> float | None:
    """Return the seconds by which the local clock is ahead of the answer's `Date`, good to about half a second."""
    try:
        sent = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
    # The header leaves out the fraction, which is half a second on average.
    return answer.received_at - (sent + 0.5)
