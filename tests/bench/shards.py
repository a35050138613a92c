"""5,000 vaults in shards, each with its own key and address: the age of balances, and how much budget is used.

Simulated in virtual time: the API answers after 50 to 150 ms, lists 100 vaults a page, and counts requests as
documented.
"""

import asyncio
import json
import random
import statistics
from collections import defaultdict, deque
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import httpx
import yaml
from msgspec.structs import replace

from exporter.assembly import Exporter, World
from exporter.config import parse
from exporter.custody.transport import ON_SEND
from exporter.logs import configure
from exporter.shard import Shard
from exporter.simulator.portfolio import Portfolio, large_portfolio
from tests.bench.filled import API_SECRET, NOON
from tests.polling.world import VirtualLoop, now

VAULTS = 5_000
SHARDS = 13
REQUESTS, WINDOW_SECONDS = 200, 30.0
SHARES = (0.5, 1)
PAGE = 100
QUICK_SECONDS, SECONDS = 600.0, 3600.0
FASTEST, SLOWEST = 0.05, 0.15
"""Seconds until an answer."""
TOTAL = {"quote_asset": "USD", "balance": {"total": "1"}}


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    configure("error", "logfmt")
    seconds = QUICK_SECONDS if quick else SECONDS
    found = [_simulated(share, seconds) for share in SHARES]
    shares = " | ".join(f"share {share}" for share in SHARES)
    print(f"| {VAULTS:,} vaults in {SHARDS} shards, {seconds / 60:.0f} min | {shares} |")
    print(f"| --- {'| --- ' * len(SHARES)}|")
    for name in found[0]:
        print(f"| {name} | {' | '.join(measured[name] for measured in found)} |")


class Address(httpx.AsyncBaseTransport):
    """The API as seen from one address.

    sent: when requests were sent. most: maximum in any window, as they arrived. read_at: when each vault was read.
    """

    def __init__(self, portfolio: Portfolio, chance: random.Random) -> None:
        (self._organization,) = portfolio.organizations
        rows = portfolio.vault_rows(self._organization.vaults[0].id, NOON, full_precision=True)
        self._chance = chance
        self._rows = json.dumps(rows).encode()
        self._window: deque[float] = deque()
        self.sent: list[float] = []
        self.most = 0
        self.read_at: defaultdict[str, list[float]] = defaultdict(list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions[ON_SEND]()
        self.sent.append(now())
        takes = self._chance.uniform(FASTEST, SLOWEST)
        await asyncio.sleep(takes / 2)
        self._arrived()
        await asyncio.sleep(takes / 2)
        content = httpx.ByteStream(self._content(request.url))
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=content)

    def _arrived(self) -> None:
        self._window.append(now())
        while self._window[0] <= now() - WINDOW_SECONDS:
            self._window.popleft()
        self.most = max(self.most, len(self._window))

    def _content(self, url: httpx.URL) -> bytes:
        parts = url.path.split("/")
        if parts[-1] == "organizations":
            organization = self._organization
            return json.dumps([{"org_id": organization.id, "name": organization.name}]).encode()
        if parts[-1] == "vaults":
            start = int(url.params.get("offset", 0))
            vaults = self._organization.vaults
            some = [{"id": it.id, "name": it.name} for it in vaults[start : start + PAGE]]
            return json.dumps({"vaults": some, "total": len(vaults)}).encode()
        if "vaults" in parts:
            self.read_at[parts[parts.index("vaults") + 1]].append(now())
            return self._rows
        return json.dumps(TOTAL).encode()


def _simulated(share: float, seconds: float) -> Mapping[str, str]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_run(share, seconds))


async def _run(share: float, seconds: float) -> Mapping[str, str]:
    portfolio = large_portfolio(VAULTS, 1)
    chance = random.Random(share)
    addresses = [Address(portfolio, chance) for _ in range(SHARDS)]
    document = {
        "api": {"base_url": "http://127.0.0.1", "rate_limit": {"share": share}},
        "credentials": {"bench": {"api_key_env": "KEY_{shard}", "api_secret_env": "SECRET"}},
        "discovery": {},
    }
    environ = {
        "SECRET": API_SECRET,
        **{f"KEY_{number}": f"key-{number}" for number in range(SHARDS)},
    }
    exporters = []
    for number, address in enumerate(addresses):
        shard = Shard(number, SHARDS)
        text = yaml.safe_dump(document)
        settings = parse(text, directory=Path(), environ=environ, shard=shard)
        world = replace(
            World(transport=address, chance=chance.random),
            monotonic=now,
            boottime=now,
            wall=lambda: NOON + now(),
            wall_ns=lambda: int((NOON + now()) * 1e9),
        )
        exporters.append(Exporter(settings, world))
    polling = [asyncio.create_task(exporter.poller.run()) for exporter in exporters]
    await asyncio.sleep(seconds)
    for task in polling:
        task.cancel()
    await asyncio.wait(polling)
    failing = [state for it in exporters for state in it.store.states() if state.failure]
    assert not failing, failing[0]
    return _told(share, addresses, exporters, seconds)


def _told(
    share: float, addresses: list[Address], exporters: list[Exporter], seconds: float
) -> Mapping[str, str]:
    reads = [read_at for address in addresses for read_at in address.read_at.values()]
    first = [read_at[0] for read_at in reads]
    # Without the beginning, when all are due at once and are found first.
    ages = [later - earlier for read_at in reads for earlier, later in pairwise(read_at[1:])]
    vaults = [len(address.read_at) for address in addresses]
    rate = REQUESTS * share / WINDOW_SECONDS
    used = [len(address.sent) / (rate * seconds) for address in addresses]
    return {
        "vaults read": f"{len(reads):,}, each by one shard" if len(reads) == sum(vaults) else "?",
        "vaults of a shard": f"{min(vaults)} to {max(vaults)}",
        "planned refresh interval": _planned(exporters),
        "every vault read for the first time": f"within {max(first):.0f} s",
        "a vault is read every, median": f"{statistics.median(ages):.0f} s",
        "99 % of the time within": f"{statistics.quantiles(ages, n=100)[98]:.0f} s",
        "oldest balances": f"{max(ages):.0f} s",
        "budget used": f"{min(used):.1%} to {max(used):.1%}",
        "most requests of an address in any window": f"{max(it.most for it in addresses)} of {round(REQUESTS * share)}",
    }


def _planned(exporters: list[Exporter]) -> str:
    planned = [
        exporter.plan.refresh_interval(target)
        for exporter in exporters
        for target in exporter.plan.targets
        if target.kind == "vault"
    ]
    return f"{min(planned):.0f} to {max(planned):.0f} s"
