"""A caller that sends signed requests to the simulator, in process and without a network."""

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any

import httpx

from exporter.simulator.guard import signature
from exporter.simulator.portfolio import Portfolio, demo_portfolio
from exporter.simulator.simulator import Simulator

API_KEY = "demo-key"
# Published by Kraken in its guides; belongs to no account.
API_SECRET = (
    "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
)
NOON = 1_795_262_400.0
PORTFOLIO: Portfolio = demo_portfolio(seed=7)
ORGANIZATION = PORTFOLIO.organizations[0]
VAULT = ORGANIZATION.vaults[1]


class Clock:
    """A clock that is stopped until it is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def make_simulator(**options: Any) -> Simulator:
    defaults: dict[str, Any] = {
        "portfolio": PORTFOLIO,
        "api_key": API_KEY,
        "api_secret": API_SECRET,
        "wall": Clock(NOON),
        "monotonic": Clock(0.0),
    }
    return Simulator(**defaults | options)


class Caller:
    """Sends requests to one simulator, each with the next nonce."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.nonces = count(1)

    def headers(self, target: str) -> dict[str, str]:
        nonce = str(next(self.nonces))
        return {
            "api-key": API_KEY,
            "api-nonce": nonce,
            "api-sign": signature(API_SECRET, target.encode(), nonce),
        }

    async def aget(
        self,
        target: str,
        headers: Mapping[str, str | None] | None = None,
        *,
        method: str = "GET",
        content: bytes | None = None,
    ) -> httpx.Response:
        """Request `target`, signed unless headers are given; a header that is None is not sent."""
        transport = httpx.ASGITransport(self.simulator.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://custody") as client:
            request = client.build_request(method, target, content=content)
            for name, text in (headers or self.headers(target)).items():
                if text is None:
                    del request.headers[name]
                else:
                    request.headers[name] = text
            return await client.send(request)

    def get(
        self,
        target: str,
        headers: Mapping[str, str | None] | None = None,
        *,
        method: str = "GET",
        content: bytes | None = None,
    ) -> httpx.Response:
        return asyncio.run(self.aget(target, headers, method=method, content=content))


def vault_path(vault_id: str = VAULT.id) -> str:
    return f"/v0/insto/custody/vaults/{vault_id}/assets/balances"


def organization_path(organization_id: str = ORGANIZATION.id) -> str:
    return f"/v0/insto/custody/organizations/{organization_id.replace(' ', '%20')}/balances"
