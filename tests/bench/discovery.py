"""How soon discovered vaults are found and read, and how much memory they take.

The first is measured in virtual time, in which a request takes 10 ms and everything else none, so that only the budget
limits it. The second is a daemon over HTTP without a rate limit, after each vault was read once.
"""

import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from exporter.logs import configure
from exporter.simulator.portfolio import large_portfolio
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from tests.bench.daemon import held_series, running
from tests.bench.filled import API_KEY, API_SECRET, NOON
from tests.bench.start import resident
from tests.polling.world import run, stage

REQUESTS, WINDOW_SECONDS = 200, 30.0
ASSETS: Final = 2
BALANCES: Final = "/assets/balances"
IN_FLIGHT: Final = 8
STEP_SECONDS: Final = 30.0


class Found(NamedTuple):
    """When something was found, in seconds from the first request, and after how many requests."""

    listed: float
    read: float
    requests: int


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the tables."""
    configure("error", "logfmt")
    print("| vaults | found after | first polled after | requests | budget used |")
    print("| --- | --- | --- | --- | --- |")
    for vaults in (500,) if quick else (500, 5_000):
        found = run(_found(vaults))
        allowed = REQUESTS * found.read / WINDOW_SECONDS
        print(
            f"| {vaults:,} | {found.listed:.0f} s | {found.read:.0f} s | {found.requests:,} "
            f"| {found.requests / allowed:.1%} |"
        )
    print("\n| vaults | series | memory | above an empty daemon, for each vault |")
    print("| --- | --- | --- | --- |")
    empty = resident()
    for vaults in (500, 2_000) if quick else (5_000, 20_000):
        memory, series = _held(vaults)
        each = (memory - empty) * 1024 / vaults
        print(f"| {vaults:,} | {series:,} | {memory:.0f} MiB | {each:.1f} KiB |")


async def _found(vaults: int) -> Found:
    """Discover everything in virtual time, with the whole budget."""
    played = stage(
        vaults=vaults,
        assets=1,
        api={"rate_limit": {"share": 1}},
        polling={"interval": "1d"},
        discovery={"interval": "1d"},
        organizations=[],
    )
    guard = played.simulator.guard
    while sum(path.endswith(BALANCES) for path in guard.polls) < vaults:
        await played.play(STEP_SECONDS)
    await played.stop()
    began = played.wire.sent[0][0]
    sent = [(moment - began, path) for moment, path in played.wire.sent]
    if sum(guard.refusals.values()):
        raise RuntimeError(f"the API refused requests: {guard.refusals}")
    last_page = max(moment for moment, path in sent if path.endswith("/vaults"))
    return Found(last_page, sent[-1][0], len(sent))


def _held(vaults: int) -> tuple[float, int]:
    """Let a daemon find and read a number of vaults; return its memory in MiB and its number of series."""
    simulator = Simulator(
        portfolio=large_portfolio(vaults, ASSETS),
        api_key=API_KEY,
        api_secret=API_SECRET,
        wall=lambda: NOON,
        monotonic=time.monotonic,
        limit=10**9,
    )
    # Several requests at a time, so that it does not take an hour; their nonces arrive in any order.
    simulator.guard.nonce_window = 10**15
    with tempfile.TemporaryDirectory() as folder, SimulatorThread(simulator.app) as base_url:
        (Path(folder) / "key").write_text(API_KEY)
        (Path(folder) / "secret").write_text(API_SECRET)
        file = Path(folder) / "config.yaml"
        document = {
            "api": {
                "base_url": base_url,
                "rate_limit": {"requests": 100_000, "window": "1s", "share": 1},
            },
            "polling": {"interval": "1d"},
            "credentials": {
                "bench": {
                    "api_key_file": "key",
                    "api_secret_file": "secret",
                    "max_in_flight": IN_FLIGHT,
                }
            },
            "discovery": {},
        }
        file.write_text(yaml.safe_dump(document))
        with running("--config.file", str(file)) as daemon:
            # As a list at once, because the simulator's thread keeps changing it.
            while sum(it.endswith(BALANCES) for it in list(simulator.guard.polls)) < vaults:
                time.sleep(1)  # Leaves the core to the daemon.
            for gzip in (False, True):
                daemon.scrape(gzip=gzip)
            return daemon.memory(), held_series(daemon.page())
