"""The custody API over a portfolio, as an ASGI app: strict about requests, with failures on demand."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeVar

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.simulator import answers
from exporter.simulator.approvals import Task, tasks_of, whitelist_of
from exporter.simulator.guard import Guard, Refusal
from exporter.simulator.moods import Mood, calm
from exporter.simulator.portfolio import Organization, Portfolio, UnknownIdError, Vault, compact
from exporter.simulator.query import BadRequestError, check, page_range
from exporter.simulator.revisions import R1, Revision

Owned = TypeVar("Owned", Organization, Vault)
Handle = Callable[[Request], Awaitable[ASGIApp]]


def _punctual() -> float:
    return 0.0


@dataclass(kw_only=True)
class Simulator:
    """The simulated API.

    `api_secret` is base64 text; more keys can be added to `guard.secrets`. `limit` requests are
    allowed in `window` seconds. `wall` gives Unix seconds and moves the portfolio, `monotonic`
    moves the rate limit. `arrival_delay` gives the seconds that a request takes to arrive, after which
    it is counted.

    `moods` maps an organization's or a vault's id, as written in the portfolio, to how its requests are
    answered, and likewise `organizations`, `vaults` and `tasks` for the lists of them and `whitelist`
    with a vault's id for its whitelist; the others follow `default_mood`. `tasks` and `whitelist` give
    the tasks of an organization, newest first, and the rows of a vault's whitelist. `front` stands in
    front of the API and may answer before anything else is checked. `headers` gives the headers of
    every answer. `scopes` maps an api-key to the only organizations and vaults that it sees, by id
    (Kraken: List vaults). `id_form` is the accepted form of organization ids; lists use the form with
    spaces, unless only the other is accepted. `host` is what `Host` must be, None for anything. All of
    it may be changed at any time.
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
    front: Mood = calm
    headers: Callable[[], Mapping[str, str]] = dict
    id_form: Literal["either", "spaced", "compact"] = "either"
    host: str | None = None
    default_mood: Mood = calm
    tasks: Callable[[Organization, float], Sequence[Task]] = tasks_of
    whitelist: Callable[[Vault, float], Sequence[Mapping[str, object]]] = whitelist_of
    moods: dict[str, Mood] = field(default_factory=dict)
    scopes: dict[str, Collection[str]] = field(default_factory=dict)
    guard: Guard = field(init=False)
    _endpoints: Starlette = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.guard = Guard({self.api_key: self.api_secret}, self.limit, self.window, self.otp)
        root = "/v0/insto/custody"
        self._endpoints = Starlette(
            routes=[
                Route("/0/public/Time", self._time),
                Route(f"{root}/assets", self._assets),
                Route(f"{root}/organizations", self._signed(self._organizations)),
                Route(f"{root}/vaults", self._signed(self._vaults)),
                Route(
                    f"{root}/organizations/{{org_id}}/balances", self._signed(self._organization)
                ),
                Route(f"{root}/vaults/{{vault_id}}/assets/balances", self._signed(self._vault)),
                Route(f"{root}/tasks", self._signed(self._tasks)),
                Route(
                    f"{root}/vaults/{{vault_id}}/whitelist/addresses", self._signed(self._whitelist)
                ),
                Route(f"{root}/vaults/{{vault_id}}/balance", self._either_path),
                Route(f"{root}/vaults/{{vault_id}}/balances", self._either_path),
            ],
            exception_handlers={
                UnknownIdError: _permission_denied,
                BadRequestError: _bad_request,
                HTTPException: _unknown_method,
            },
        )
        # Kraken neither knows nor redirects a path with an additional slash.
        self._endpoints.router.redirect_slashes = False

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        request = Request(scope, receive)
        with self.guard.in_flight(request.headers.get("api-key", "")):
            await asyncio.sleep(self.arrival_delay())
            # A client that has disconnected gets no answer.
            with suppress(ClientDisconnect):
                over_limit = self._over_limit(request)
                answer = await self.front(request) or over_limit or self._outside(request)
                await (answer or self._endpoints)(scope, receive, self._with_headers(send))

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers())
            await send(message)

        return send_with_headers

    def _over_limit(self, request: Request) -> Response | None:
        address, now = _address(request), self.monotonic()
        if self.guard.count(address, request.scope["path"], now) is None:
            return None
        return answers.rate_limited(self.guard.retry_after(address, now))

    def _outside(self, request: Request) -> Response | None:
        """Return a gateway's answer to a request that is not for the API."""
        if self.host not in (None, request.headers.get("host")):
            return answers.html(421)
        # Kraken: REST introduction
        if "user-agent" not in request.headers:
            return answers.html(403)
        return None if request.method == "GET" else answers.unknown_method()

    def _signed(self, handle: Handle) -> Handle:
        """Return what answers a request that has to be signed."""

        async def handle_signed(request: Request) -> ASGIApp:
            body = await request.body()
            refusal = self.guard.authenticate(
                _target(request.scope), request.headers, body, _address(request)
            )
            if refusal is not None:
                return _REFUSALS[refusal]
            if body or "content-type" in request.headers:
                raise BadRequestError("Unexpected body.")
            return await handle(request)

        return handle_signed

    async def _time(self, _request: Request) -> Response:
        """Answer with the wall clock's time (Kraken: Get server time)."""
        now = int(self.wall())
        # The year has two digits in Kraken's own example.
        text = datetime.fromtimestamp(now, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
        return JSONResponse({"error": [], "result": {"unixtime": now, "rfc1123": text}})

    async def _assets(self, request: Request) -> Response:
        check(request.query_params, ())
        return JSONResponse(self.revision.bare_list(self.portfolio.assets()))

    async def _either_path(self, request: Request) -> ASGIApp:
        # Which of the two paths exists depends on the revision.
        if not request.url.path.endswith(f"/{self.revision.vault_balance}"):
            return answers.unknown_method()
        return await self._signed(self._vault_balance)(request)

    async def _organizations(self, request: Request) -> ASGIApp:
        return await self._mood("organizations", request) or self._organizations_list(request)

    async def _vaults(self, request: Request) -> ASGIApp:
        return await self._mood("vaults", request) or self._vaults_page(request)

    async def _organization(self, request: Request) -> ASGIApp:
        organization = self._written(request, request.path_params["org_id"])
        return await self._mood(organization.id, request) or self._organization_balance(
            organization.id, request.query_params
        )

    async def _vault(self, request: Request) -> ASGIApp:
        vault = self._named_vault(request)
        return await self._mood(vault.id, request) or self._vault_balances(
            vault.id, request.query_params
        )

    async def _vault_balance(self, request: Request) -> ASGIApp:
        vault = self._named_vault(request)
        return await self._mood(vault.id, request) or self._vault_worth(vault, request.query_params)

    async def _tasks(self, request: Request) -> ASGIApp:
        return await self._mood("tasks", request) or self._tasks_page(request)

    async def _whitelist(self, request: Request) -> ASGIApp:
        vault = self._named_vault(request)
        return await self._mood(f"whitelist {vault.id}", request) or self._whitelist_of(
            vault, request.query_params
        )

    async def _mood(self, target_id: str, request: Request) -> ASGIApp | None:
        return await self.moods.get(target_id, self.default_mood)(request)

    def _named_vault(self, request: Request) -> Vault:
        """Return the vault in the path; one that the caller may not see does not exist for it."""
        return self._seen(request, self.portfolio.vault(request.path_params["vault_id"]))

    def _written(self, request: Request, text: str) -> Organization:
        """Return the organization with this id, if the id is in an accepted form."""
        organization = self._seen(request, self.portfolio.organization(text))
        forms = {"spaced": organization.id, "compact": compact(organization.id)}
        if text not in (forms.values() if self.id_form == "either" else (forms[self.id_form],)):
            raise UnknownIdError(text)
        return organization

    def _seen(self, request: Request, found: Owned) -> Owned:
        if not self._sees(request, found.id):
            raise UnknownIdError(found.id)
        return found

    def _sees(self, request: Request, id_: str) -> bool:
        scope = self.scopes.get(request.headers["api-key"])
        return scope is None or id_ in scope

    def _organizations_list(self, request: Request) -> Response:
        check(request.query_params, ())
        rows = [
            (
                compact(organization.id) if self.id_form == "compact" else organization.id,
                organization.name,
                organization.status,
            )
            for organization in self.portfolio.organizations
            if self._sees(request, organization.id)
        ]
        return JSONResponse(self.revision.organizations(rows))

    def _vaults_page(self, request: Request) -> Response:
        query = request.query_params
        check(query, {*self.revision.vaults, "limit", "offset"})
        limit, offset = page_range(query)
        now = self.wall()
        vaults = [
            vault
            for vault in self._asked_organization(request).vaults
            if vault.is_listed(now) and self._sees(request, vault.id)
        ]
        rows = [vault.listed(now) for vault in vaults[offset : offset + limit]]
        return JSONResponse(self.revision.vaults_page(rows, len(vaults)))

    def _asked_organization(self, request: Request) -> Organization:
        """Return the organization that the query names, else the caller's own: the first that it sees."""
        if (asked := request.query_params.get(self.revision.organization)) is not None:
            return self._written(request, asked)
        for organization in self.portfolio.organizations:
            if self._sees(request, organization.id):
                return organization
        raise UnknownIdError

    def _organization_balance(self, organization_id: str, query: QueryParams) -> Response:
        check(query, {"quote_asset"})
        return JSONResponse(self.portfolio.organization_balance(organization_id, self.wall()))

    def _vault_balances(self, vault_id: str, query: QueryParams) -> Response:
        check(query, self.revision.assets)
        rounded = self.revision.rounding and query.get("full_precision") != "true"
        rows = self.portfolio.vault_rows(vault_id, self.wall(), full_precision=not rounded)
        return JSONResponse(self.revision.vault_rows(rows))

    def _vault_worth(self, vault: Vault, query: QueryParams) -> Response:
        check(query, {"quote_asset"})
        if self.revision.quote_is_required and "quote_asset" not in query:
            raise BadRequestError("Missing quote_asset parameter.")
        return JSONResponse(self.revision.balance(vault.listed(self.wall())))

    def _tasks_page(self, request: Request) -> Response:
        query = request.query_params
        check(query, {self.revision.organization, "limit", "offset"})
        limit, offset = page_range(query)
        now = self.wall()
        tasks = self.tasks(self._asked_organization(request), now)
        rows = [
            task.row(now, rfc3339=self.revision.rfc3339) for task in tasks[offset : offset + limit]
        ]
        return JSONResponse({"result": rows, "total": len(tasks)})

    def _whitelist_of(self, vault: Vault, query: QueryParams) -> Response:
        check(query, {"asset", "asset_class"})
        rows = [
            row
            for row in self.whitelist(vault, self.wall())
            if all(row[name] == asked for name, asked in query.items())
        ]
        return JSONResponse(self.revision.bare_list(rows))


_REFUSALS: Mapping[Refusal, Response] = {
    Refusal.INVALID_KEY: answers.problem(401, "InvalidKey"),
    # Not documented: refused like a key without any rights.
    Refusal.ADDRESS_NOT_ALLOWED: answers.permission_denied(),
    Refusal.INVALID_SIGNATURE: answers.problem(401, "InvalidSignature"),
    Refusal.INVALID_OTP: answers.problem(401, "InvalidOtp"),
    Refusal.INVALID_NONCE: answers.legacy("EAPI:Invalid nonce"),
}


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _target(scope: Scope) -> bytes:
    # Undecoded: Kraken signs what was sent, and %20 is not a space.
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


async def _permission_denied(_request: Request, _error: Exception) -> Response:
    return answers.permission_denied()


async def _bad_request(_request: Request, error: Exception) -> Response:
    return answers.bad_request(str(error))


async def _unknown_method(_request: Request, _error: Exception) -> Response:
    return answers.unknown_method()
