"""The custody API over a portfolio, as an ASGI app: strict about requests, moody where told to be."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator import answers
from exporter.simulator.guard import Guard, Refusal
from exporter.simulator.holdings import QUOTE_ASSET
from exporter.simulator.moods import Mood, calm
from exporter.simulator.portfolio import Portfolio, UnknownIdError


@dataclass(frozen=True, slots=True)
class Revision:
    """What has changed between the documented revisions of "List vault asset balances".

    `envelope`: rows come as `{"result": …, "quote_asset": …}`, and no longer name the quote asset
    themselves, rather than as a bare array. `staked`: rows have that part. `rounding`: amounts are
    rounded to the funding decimals unless `full_precision=true`. `refused`: query parameters that
    are no longer known.
    """

    envelope: bool
    staked: bool
    rounding: bool
    refused: frozenset[str] = frozenset()


R1 = Revision(envelope=False, staked=False, rounding=True)
R3 = Revision(envelope=False, staked=True, rounding=False)
R4 = Revision(
    envelope=True, staked=True, rounding=False, refused=frozenset({"quote", "full_precision"})
)


class _BadRequestError(Exception):
    """The query failed validation; the message says why."""


def _punctual() -> float:
    return 0.0


@dataclass(kw_only=True)
class Simulator:
    """The simulated API.

    `api_secret` is base64 text; more keys can be added to `guard.secrets`. `limit` requests are
    allowed in `window` seconds. `wall` gives Unix seconds and moves the portfolio, `monotonic`
    moves the rate limit. `arrival_delay` gives the seconds a request spends on the way: it is
    counted after them, as the real network would have it.

    `moods` maps an organization's or a vault's id, as written in the portfolio, to how its requests
    are answered; the others follow `default_mood`. Both may be changed at any time.
    """

    portfolio: Portfolio
    api_key: str
    api_secret: str = field(repr=False)
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    limit: int = 200
    window: float = 30.0
    otp: str | None = field(default=None, repr=False)
    revision: Revision = R1
    arrival_delay: Callable[[], float] = _punctual
    default_mood: Mood = calm
    moods: dict[str, Mood] = field(default_factory=dict)
    guard: Guard = field(init=False)
    _endpoints: Starlette = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.guard = Guard({self.api_key: self.api_secret}, self.limit, self.window, self.otp)
        root = "/v0/insto/custody"
        self._endpoints = Starlette(
            routes=[
                Route(f"{root}/organizations/{{org_id}}/balances", self._organization),
                Route(f"{root}/vaults/{{vault_id}}/assets/balances", self._vault),
            ],
            exception_handlers={
                UnknownIdError: _permission_denied,
                _BadRequestError: _bad_request,
                HTTPException: _unknown_method,
            },
        )
        # Kraken would not know a path with one slash too many, nor redirect it
        self._endpoints.router.redirect_slashes = False

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        request = Request(scope, receive)
        with self.guard.in_flight(request.headers.get("api-key", "")):
            await asyncio.sleep(self.arrival_delay())
            # A client that has left wants no answer.
            with suppress(ClientDisconnect):
                answer = await self._refused(request) or self._endpoints
                await answer(scope, receive, send)

    async def _refused(self, request: Request) -> Response | None:
        address = request.client.host if request.client else ""
        now = self.monotonic()
        refusal = self.guard.count(address, request.scope["path"], now) or self.guard.authenticate(
            _target(request.scope), request.headers, await request.body()
        )
        if refusal is Refusal.OVER_LIMIT:
            return answers.rate_limited(self.guard.retry_after(address, now))
        return None if refusal is None else _REFUSALS[refusal]

    async def _organization(self, request: Request) -> ASGIApp:
        organization = self.portfolio.organization(request.path_params["org_id"])
        return await self._mood(organization.id, request) or self._organization_balance(
            organization.id, request.query_params
        )

    async def _vault(self, request: Request) -> ASGIApp:
        vault = self.portfolio.vault(request.path_params["vault_id"])
        return await self._mood(vault.id, request) or self._vault_balances(
            vault.id, request.query_params
        )

    async def _mood(self, target_id: str, request: Request) -> ASGIApp | None:
        return await self.moods.get(target_id, self.default_mood)(request)

    def _organization_balance(self, organization_id: str, query: QueryParams) -> Response:
        _check_quote(query)
        return JSONResponse(self.portfolio.organization_balance(organization_id, self.wall()))

    def _vault_balances(self, vault_id: str, query: QueryParams) -> Response:
        _check_quote(query)
        if unknown := self.revision.refused & query.keys():
            raise _BadRequestError(f"Unknown parameter {min(unknown)}.")
        rounded = self.revision.rounding and query.get("full_precision") != "true"
        rows = self.portfolio.vault_rows(vault_id, self.wall(), full_precision=not rounded)
        return JSONResponse(_revised(rows, self.revision))


_REFUSALS: Mapping[Refusal, Response] = {
    Refusal.INVALID_KEY: answers.problem(401, "InvalidKey"),
    Refusal.INVALID_SIGNATURE: answers.problem(401, "InvalidSignature"),
    Refusal.INVALID_OTP: answers.problem(401, "InvalidOtp"),
    Refusal.INVALID_NONCE: answers.legacy("EAPI:Invalid nonce"),
}


def _target(scope: Scope) -> bytes:
    # undecoded: Kraken signs what was sent, and %20 is not a space
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


def _check_quote(query: QueryParams) -> None:
    for name in ("quote_asset", "quote"):
        if query.get(name, QUOTE_ASSET) != QUOTE_ASSET:
            raise _BadRequestError(f"Invalid {name} parameter.")


def _revised(rows: list[dict[str, object]], revision: Revision) -> object:
    absent = set() if revision.staked else {"staked"}
    if revision.envelope:
        absent |= {"quote_asset", "quote_asset_class"}
    result = [{name: row[name] for name in row if name not in absent} for row in rows]
    return {"result": result, "quote_asset": QUOTE_ASSET} if revision.envelope else result


async def _permission_denied(_request: Request, _error: Exception) -> Response:
    return answers.permission_denied()


async def _bad_request(_request: Request, error: Exception) -> Response:
    return answers.bad_request(str(error))


async def _unknown_method(_request: Request, _error: Exception) -> Response:
    return answers.legacy("EGeneral:Unknown method", status=404)
