"""How much of a budget is used, and whether it is ever exceeded: 400 vaults, a strict server, network jitter.

The server counts a request when it arrives, up to 150 ms after it was sent, in a sliding window. It refuses requests
above the limit, nonces that do not increase, and wrong signatures.
"""

import base64
import random
import tempfile
import time
from pathlib import Path

import yaml

from exporter.simulator.portfolio import large_portfolio
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from tests.bench.daemon import running

REQUESTS, WINDOW_SECONDS = 60, 6.0
VAULTS = 400
JITTER_SECONDS = 0.15
API_KEY = "bench"
API_SECRET = base64.b64encode(b"bench").decode()


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    seconds = 50 if quick else 240
    chance = random.Random(1)
    simulator = Simulator(
        portfolio=large_portfolio(VAULTS, 5),
        api_key=API_KEY,
        api_secret=API_SECRET,
        wall=time.time,
        monotonic=time.monotonic,
        limit=REQUESTS,
        window=WINDOW_SECONDS,
        arrival_delay=lambda: chance.uniform(0, JITTER_SECONDS),
    )
    guard = simulator.guard
    with (
        tempfile.TemporaryDirectory() as folder,
        SimulatorThread(simulator.app) as base_url,
        running("--config.file", str(_configuration(Path(folder), simulator, base_url))),
    ):
        while not guard.arrivals:
            time.sleep(0.01)
        first, began = guard.arrivals, time.monotonic()
        time.sleep(seconds)
        arrivals, elapsed = guard.arrivals - first, time.monotonic() - began
    polls = [guard.polls.get(f"/v0/insto/custody/vaults/{v.id}/assets/balances", 0)
             for o in simulator.portfolio.organizations for v in o.vaults]  # fmt: skip
    allowed = REQUESTS * elapsed / WINDOW_SECONDS
    rows = {
        "vaults": VAULTS,
        "server's limit": f"{REQUESTS} requests in any {WINDOW_SECONDS:g} s",
        "arrival jitter": f"0 to {JITTER_SECONDS * 1000:.0f} ms",
        "measured for": f"{elapsed:.0f} s",
        "requests": arrivals,
        "budget used": f"{arrivals / allowed:.1%}",
        "most in any window": guard.largest_window,
        "refused": sum(guard.refusals.values()),
        "most in flight": max(guard.largest_in_flight.values()),
        "polls of a vault": f"{min(polls)} to {max(polls)}",
    }
    print("| budget | |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def _configuration(folder: Path, simulator: Simulator, base_url: str) -> Path:
    (folder / "key").write_text(API_KEY)
    (folder / "secret").write_text(API_SECRET)
    (organization,) = simulator.portfolio.organizations
    file = folder / "config.yaml"
    document = {
        "api": {
            "base_url": base_url,
            "rate_limit": {"requests": REQUESTS, "window": f"{WINDOW_SECONDS:g}s", "share": 1},
        },
        # More than the budget allows, so that all of it is used.
        "polling": {"interval": "20s"},
        "credentials": {"bench": {"api_key_file": "key", "api_secret_file": "secret"}},
        "organizations": [
            {
                "id": organization.id,
                "interval": "1d",
                "vaults": [{"id": vault.id} for vault in organization.vaults],
            }
        ],
    }
    file.write_text(yaml.safe_dump(document))
    return file
