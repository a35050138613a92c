"""`--probe` as a process: what is printed where, and the exit status."""

import asyncio
import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from exporter.probe.contact import FirstContact
from exporter.probe.driver import Means
from exporter.probe.report import json_report
from exporter.simulator.demonstration import demonstration
from exporter.simulator.server import SimulatorThread
from exporter.simulator.situations import SITUATIONS
from tests.exporting import configuration, simulator, write
from tests.probe.contacting import Time, contact_in
from tests.processes import COMMAND, environment, run
from tests.waiting import until


def test_a_refused_key_ends_with_1_and_a_table_on_stdout(tmp_path: Path) -> None:
    simulated = simulator(wall=time.time)
    SITUATIONS["wrong_secret"](simulated)
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run("--probe", directory=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "key and signature  failed   HTTP 401 InvalidSignature" in done.stdout
    assert "\nDoes not work: key and signature.\nFirst: Compare key and secret" in done.stdout
    assert simulated.guard.arrivals == 2


def test_json_is_one_document_on_stdout(tmp_path: Path) -> None:
    simulated = simulator(wall=time.time)
    SITUATIONS["wrong_key"](simulated)
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run("--probe", "--log.format=json", directory=tmp_path)
    document = json.loads(done.stdout)
    assert (done.returncode, document["succeeded"]) == (1, False)
    assert [step["cause"] for step in document["steps"] if step["cause"]] == ["key_wrong"]


def test_an_api_that_is_not_there_ends_with_1_and_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    write(tmp_path, configuration(f"http://127.0.0.1:{port}"))
    done = run("--probe", directory=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "Connection refused" in done.stdout
    assert "Cannot connect to 127.0.0.1." in done.stdout


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("HTTPS_PROXY", "HTTPS_PROXY in the environment: is not a proxy address"),
        ("SSL_CERT_FILE", "SSL_CERT_FILE (:) in the environment"),
    ],
)
def test_an_environment_that_prevents_connections_is_bad_configuration(
    variable: str, message: str, tmp_path: Path
) -> None:
    write(tmp_path, configuration("https://api.example"))
    done = run("--probe", directory=tmp_path, environ={variable: ":"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)


def test_a_signal_ends_it_with_1(tmp_path: Path) -> None:
    simulated = simulator(wall=time.time)
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url))
        process = subprocess.Popen(
            [*COMMAND, "--probe", "--log.level=error"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            until(lambda: simulated.guard.arrivals > 0)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (1, b"", b"")


def test_the_demo_shows_what_a_good_first_contact_looks_like() -> None:
    """Over a real socket, in virtual time."""
    clock = Time()

    async def contact() -> str:
        async with demonstration(is_calm=True) as settings:
            means = Means(monotonic=clock, boottime=clock, sleep=clock.sleep)
            made = await FirstContact(settings, Path(), means).make()
            assert made.succeeded
            return json_report(made)

    steps = json.loads(asyncio.run(contact()))["steps"]
    assert {step["verdict"] for step in steps} <= {"ok", "skipped"}
    assert len(steps) >= 12


def test_the_suggested_file_passes_a_check(tmp_path: Path) -> None:
    text = contact_in("compact_ids").contact.suggestion
    (tmp_path / "config.yaml").write_text(text)
    done = run("--config.check", directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("targets  12: 2 organizations, 10 vaults\n")
    assert yaml.safe_load(text)["api"]["organization_id_format"] == "compact"
