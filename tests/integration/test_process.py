"""The exporter as a process beside a simulated API: how it starts, runs, logs and stops."""

import shutil
import signal
from base64 import b64encode
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

import exporter as package
from exporter.simulator import moods
from exporter.simulator.server import SimulatorThread
from tests.exporting import configuration, simulator, write
from tests.logfmt import read_line
from tests.processes import Running, command_after, run, running
from tests.simulator.calling import ORGANIZATION, VAULT
from tests.waiting import until

UNREADABLE = moods.body(b"<html>", "text/html")
"""An answer that fails a poll and lets the next one come when it is due."""


def sample(exporter: Running, name: str, **labels: str) -> float | None:
    """Return the value of one series, None if it is not there."""
    for family in read_text(exporter.get("/metrics").text):
        for found in family.samples:
            if found.name == name and found.labels.items() >= labels.items():
                return found.value
    return None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_time_and_counts_as_success(
    number: signal.Signals, tmp_path: Path
) -> None:
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        with running(directory=tmp_path) as exporter:
            exporter.wait_for("target_up")
            assert exporter.stop(number) == 0
    assert [event["event"] for event in exporter.events()][-1] == "stopped"
    assert exporter.stdout == ""


def test_a_request_under_way_and_an_open_connection_do_not_hold_up_the_stop(tmp_path: Path) -> None:
    hanging = simulator(default_mood=moods.slow(3600))
    with SimulatorThread(hanging.app) as base_url:
        write(tmp_path, configuration(base_url))
        with (
            running(directory=tmp_path) as exporter,
            httpx.Client(trust_env=False, verify=False) as client,
        ):
            client.get(exporter.wait_for("started")["metrics"])
            until(lambda: hanging.guard.arrivals)
            assert exporter.stop(signal.SIGTERM) == 0
    assert "Traceback" not in exporter.stderr


def test_it_serves_before_the_first_answer_and_whatever_the_api_does(tmp_path: Path) -> None:
    with SimulatorThread(simulator(default_mood=moods.slow(3600)).app) as base_url:
        write(tmp_path, configuration(base_url))
        with running(directory=tmp_path) as exporter:
            until(lambda: exporter.get("/-/ready").status_code == 200)
            assert exporter.get("/-/healthy").status_code == 200
            assert sample(exporter, "kraken_custody_target_stale", vault=VAULT.name) == 0.0
            assert sample(exporter, "kraken_custody_target_up", vault=VAULT.name) is None


def test_an_upgrade_that_replaces_its_files_breaks_no_page_of_a_running_process(
    tmp_path: Path,
) -> None:
    copy = shutil.copytree(Path(package.__file__).parent, tmp_path / "exporter")
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        with running(directory=tmp_path, command=command_after("")) as exporter:
            exporter.wait_for("target_up")
            shutil.rmtree(copy)
            pages = (
                *("/", "/events", "/help", f"/vaults/{VAULT.id}", "/metrics"),
                *("/runbooks", "/runbooks/KrakenCustodyTargetFailing"),
                *("/static/pages.css", "/static/targets.schema.json"),
                *("/api/v1/targets", "/api/v1/balances", "/api/v1/events"),
            )
            failed = [page for page in pages if exporter.get(page).status_code != 200]
    assert failed == []
    assert "Traceback" not in exporter.stderr


def test_any_number_of_scrapes_causes_no_request_to_the_api(tmp_path: Path) -> None:
    simulated = simulator()
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url, interval="1h"))
        with running(directory=tmp_path) as exporter:
            until(lambda: len(exporter.events("target_up")) == 12)
            for path in ("/metrics", "/", "/-/healthy", "/-/ready") * 10:
                assert exporter.get(path).status_code == 200
    assert simulated.guard.arrivals == 12


def test_many_failed_polls_are_one_event_and_so_is_their_end(tmp_path: Path) -> None:
    simulated = simulator()
    simulated.moods[VAULT.id] = UNREADABLE
    failed = {"endpoint": "vault_asset_balances", "status": "200", "type": "response/invalid"}
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url, interval="50ms"))
        with running(directory=tmp_path) as exporter:
            until(lambda: (sample(exporter, "kraken_custody_api_errors_total", **failed) or 0) >= 5)
            assert sample(exporter, "kraken_custody_target_up", vault=VAULT.name) == 0.0
            assert sample(exporter, "kraken_custody_target_error", vault=VAULT.name) == 1.0
            del simulated.moods[VAULT.id]
            recovered = exporter.wait_for("target_recovered")
            assert sample(exporter, "kraken_custody_target_up", vault=VAULT.name) == 1.0
            assert sample(exporter, "kraken_custody_target_error", vault=VAULT.name) is None
            assert exporter.stop(signal.SIGTERM) == 0
    (failing,) = exporter.events("target_failing")
    assert (failing["vault"], failing["type"]) == (VAULT.name, "response/invalid")
    assert recovered["vault"] == VAULT.name
    assert recovered["failed_polls"] >= 5
    assert exporter.events("target_recovered") == [recovered]


def test_balances_that_become_stale_are_withdrawn_and_come_back(tmp_path: Path) -> None:
    simulated = simulator()
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url, interval="50ms", stale_after="500ms"))
        with running(directory=tmp_path) as exporter:
            until(lambda: len(exporter.events("target_up")) == 12)
            simulated.moods[VAULT.id] = UNREADABLE
            stale = "kraken_custody_target_stale"
            until(lambda: sample(exporter, stale, vault=VAULT.name) == 1.0)
            assert sample(exporter, "kraken_custody_vault_balance", vault=VAULT.name) is None
            del simulated.moods[VAULT.id]
            until(lambda: sample(exporter, stale, vault=VAULT.name) == 0.0)
            until(lambda: sample(exporter, "kraken_custody_vault_balance", vault=VAULT.name))
            # On a busy machine an organization's total, which has no vault, may have become too old as well.
            assert VAULT.name in {event.get("vault") for event in exporter.events("target_stale")}


@pytest.mark.parametrize("level", ["debug", "info"])
def test_the_log_is_logfmt_line_by_line(level: str, tmp_path: Path) -> None:
    denied = simulator(
        moods={VAULT.id: moods.problem(403, "PermissionDenied", {"message": 'a "b" = c\n'})}
    )
    with SimulatorThread(denied.app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run("--once", "--log.level", level, directory=tmp_path)
    events = [read_line(line) for line in done.stderr.splitlines()]
    assert all(list(event)[:3] == ["ts", "level", "event"] for event in events)
    (failing,) = (event for event in events if event["event"] == "target_failing")
    del failing["ts"]
    assert failing == {
        "level": "warn",
        "event": "target_failing",
        "kind": "vault",
        "org": ORGANIZATION.name,
        "vault": VAULT.name,
        "credential": "treasury",
        "type": "PermissionDenied",
        "status": "403",
        "message": 'a "b" = c',
    }
    assert any(event["level"] == "debug" for event in events) == (level == "debug")


def test_at_level_warn_the_log_has_only_problems(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run("--once", "--log.level", "error", directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


API_KEY = "MARKER-api-key"
API_SECRET = b64encode(b"MARKER-api-secret").decode()
OTP = "MARKER-otp"
SECRETS = (API_KEY, API_SECRET, "MARKER", OTP)


@pytest.mark.parametrize("format_", ["json", "logfmt"])
def test_no_secret_is_ever_shown(format_: str, tmp_path: Path) -> None:
    """Not even if the API quotes a key that it refuses."""
    echo = f"key {API_KEY} with secret {API_SECRET} and password {OTP} is unknown"
    simulated = simulator(api_key=API_KEY, api_secret=API_SECRET, otp=OTP)
    # The last of the portfolio, so that others were read with the key before.
    last = simulated.portfolio.organizations[-1].vaults[-1]
    refusal: dict[str, object] = {"message": echo, "core_error": echo}
    simulated.moods[last.id] = moods.problem(401, f"InvalidKey {API_KEY}", refusal)
    simulated.moods[VAULT.id] = moods.legacy(f"EGeneral:{echo}")
    credential = {"api_key_file": "key", "api_secret_file": "secret", "otp_file": "otp"}
    for name, secret in (("key", API_KEY), ("secret", API_SECRET), ("otp", OTP)):
        (tmp_path / name).write_text(secret)
    flags = ("--log.level", "debug", "--log.format", format_)
    with SimulatorThread(simulated.app) as base_url:
        write(tmp_path, configuration(base_url, credential=credential))
        once = run("--once", *flags, directory=tmp_path)
        with running("--log.level", "debug", directory=tmp_path) as exporter:
            exporter.wait_for("polling_paused")
            pages = [
                exporter.get(path).text for path in ("/metrics", "/", "/-/healthy", "/-/ready")
            ]
            assert exporter.stop(signal.SIGTERM) == 0
    assert once.returncode == 1
    assert simulated.guard.refusals == {}, "the secrets were used"
    shown = {
        "stdout of --once": once.stdout,
        "stderr of --once": once.stderr,
        "stdout": exporter.stdout,
        "stderr": exporter.stderr,
        "pages": "".join(pages),
    }
    assert [
        (place, secret) for secret in SECRETS for place in shown if secret in shown[place]
    ] == []
    assert [place for place in shown if "<secret>" in shown[place]] == [
        "stdout of --once",
        "stderr of --once",
        "stderr",
        "pages",
    ]
