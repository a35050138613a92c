"""What a Prometheus needs to evaluate the rules of deploy/prometheus for 500 vaults of 20 assets.

A real Prometheus scrapes an exporter whose balances change as if it read one vault after the other, at the documented
rate, and evaluates all groups. Windows of hours contain only the minutes that this takes, so they cost more in
production. `python -m tests.bench.rules PORT` serves that exporter.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from exporter.assembly import Exporter, World
from exporter.config import parse
from exporter.custody.document import parse_json
from exporter.logs import configure
from exporter.resources.resource import Exposable
from exporter.resources.target import Target
from exporter.simulator.portfolio import Portfolio, large_portfolio
from exporter.state.history import PollResult
from exporter.state.state import succeeded
from exporter.turns import at_once
from exporter.web.address import ListenAddress
from exporter.web.server import serving
from exporter.web.site import Site
from tests.bench import daemon
from tests.bench.filled import NOWHERE, settings_document
from tests.deploy.rules import RULE_FILES
from tests.prometheus import Prometheus
from tests.resources.answers import organization_balance, vault_balances

VAULTS: Final = 500
ASSETS: Final = 20
READ_EVERY_SECONDS: Final = 75.0
"""Seconds between two polls of a vault: the whole documented budget for this many."""
INTERVAL_SECONDS: Final = 30.0
"""Interval of scrapes and, for all groups, of evaluations."""
QUICK_SECONDS, SECONDS = 100.0, 180.0
DEAREST: Final = 10
READY_DEADLINE_SECONDS: Final = 120.0
# Their own interval is what they cost a minute for; a group that has none is evaluated every INTERVAL_SECONDS.
OWN_INTERVAL: Final = re.compile(r"\n    interval: (\d+)m\n")


class Rule(NamedTuple):
    """Where a rule is, as Prometheus lists it."""

    group: str
    number: int
    name: str


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print two tables: all groups, and the most expensive rules."""
    if not shutil.which("prometheus"):
        print("prometheus is not installed: apt-get install prometheus")
        return
    port = daemon.free_port()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        intervals = _configured(directory, port)
        exporter = subprocess.Popen([sys.executable, "-m", "tests.bench.rules", str(port)])
        try:
            _wait_for_a_page(daemon.Server(exporter, port))
            program = [
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
            ]
            with daemon.serving(program, {}) as server:
                _print(*_evaluated(server, QUICK_SECONDS if quick else SECONDS), intervals)
        finally:
            exporter.terminate()
            exporter.wait(30)


def _configured(directory: Path, port: int) -> Mapping[str, float]:
    """Write the configuration of Prometheus, and return each group's own evaluation interval in seconds."""
    intervals = {}
    for file in RULE_FILES:
        text = file.read_text("utf-8")
        for group in yaml.safe_load(text)["groups"]:
            minutes = group.get("interval", "0m").removesuffix("m")
            intervals[group["name"]] = 60.0 * int(minutes) or INTERVAL_SECONDS
        (directory / file.name).write_text(OWN_INTERVAL.sub("\n", text), "utf-8")
    document = {
        "global": {
            "scrape_interval": f"{INTERVAL_SECONDS:g}s",
            "scrape_timeout": f"{INTERVAL_SECONDS:g}s",
            "evaluation_interval": f"{INTERVAL_SECONDS:g}s",
        },
        "rule_files": [file.name for file in RULE_FILES],
        "scrape_configs": [
            {
                "job_name": "kraken-custody",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            }
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(document), "utf-8")
    return intervals


def _wait_for_a_page(server: daemon.Server) -> None:
    deadline = time.monotonic() + READY_DEADLINE_SECONDS
    while True:
        with contextlib.suppress(OSError):
            server.scrape(gzip=True)
            return
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the exporter did not come up")
        time.sleep(0.2)


class _Told(NamedTuple):
    """What Prometheus reports about itself at the end."""

    series: int
    memory: float


def _evaluated(
    server: daemon.Server, seconds: float
) -> tuple[Mapping[str, list[float]], Mapping[Rule, list[float]], _Told]:
    """Return the seconds of each evaluation of groups and rules, from the second one that has balances."""
    prometheus = Prometheus(f"http://127.0.0.1:{server.port}")
    groups = defaultdict[str, dict[str, float]](dict)
    rules = defaultdict[Rule, dict[str, float]](dict)
    ready_by = time.monotonic() + READY_DEADLINE_SECONDS
    while not prometheus.values("count(kraken_custody:vault_balance:read)"):
        if server.process.poll() is not None or time.monotonic() > ready_by:
            raise RuntimeError("prometheus has no balances")
        time.sleep(1)
    until = time.monotonic() + seconds
    seen = {group["name"]: group["lastEvaluation"] for group in _groups(prometheus)}
    while time.monotonic() < until:
        for group in _groups(prometheus):
            at = group["lastEvaluation"]
            if at == seen.get(group["name"]):
                continue
            groups[group["name"]][at] = group["evaluationTime"]
            for number, rule in enumerate(group["rules"]):
                if rule["health"] != "ok":
                    raise RuntimeError(f"{rule['name']}: {rule.get('lastError', rule['health'])}")
                place = Rule(group["name"], number, rule["name"])
                rules[place][rule["lastEvaluation"]] = rule["evaluationTime"]
        time.sleep(1)
    told = _Told(_series(prometheus), server.memory("VmHWM"))
    return (
        {name: [*times.values()] for name, times in groups.items()},
        {place: [*times.values()] for place, times in rules.items()},
        told,
    )


def _series(prometheus: Prometheus) -> int:
    deadline = time.monotonic() + READY_DEADLINE_SECONDS
    while not (status := prometheus.ask("/api/v1/status/tsdb")):
        if time.monotonic() > deadline:
            raise RuntimeError("prometheus does not say how many series it has")
    series: int = status["headStats"]["numSeries"]
    return series


def _groups(prometheus: Prometheus) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (prometheus.ask("/api/v1/rules") or {"groups": []})["groups"]
    return found


def _print(
    groups: Mapping[str, list[float]],
    rules: Mapping[Rule, list[float]],
    told: _Told,
    intervals: Mapping[str, float],
) -> None:
    minute, *_ = os.getloadavg()
    print(
        f"{VAULTS} vaults of {ASSETS} assets, {told.series:,} series with those of the rules; Prometheus takes "
        f"{told.memory:,.0f} MiB at most. The load of the machine is {minute:.1f}.\n"
    )
    print("| group | rules | every | evaluations | seconds, median | worst | seconds in a minute |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    in_all = 0.0
    for name, times in sorted(groups.items(), key=lambda it: -statistics.median(it[1])):
        size = sum(place.group == name for place in rules)
        median = statistics.median(times)
        in_a_minute = median * 60 / intervals[name]
        in_all += in_a_minute
        print(
            f"| {name.removeprefix('kraken_custody_')} | {size} | {intervals[name]:g} s | {len(times)} | "
            f"{median:.3f} | {max(times):.3f} | {in_a_minute:.3f} |"
        )
    print(f"| **all** | {len(rules)} | | | | | {in_all:.3f} |\n")
    print("| most expensive rules | every | seconds, median | worst | seconds in a minute |")
    print("| --- | --- | --- | --- | --- |")
    cost = {
        place: statistics.median(times) * 60 / intervals[place.group]
        for place, times in rules.items()
    }
    for place in sorted(cost, key=lambda place: -cost[place])[:DEAREST]:
        name = place.name.removeprefix("kraken_custody:").removeprefix("KrakenCustody")
        times = rules[place]
        print(
            f"| {name} | {intervals[place.group]:g} s | {statistics.median(times):.3f} | {max(times):.3f} | "
            f"{cost[place]:.3f} |"
        )


def _exporter(portfolio: Portfolio) -> Exporter:
    """Return an exporter of these vaults, each with a minimum for one asset."""
    document: Any
    document, environ = settings_document(portfolio, NOWHERE, "1m")
    for vault in document["organizations"][0]["vaults"]:
        vault["min_available"] = {"T0000": "0.5"}
    return Exporter(parse(yaml.safe_dump(document), directory=Path(), environ=environ), World())


def _read(exporter: Exporter, portfolio: Portfolio, target: Target) -> None:
    """Record a poll of a target."""
    now = World().moment()
    answer: Exposable
    if target.kind == "vault":
        rows = portfolio.vault_rows(target.id, now.wall, full_precision=True)
        answer = vault_balances(parse_json(json.dumps(rows).encode()))
    else:
        answer = organization_balance(portfolio.organization(target.id).balance(now.wall))
    exporter.store.put(
        succeeded(
            exporter.store[target],
            at_once(answer.expose(target, exporter.store.descriptions)),
            PollResult(now.wall, None, 0.1),
            read_at=now.boottime,
            refresh_interval=READ_EVERY_SECONDS,
        )
    )


async def _serve(port: int) -> None:
    configure("error", "logfmt")
    portfolio = large_portfolio(VAULTS, ASSETS)
    exporter = _exporter(portfolio)
    targets = exporter.plan.targets
    for target in targets:
        _read(exporter, portfolio, target)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with ListenAddress("127.0.0.1", port).listen() as listener:
        async with serving(Site(exporter, "/metrics").app(), listener):
            while not stop.is_set():
                for target in targets:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(READ_EVERY_SECONDS / len(targets)):
                            await stop.wait()
                    if stop.is_set():
                        break
                    _read(exporter, portfolio, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    asyncio.run(_serve(parser.parse_args().port))
