"""Servers that all expose the same invented balances: this exporter, and prometheus-client in two ways.

`python -m tests.bench.filled KIND SERIES PORT` serves on loopback until it is stopped. KIND is a key of SERVERS.
"""

import argparse
import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from exporter.assembly import Exporter, World
from exporter.config import Settings, parse
from exporter.custody.document import parse_json
from exporter.resources.target import Target
from exporter.resources.vault_balances import BALANCES, VaultBalances
from exporter.simulator.portfolio import Portfolio, large_portfolio
from exporter.state.state import TargetState
from exporter.web.address import ListenAddress
from exporter.web.server import serving
from exporter.web.site import Site
from tests.resources.answers import exposed, vault_balances

ASSETS = 50
SERIES_OF_A_VAULT = 550
CHANGE_SECONDS = 0.002
"""Often enough that no two scrapes see the same state."""
NOON = 1_790_000_000.0
NOWHERE = "http://127.0.0.1:9"
API_KEY, API_SECRET = "bench", "YmVuY2g="


def portfolio_of(series: int) -> Portfolio:
    """Return invented vaults of ASSETS assets each, with about `series` series in total."""
    return large_portfolio(max(1, round(series / SERIES_OF_A_VAULT)), ASSETS)


def settings_for(portfolio: Portfolio, base_url: str, interval: str = "1m") -> Settings:
    """Return settings that poll all vaults of `portfolio`, with all of the documented budget."""
    document, environ = settings_document(portfolio, base_url, interval)
    return parse(yaml.safe_dump(document), directory=Path(), environ=environ)


def settings_document(
    portfolio: Portfolio, base_url: str, interval: str, name: str = "acme-treasury"
) -> tuple[Mapping[str, object], Mapping[str, str]]:
    """Return those settings as a configuration file, and the environment that has its secrets."""
    (organization,) = portfolio.organizations
    document = {
        "api": {"base_url": base_url, "rate_limit": {"share": 1}},
        "polling": {"interval": interval, "stale_after": "30d", "max_series": 100_000_000},
        "credentials": {"bench": {"api_key_env": "KEY", "api_secret_env": "SECRET"}},
        "organizations": [
            {
                "name": name,
                "id": organization.id,
                "interval": "30d",
                "vaults": [{"name": vault.name, "id": vault.id} for vault in organization.vaults],
            }
        ],
    }
    return document, {"KEY": API_KEY, "SECRET": API_SECRET}


def filled_exporter(portfolio: Portfolio, settings: Settings) -> Exporter:
    """Return an exporter, not yet polling, whose store holds an answer for every vault."""
    exporter = Exporter(settings, World())
    for target, answer in _answers(portfolio, exporter.plan.targets):
        now = World().moment()
        balances = exposed(target, answer)
        exporter.store.put(
            TargetState(target, balances, read_at=now.boottime, last_success=now.wall)
        )
    return exporter


def _answers(
    portfolio: Portfolio, targets: Iterable[Target]
) -> Iterator[tuple[Target, VaultBalances]]:
    for target in targets:
        if target.kind == "vault":
            rows = portfolio.vault_rows(target.id, NOON, full_precision=True)
            yield target, vault_balances(parse_json(json.dumps(rows).encode()))


def _samples(
    portfolio: Portfolio,
) -> Iterator[tuple[str, str, list[str], list[tuple[list[str], float]]]]:
    """Return name, help, label names and samples of each balance metric, as plain values."""
    settings = settings_for(portfolio, NOWHERE)
    targets = Exporter(settings, World()).plan.targets
    answers = list(_answers(portfolio, targets))
    for it in BALANCES:
        metric = it.metric
        samples = []
        for target, answer in answers:
            for row in answer.rows:
                amount = getattr(row, metric.source)
                if amount is not None:
                    labels = [
                        target.organization,
                        target.vault,
                        target.id,
                        row.asset,
                        row.asset_class,
                    ]
                    labels += [answer.quote_asset] * (len(metric.labels) - len(labels))
                    samples.append((labels, float(amount)))
        yield metric.name, metric.help, list(metric.labels), samples


async def _serve_exporter(series: int, port: int) -> None:
    exporter = _filled_exporter(series)
    site = Site(exporter, "/metrics")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with ListenAddress("127.0.0.1", port).listen() as listener:
        async with serving(site.app(), listener):
            while not stop.is_set():
                exporter.store.put(next(iter(exporter.store.states())))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHANGE_SECONDS):
                        await stop.wait()


def _filled_exporter(series: int) -> Exporter:
    portfolio = portfolio_of(series)
    return filled_exporter(portfolio, settings_for(portfolio, NOWHERE))


def _serve_gauges(series: int, port: int) -> None:
    registry = CollectorRegistry()
    for name, help_, label_names, samples in _samples(portfolio_of(series)):
        gauge = Gauge(name, help_, label_names, registry=registry)
        for labels, value in samples:
            gauge.labels(*labels).set(value)
    _serve_registry(registry, port)


def _serve_collector(series: int, port: int) -> None:
    registry = CollectorRegistry()
    registry.register(_Balances(list(_samples(portfolio_of(series)))))
    _serve_registry(registry, port)


class _Balances(Collector):
    """Makes new families at each scrape, as the guidelines for exporters recommend."""

    def __init__(
        self, families: list[tuple[str, str, list[str], list[tuple[list[str], float]]]]
    ) -> None:
        self._families = families

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, help_, label_names, samples in self._families:
            family = GaugeMetricFamily(name, help_, labels=label_names)
            for labels, value in samples:
                family.add_metric(labels, value)
            yield family

    def describe(self) -> list[GaugeMetricFamily]:
        return []


def _serve_registry(registry: CollectorRegistry, port: int) -> None:
    _, thread = start_http_server(port, "127.0.0.1", registry)
    thread.join()


SERVERS: dict[str, Callable[[int, int], None]] = {
    "exporter": lambda series, port: asyncio.run(_serve_exporter(series, port)),
    "gauges": _serve_gauges,
    "collector": _serve_collector,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=SERVERS)
    parser.add_argument("series", type=int)
    parser.add_argument("port", type=int)
    flags = parser.parse_args()
    SERVERS[flags.kind](flags.series, flags.port)
