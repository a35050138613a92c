"""`POST /-/poll` of the running exporter."""

from pathlib import Path

import httpx

from exporter.simulator import moods
from exporter.simulator.server import SimulatorThread
from tests.exporting import configuration, simulator, write
from tests.processes import Running, running
from tests.simulator.calling import VAULT
from tests.waiting import until


def post(exporter: Running, query: str = "", **headers: str) -> httpx.Response:
    url = httpx.URL(exporter.wait_for("started")["page"]).join(f"/-/poll{query}")
    return httpx.post(url, headers=headers, trust_env=False, verify=False)


def test_a_target_that_backs_off_is_polled_at_once_on_demand(tmp_path: Path) -> None:
    simulated = simulator(moods={VAULT.id: moods.problem(403, "PermissionDenied")})
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url, interval="1h"))
        with running("--web.enable-lifecycle", directory=tmp_path) as exporter:
            exporter.wait_for("target_failing")
            simulated.moods.clear()
            answer = post(exporter, f"?target={VAULT.id}")
            assert answer.status_code == 200
            assert answer.text.startswith("Will be polled as soon as the budget allows: vault ")
            exporter.wait_for("target_recovered")
            assert post(exporter, f"?target={VAULT.id}").status_code == 429
            assert post(exporter, "?target=nonsense").status_code == 404


def test_a_page_of_another_origin_polls_nothing(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url, interval="1h"))
        with running("--web.enable-lifecycle", directory=tmp_path) as exporter:
            until(lambda: len(exporter.events("target_up")) > 1)
            forged = post(exporter, f"?target={VAULT.id}", origin="https://elsewhere.test")
            assert forged.status_code == 403
            assert not exporter.events("poll_requested")


def test_polling_over_http_needs_the_flag(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url, interval="1h"))
        with running(directory=tmp_path) as exporter:
            answer = post(exporter)
            assert answer.status_code == 403
            assert "--web.enable-lifecycle" in answer.text
