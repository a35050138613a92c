"""Configurations for an exporter of the simulator's portfolio, and one that has polled everything once."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from exporter.assembly import Exporter, World
from exporter.config import Settings, parse
from exporter.reload import Reloader
from exporter.simulator.portfolio import Portfolio
from exporter.simulator.revisions import R1, R3
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from exporter.web.access.file import WebConfigFile
from tests.custody.asking import trust_nobody
from tests.simulator.calling import API_KEY, API_SECRET, PORTFOLIO, make_simulator

ENVIRON = {
    "SIMULATOR_KEY": API_KEY,
    "SIMULATOR_SECRET": API_SECRET,
    "OTHER_KEY": "unknown-to-the-simulator",
}
NO_LIMIT = {"requests": 100_000, "window": "1s", "share": 1}
"""A budget that does not slow a test down."""


TOLERANT = replace(R3, assets=R1.assets | R3.assets)
"""A revision that refuses no parameter, so that each target takes one request from the start."""


def simulator(**options: Any) -> Simulator:
    """Return a simulator with every field, whose clocks are stopped and which has no rate limit."""
    return make_simulator(**{"revision": TOLERANT, "limit": 10**9} | options)


def configuration(
    base_url: str,
    *,
    portfolio: Portfolio = PORTFOLIO,
    credential: dict[str, Any] | None = None,
    discovery: dict[str, Any] | None = None,
    collect: Sequence[str] = ("balances",),
    **polling: Any,
) -> dict[str, Any]:
    """Return the configuration of an exporter of all of `portfolio`."""
    sources = {"api_key_env": "SIMULATOR_KEY", "api_secret_env": "SIMULATOR_SECRET"}
    return {
        "api": {"base_url": base_url, "rate_limit": NO_LIMIT},
        "polling": polling,
        "credentials": {"treasury": credential or sources},
        "discovery": discovery,
        "collect": list(collect),
        "organizations": [
            {
                "name": organization.name,
                "id": organization.id,
                "vaults": [
                    {"name": vault.name, "id": vault.id, "min_available": {"BTC": "0.5"}}
                    for vault in organization.vaults
                ],
            }
            for organization in portfolio.organizations
        ],
    }


def write(directory: Path, document: dict[str, Any]) -> Path:
    """Write a configuration file and return its path."""
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def exporter_of(
    base_url: str,
    world: World | None = None,
    portfolio: Portfolio = PORTFOLIO,
    **options: Any,
) -> Exporter:
    """Return an exporter of the simulator at `base_url` that is not running yet. options: of `configuration`."""
    text = yaml.safe_dump(configuration(base_url, portfolio=portfolio, **options))
    return Exporter(
        parse(text, directory=Path(), environ=ENVIRON), world or World(trust=trust_nobody)
    )


def polled(simulated: Simulator, **options: Any) -> Exporter:
    """Return an exporter of `simulated` that has polled every target once. options: of `configuration`."""
    with SimulatorThread(simulated.app) as base_url:
        exporter = exporter_of(base_url, **options)
        asyncio.run(exporter.poller.run_once(lambda _polled, _targets: None))
    return exporter


def reloader_of(
    exporter: Exporter,
    load: Callable[[], Settings],
    web_config: WebConfigFile | None = None,
    asked: asyncio.Event | None = None,
) -> Reloader:
    """Return what reloads `exporter` from what `load` returns."""
    web_config = web_config or WebConfigFile(None)
    return Reloader(load, exporter.reload, exporter.loading, web_config, asked)


async def reloaded(reloader: Reloader) -> str | None:
    """Reload once, and return the mistakes, if any."""
    running = asyncio.create_task(reloader.run())
    problem = await reloader.reload()
    running.cancel()
    return problem
