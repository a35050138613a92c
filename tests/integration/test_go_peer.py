"""The Go exporter of `make bench ARGS=peer` does the same work: it exposes the same balances."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import Format
from exporter.resources.vault_balances import BALANCES
from exporter.simulator.server import SimulatorThread
from tests.bench.daemon import Server
from tests.bench.peer.go import HOW_TO_INSTALL, NotBuiltError, built, polling
from tests.exporting import configuration, polled, simulator
from tests.programs import optional_program
from tests.simulator.calling import API_KEY, API_SECRET
from tests.waiting import until

NAMES = {it.metric.name for it in BALANCES}
Sample = tuple[str, frozenset[tuple[str, str]], float]


def balances(page: str) -> set[Sample]:
    return {
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name in NAMES
    }


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    optional_program("go", how=HOW_TO_INSTALL)
    try:
        # Tests download nothing: this uses what the benchmark has downloaded.
        with built({**os.environ, "GOPROXY": "off", "GOTOOLCHAIN": "local"}) as built_program:
            yield built_program
    except NotBuiltError as error:
        pytest.skip(f"{error}; `make bench ARGS=peer` downloads what it needs")


def test_the_go_peer_exposes_the_same_balances(program: Path, tmp_path: Path) -> None:
    simulated = simulator()
    exposition = Exposition(polled(simulated).store, CollectorRegistry())
    ours = balances(b"".join(exposition.plain(Format.TEXT_0_0_4)).decode())
    assert {name for name, _, _ in ours} == NAMES
    file = tmp_path / "config.json"
    with SimulatorThread(simulated.app) as base_url:
        file.write_text(json.dumps(configuration(base_url)))
        with polling(program, file, {"KEY": API_KEY, "SECRET": API_SECRET}, pace="1ms") as peer:
            theirs = until(lambda: exposed_by(peer, len(ours)))
    assert theirs == ours


def exposed_by(peer: Server, number: int) -> set[Sample] | None:
    """Return its balances once it exposes this many."""
    try:
        found = balances("\n".join(peer.page()))
    except httpx.TransportError:
        return None
    return found if len(found) >= number else None
