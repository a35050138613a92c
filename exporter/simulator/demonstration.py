"""`--demo`: runs the simulator on loopback and yields the settings that poll it."""

import base64
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import yaml

from exporter.config import Settings, parse
from exporter.logs import get_logger
from exporter.simulator.mishaps import demo_timetables, mishaps
from exporter.simulator.moods import calm
from exporter.simulator.portfolio import Organization, Portfolio, demo_portfolio, living_portfolio
from exporter.simulator.revisions import R3
from exporter.simulator.server import serve
from exporter.simulator.simulator import Simulator

log = get_logger()

SEED: Final = 2025
CREDENTIAL: Final = "demo"
THRESHOLDS: Final = {"hot-withdrawals": {"BTC": "2", "ETH": "20"}}
"""Some vaults' `min_available`, by name."""


@contextlib.asynccontextmanager
async def demonstration(*, is_calm: bool = False) -> AsyncIterator[Settings]:
    """Run the simulated API while the block runs, and yield the settings that an operator would write for it.

    is_calm: whether nothing goes wrong; otherwise there is an occasional failure.
    """
    portfolio = demo_portfolio(SEED)
    environ = {
        "DEMO_API_KEY": secrets.token_urlsafe(32),
        "DEMO_API_SECRET": base64.b64encode(secrets.token_bytes(64)).decode(),
    }
    simulator = Simulator(
        portfolio=living_portfolio(SEED),
        api_key=environ["DEMO_API_KEY"],
        api_secret=environ["DEMO_API_SECRET"],
        wall=time.time,
        monotonic=time.monotonic,
        # The revision with every field.
        revision=R3,
        default_mood=calm if is_calm else mishaps(demo_timetables(portfolio, SEED), time.time),
    )
    async with serve(simulator.app) as base_url:
        log.info("demo_api_started", url=base_url)
        document = yaml.safe_dump(_document(portfolio, base_url))
        yield parse(document, directory=Path(), environ=environ)


def _document(portfolio: Portfolio, base_url: str) -> dict[str, object]:
    """Return the configuration file that an operator of `portfolio` would write."""
    return {
        # No other program uses the simulator, so the whole budget is available.
        "api": {"base_url": base_url, "rate_limit": {"share": 1}},
        "polling": {"interval": "15s"},
        "credentials": {
            CREDENTIAL: {"api_key_env": "DEMO_API_KEY", "api_secret_env": "DEMO_API_SECRET"}
        },
        # Short, so that vaults that come and go are seen soon.
        "discovery": {"interval": "1m"},
        "collect": ["balances", "pending_tasks", "whitelist"],
        # Found vaults need no entry; these have thresholds.
        "organizations": [
            {"name": organization.name, "id": organization.id, "vaults": vaults}
            for organization in portfolio.organizations
            if (vaults := _with_thresholds(organization))
        ],
    }


def _with_thresholds(organization: Organization) -> list[dict[str, object]]:
    return [
        {"name": vault.name, "id": vault.id, "min_available": THRESHOLDS[vault.name]}
        for vault in organization.vaults
        if vault.name in THRESHOLDS
    ]
