"""The custody API over a portfolio, as an ASGI app: strict about requests, moody where told to be."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator import answers
from exporter.simulator.guard import Guard, Refusal
from exporter.simulator.moods import Mood, calm
from exporter.simulator.portfolio import Organization, Portfolio, UnknownIdError, Vault, compact
from exporter.simulator.query import BadRequestError, check, page_range
from exporter.simulator.revisions import R1, Revision

Owned = TypeVar("Owned", Organization, Vault)


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
    are answered, and likewise `organizations` and `vaults` for the lists of them; the others follow
    `default_mood`. `scopes` maps an api-key to the ids of the organizations and vaults that it sees,
    if those are not all (Kraken: List vaults). All of it may be changed at any time.
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
    scopes: dict[str, Collection[str]] = field(default_factory=dict)
    guard: Guard = field(init=False)
    _endpoints: Starlette = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.guard = Guard({self.api_key: self.api_secret}, self.limit, self.window, self.otp)
        root = "/v0/insto/custody"
        self._endpoints = Starlette(
            routes=[
                Route(f"{root}/organizations", self._organizations),
                Route(f"{root}/vaults", self._vaults),
                Route(f"{root}/organizations/{{org_id}}/balances", self._organization),
                Route(f"{root}/vaults/{{vault_id}}/assets/balances", self._vault),
            ],
            exception_handlers={
                UnknownIdError: _permission_denied,
                BadRequestError: _bad_request,
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

    async def _organizations(self, request: Request) -> ASGIApp:
        return await self._mood("organizations", request) or self._organizations_list(request)

    async def _vaults(self, request: Request) -> ASGIApp:
        return await self._mood("vaults", request) or self._vaults_page(request)

    async def _organization(self, request: Request) -> ASGIApp:
        organization = self._seen(request, self.portfolio.organization)
        return await self._mood(organization.id, request) or self._organization_balance(
            organization.id, request.query_params
        )

    async def _vault(self, request: Request) -> ASGIApp:
        vault = self._seen(request, self.portfolio.vault)
        return await self._mood(vault.id, request) or self._vault_balances(
            vault.id, request.query_params
        )

    async def _mood(self, target_id: str, request: Request) -> ASGIApp | None:
        return await self.moods.get(target_id, self.default_mood)(request)

    def _seen(self, request: Request, find: Callable[[str], Owned]) -> Owned:
        """Return what the path names; what the caller does not see does not exist for it."""
        (id_,) = request.path_params.values()
        found = find(id_)
        if not self._sees(request, found.id):
            raise UnknownIdError(id_)
        return found

    def _sees(self, request: Request, id_: str) -> bool:
        scope = self.scopes.get(request.headers["api-key"])
        return scope is None or id_ in scope

    def _organizations_list(self, request: Request) -> Response:
        check(request.query_params, ())
        rows = [
            (organization.id, organization.name, organization.status)
            for organization in self.portfolio.organizations
            if self._sees(request, organization.id)
        ]
        return JSONResponse(self.revision.organizations(rows))

    def _vaults_page(self, request: Request) -> Response:
        query = request.query_params
        check(query, {*self.revision.vaults, "limit", "offset"})
        limit, offset = page_range(query)
        vaults = [
            vault
            for vault in self._asked_organization(request).vaults
            if self._sees(request, vault.id)
        ]
        rows = [vault.listed(self.wall()) for vault in vaults[offset : offset + limit]]
        return JSONResponse(self.revision.vaults_page(rows, len(vaults)))

    def _asked_organization(self, request: Request) -> Organization:
        """Return the one that the query names, else the caller's own: the first that it sees."""
        asked = request.query_params.get(self.revision.organization)
        for organization in self.portfolio.organizations:
            if self._sees(request, organization.id) and (
                asked is None or compact(asked) == compact(organization.id)
            ):
                return organization
        raise UnknownIdError(asked)

    def _organization_balance(self, organization_id: str, query: QueryParams) -> Response:
        check(query, {"quote_asset"})
        return JSONResponse(self.portfolio.organization_balance(organization_id, self.wall()))

    def _vault_balances(self, vault_id: str, query: QueryParams) -> Response:
        check(query, self.revision.assets)
        rounded = self.revision.rounding and query.get("full_precision") != "true"
        rows = self.portfolio.vault_rows(vault_id, self.wall(), full_precision=not rounded)
        return JSONResponse(self.revision.vault_rows(rows))


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


async def _permission_denied(_request: Request, _error: Exception) -> Response:
    return answers.permission_denied()


async def _bad_request(_request: Request, error: Exception) -> Response:
    return answers.bad_request(str(error))


async def _unknown_method(_request: Request, _error: Exception) -> Response:
    return answers.legacy("EGeneral:Unknown method", status=404)
