"""Reloading the running process: by signal, over HTTP, and what a bad file does not do."""

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.simulator.server import SimulatorThread
from tests.exporting import configuration, simulator, write
from tests.integration.test_process import sample
from tests.processes import Running, running
from tests.waiting import until

SUCCESSFUL = "kraken_custody_exporter_config_last_reload_successful"
TIMESTAMP = "kraken_custody_exporter_config_last_reload_success_timestamp_seconds"


def post(exporter: Running, path: str = "/-/reload") -> httpx.Response:
    started = exporter.wait_for("started")
    return httpx.post(httpx.URL(started["metrics"]).join(path), trust_env=False, verify=False)


def renamed(document: dict[str, Any], name: str) -> dict[str, Any]:
    organization, *others = document["organizations"]
    return {**document, "organizations": [{**organization, "name": name}, *others]}


def test_a_signal_reloads(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        document = configuration(base_url)
        write(tmp_path, document)
        with running(directory=tmp_path) as exporter:
            exporter.wait_for("target_up")
            write(tmp_path, renamed(document, "renamed"))
            exporter.process.send_signal(signal.SIGHUP)
            exporter.wait_for("reloaded")
            assert 'org="renamed"' in exporter.get("/metrics").text
            assert exporter.stop(signal.SIGTERM) == 0


def test_a_post_reloads_where_the_flag_allows_it(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        document = configuration(base_url)
        write(tmp_path, document)
        with running("--web.enable-lifecycle", directory=tmp_path) as exporter:
            exporter.wait_for("target_up")
            before = sample(exporter, TIMESTAMP)
            write(tmp_path, renamed(document, "renamed"))
            answer = post(exporter)
            assert (answer.status_code, answer.text) == (200, "Reloaded.\n")
            assert 'org="renamed"' in exporter.get("/metrics").text
            after = sample(exporter, TIMESTAMP)
            assert before is not None
            assert after is not None
            assert after > before


def test_a_bad_file_is_refused_with_all_its_mistakes_and_changes_nothing(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        document = configuration(base_url)
        write(tmp_path, document)
        with running("--web.enable-lifecycle", directory=tmp_path) as exporter:
            exporter.wait_for("target_up")
            before = sample(exporter, TIMESTAMP)
            write(tmp_path, {**renamed(document, "renamed"), "polling": {"interval": 5, "x": 1}})
            answer = post(exporter)
            assert answer.status_code == 500
            assert "polling.interval (line " in answer.text
            assert "): unknown key; known here: interval" in answer.text
            assert sample(exporter, SUCCESSFUL) == 0
            assert sample(exporter, TIMESTAMP) == before
            assert 'org="renamed"' not in exporter.get("/metrics").text
            told = exporter.get("/api/v1/targets").json()["data"]["exporter"]
            assert told["configFile"] == str(tmp_path / "config.yaml")
            assert "): unknown key; known here: interval" in told["lastLoadError"]
            assert "): unknown key; known here: interval" in exporter.get("/").text
            (failed,) = exporter.events("reload_failed")
            assert "polling.interval" in failed["problem"]
            polled = sample(
                exporter, "kraken_custody_api_requests_total", endpoint="vault_asset_balances"
            )
            assert polled is not None

            write(tmp_path, document)
            assert post(exporter).status_code == 200
            assert sample(exporter, SUCCESSFUL) == 1


def test_a_file_that_is_gone_is_refused_too(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        file = write(tmp_path, configuration(base_url))
        with running(directory=tmp_path) as exporter:
            exporter.wait_for("target_up")
            (file or tmp_path / "config.yaml").unlink()
            exporter.process.send_signal(signal.SIGHUP)
            exporter.wait_for("reload_failed")
            assert exporter.get("/-/healthy").status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_nothing_but_a_post_reloads(method: str, tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        with running("--web.enable-lifecycle", directory=tmp_path) as exporter:
            url = httpx.URL(exporter.wait_for("started")["metrics"]).join("/-/reload")
            assert httpx.request(method, url, trust_env=False, verify=False).status_code == 405
            assert not exporter.events("reloaded")


def test_reloading_over_http_needs_the_flag(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        with running(directory=tmp_path) as exporter:
            answer = post(exporter)
            assert answer.status_code == 403
            assert "--web.enable-lifecycle" in answer.text
            assert not exporter.events("reloaded")


def test_a_removed_organization_is_gone_with_the_answer_to_the_reload(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        document = configuration(base_url)
        write(tmp_path, document)
        with running("--web.enable-lifecycle", directory=tmp_path) as exporter:
            until(lambda: "kraken_custody_vault_balance{" in exporter.get("/metrics").text)
            other = {"id": "AAAA BBBB CCCC DDDD", "name": "another"}
            write(tmp_path, {**document, "organizations": [other]})
            assert post(exporter).status_code == 200
            text = exporter.get("/metrics").text
            assert "kraken_custody_vault_balance{" not in text
            assert 'org="another"' in text
