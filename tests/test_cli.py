"""The command line, as a process: what is printed where, and the exit status."""

import gc
import os
import platform
import pty
import re
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich
import yaml
from prometheus_client.parser import text_string_to_metric_families as read_text
from starlette.responses import JSONResponse

from exporter import __version__, cli
from exporter.cli import main
from exporter.signals import Signals
from exporter.simulator import moods
from exporter.simulator.server import SimulatorThread
from tests.exporting import configuration, simulator, write
from tests.processes import COMMAND, environment, run
from tests.simulator.calling import API_KEY, API_SECRET, ORGANIZATION, PORTFOLIO, VAULT
from tests.waiting import until

GOOD = """\
api: {{rate_limit: {{requests: 200, window: 30s, share: {share}}}}}
polling: {{interval: {interval}, stale_after: 5m}}
credentials:
  treasury: {{api_key_env: SIMULATOR_KEY, {secret}}}
organizations:
- name: acme
  id: ABCD EFGH IJKL MNOP
  interval: 120s
  vaults:
  - {{name: hot, id: {vault_id}, interval: 1m30s}}
  - {{name: cold, id: VBBBBBBBBBBBBA}}
"""


def good(
    *,
    share: str = "0.5",
    interval: str = "60s",
    secret: str = "api_secret_env: SIMULATOR_SECRET",
    vault_id: str = "VABCDEF234567A",
) -> str:
    return GOOD.format(share=share, interval=interval, secret=secret, vault_id=vault_id)


def test_version_names_the_program_its_revision_and_python(tmp_path: Path) -> None:
    done = run("--version", directory=tmp_path)
    pattern = (
        rf"kraken-custody-exporter {re.escape(__version__)} \(revision ([\w-]+), Python (.+)\)\n"
    )
    found = re.fullmatch(pattern, done.stdout)
    assert found
    assert found[2] == platform.python_version()
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_configuration_is_printed_as_it_is_shipped(tmp_path: Path) -> None:
    done = run("--config.example", directory=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, cli.CONFIG_EXAMPLE.read_text(), "")


def test_help_lists_every_flag_of_the_contract(tmp_path: Path) -> None:
    done = run("--help", directory=tmp_path)
    flags = (
        "--config.file",
        "--config.check",
        "--config.example",
        "--once",
        "--probe",
        "--demo",
        "--web.listen-address",
        "--web.allowed-host",
        "--web.telemetry-path",
        "--web.config.file",
        "--log.level",
        "--log.format",
        "--version",
    )
    assert [flag for flag in flags if f"\n  {flag}" not in done.stdout] == []
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_ends_on_bad_usage_without_a_traceback(tmp_path: Path) -> None:
    done = run("--no-such-flag", directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("error: unrecognized arguments: --no-such-flag\n")
    assert "Traceback" not in done.stderr


UNKNOWN_KEY = (f"{good()}loudness: 11\n", "loudness")


@pytest.mark.parametrize(
    ("flag", "text", "place"),
    [
        ("--config.check", "credentials: [", "line 1, column 15: a missing value"),
        (
            "--config.check",
            good(secret="api_secret_file: plain"),
            "credentials.treasury.api_secret_file",
        ),
        *(
            (flag, *UNKNOWN_KEY)
            for flag in ("--config.check", "--once", "--probe", "--log.level=info")
        ),
    ],
    ids=["broken YAML", "a secret", "a check", "once", "a probe", "the daemon"],
)
def test_a_bad_configuration_is_reported_in_one_message(
    flag: str, text: str, place: str, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("MARKER, which is no base64\n")
    file = tmp_path / "custody.yaml"
    file.write_text(text)
    done = run(flag, "--config.file", file, directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (message,) = done.stderr.splitlines()
    assert message.startswith(f"{file}: {place}")
    assert "MARKER" not in message


def test_every_mistake_of_a_configuration_is_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "custody.yaml"
    file.write_text(good(interval="60", vault_id="hot"))
    done = run("--config.check", "--config.file", file, directory=tmp_path)
    places = [line.split(": ")[1] for line in done.stderr.splitlines()]
    assert places == [
        "polling.interval (line 2, column 11)",
        'organizations[0].vaults[0].id (line 10, column 17, vault "hot")',
    ]


@pytest.mark.parametrize("flag", ["--config.check", "--web.listen-address=127.0.0.1:0"])
def test_the_mistakes_of_both_files_are_reported_at_once(flag: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(good(interval="60"))
    (tmp_path / "web.yaml").write_text("users: {}\n")
    done = run(flag, "--web.config.file", "web.yaml", directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    places = [line.split(": ")[:2] for line in done.stderr.splitlines()]
    assert places == [
        ["config.yaml", "polling.interval (line 2, column 11)"],
        ["web.yaml", "users (line 1, column 1)"],
    ]


def test_the_default_configuration_file_is_config_yaml(tmp_path: Path) -> None:
    done = run("--config.check", directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"config.yaml: no such file: check the path ({tmp_path.resolve()}/config.yaml), or create it: "
        "kraken-custody-exporter --config.example shows what belongs here\n"
    )


def check(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    (directory / "config.yaml").write_text(text)
    return run("--config.check", directory=directory)


def test_a_check_prints_the_polling_plan(tmp_path: Path) -> None:
    done = check(tmp_path, good())
    assert done.stdout == (
        "targets  3: 1 organization, 2 vaults\n"
        "demand   0.036 requests/s (1% of the budget)\n"
        "budget   3.300 requests/s (100 in any 30s)\n"
        "\n"
        "target          interval  refreshed every\n"
        "acme / (total)  2m        2m\n"
        "acme / hot      1m30s     1m30s\n"
        "acme / cold     1m        1m\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def checked_here(directory: Path, lease: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Check a configuration with a lease, without redis-py and outside of a pod."""
    file = directory / "config.yaml"
    file.write_text(f"{good()}\nlease: {lease}\n")
    monkeypatch.setenv("SIMULATOR_KEY", API_KEY)
    monkeypatch.setenv("SIMULATOR_SECRET", API_SECRET)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    return main(Signals(status=0, may_reload=False), ["--config.check", f"--config.file={file}"])


def test_a_check_refuses_a_lease_whose_library_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = "{kind: redis, redis: {url: redis://127.0.0.1:1}}"
    assert checked_here(tmp_path, lease, monkeypatch) == 2
    assert capsys.readouterr().err.startswith("lease.kind redis needs redis-py: pip install ")


def test_a_check_accepts_a_lease_of_kubernetes_outside_of_a_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked_here(tmp_path, "{kind: kubernetes}", monkeypatch) == 0
    assert not capsys.readouterr().err


def test_a_check_warns_of_what_the_plan_cannot_keep_but_passes(tmp_path: Path) -> None:
    done = check(tmp_path, good(share="0.01", interval="10m"))
    _, warnings = done.stdout.split("refreshed every\n")
    assert warnings == (
        "acme / (total)  2m        2m\n"
        "acme / hot      1m30s     1m30s\n"
        "acme / cold     10m       10m\n"
        "\n"
        "warning: 1 of 3 targets, such as acme / cold, are polled no more often than polling.stale_after (5m): "
        "their balances will be withdrawn between polls. Increase or remove it.\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_once_writes_the_exposition_and_nothing_else_to_stdout(tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run("--once", directory=tmp_path)
    assert done.returncode == 0
    families = {family.name: family for family in read_text(done.stdout)}
    up = families["kraken_custody_target_up"].samples
    assert [sample.value for sample in up] == [1.0] * 12
    held = families["kraken_custody_exporter_series"].samples[0].value
    balances = [family for name, family in families.items() if "balance" in name or "price" in name]
    thresholds = len(families["kraken_custody_vault_min_available_balance"].samples)
    assert sum(len(family.samples) for family in balances) - thresholds == held
    assert [line for line in done.stderr.splitlines() if not line.startswith("ts=")] == []


def test_once_exports_the_others_if_one_vault_fails_and_exits_with_1(
    tmp_path: Path,
) -> None:
    denied = {VAULT.id: moods.problem(403, "PermissionDenied")}
    with SimulatorThread(simulator(moods=denied).app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run("--once", directory=tmp_path)
    assert done.returncode == 1
    families = {family.name: family for family in read_text(done.stdout)}
    up = {
        sample.labels["vault"]: sample.value
        for sample in families["kraken_custody_target_up"].samples
    }
    assert [vault for vault, value in up.items() if not value] == [VAULT.name]
    exported = {
        sample.labels["vault"] for sample in families["kraken_custody_vault_balance"].samples
    }
    every = {
        vault.name for organization in PORTFOLIO.organizations for vault in organization.vaults
    }
    assert exported == every - {VAULT.name}
    assert done.stderr.count("event=target_failing ") == 1


def test_once_gives_up_at_once_if_the_key_is_refused(tmp_path: Path) -> None:
    refusing = simulator(default_mood=moods.problem(401, "InvalidKey"))
    with SimulatorThread(refusing.app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run("--once", directory=tmp_path)
    assert done.returncode == 1
    assert refusing.guard.arrivals == 1
    assert "kraken_custody_vault_balance{" not in done.stdout
    assert 'kraken_custody_target_error{kind="organization"' in done.stdout
    assert "event=polling_paused" in done.stderr
    assert "Traceback" not in done.stderr


def test_once_with_an_api_that_is_not_there_fails_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    document = configuration(f"http://127.0.0.1:{port}")
    # One target only: each is tried three times, with a pause between.
    document["organizations"] = [{"id": "ABCD EFGH IJKL MNOP"}]
    write(tmp_path, document)
    done = run("--once", directory=tmp_path)
    assert done.returncode == 1
    assert 'type="transport/connect"} 1.0' in done.stdout
    assert "Traceback" not in done.stderr


def leading_to(terminal: int, *numbers: int) -> str:
    """Return a prelude after which these file descriptors of the exporter lead to a terminal."""
    name = os.ttyname(terminal)
    return "\n".join(
        [
            "import os",
            f"terminal = os.open({name!r}, os.O_WRONLY | os.O_NOCTTY)",
            *(f"os.dup2(terminal, {number})" for number in numbers),
        ]
    )


NO_READER = """
import os
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, 1)
"""
PRINTING = pytest.mark.parametrize("flag", ["--version", "--config.check", "--once"])


@PRINTING
def test_a_reader_that_has_left_is_no_failure(flag: str, tmp_path: Path) -> None:
    """As in `kraken-custody-exporter --config.check | head -1`."""
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run(flag, "--log.level", "error", directory=tmp_path, prelude=NO_READER)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@PRINTING
@pytest.mark.parametrize(
    ("redirection", "problem"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")]
)
def test_a_full_or_closed_stdout_is_reported_as_a_failure(
    flag: str, redirection: str, problem: str, tmp_path: Path
) -> None:
    """As in `kraken-custody-exporter --once > FILE`, for the node exporter's textfile collector."""
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run(
            *(flag, "--log.level", "error"),
            directory=tmp_path,
            # Python makes another stdout of these when it starts.
            command=["/bin/sh", "-c", f'"$@" {redirection}', "sh", *COMMAND],
        )
    told = f"kraken-custody-exporter: cannot write to stdout: {problem}\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_what_draws_tables_stays_loaded_where_it_is_already() -> None:
    with cli._loading():
        pass
    assert sys.modules["rich"] is rich


def test_garbage_is_collected_again_once_everything_is_loaded() -> None:
    with cli._loading():
        assert not gc.isenabled()
    assert gc.isenabled()


ONLY_WHEN_NEEDED = frozenset(
    {
        *("bcrypt", "jinja2", "markdown_it", "pygments", "redis", "rich"),
        *("exporter.probe", "exporter.report", "exporter.simulator"),
    }
)
LIBRARIES = frozenset({"dataclasses", "httpx", "msgspec", "structlog"})


def test_neither_the_version_nor_the_daemon_loads_what_it_does_not_need(tmp_path: Path) -> None:
    """What polls once for a pipe loads all that the daemon does."""
    listing = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print(*(name for name, it in sys.modules.items() if it)))\n"
        "runpy.run_module('exporter', run_name='__main__', alter_sys=True)\n"
    )
    write(tmp_path, configuration("http://127.0.0.1:9"))
    loaded = {}
    for flag in ("--version", "--once"):
        done = subprocess.run(
            [COMMAND[0], "-c", listing, flag],
            cwd=tmp_path,
            env=environment({}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        loaded[flag] = set(done.stdout.splitlines()[-1].split())
    assert loaded["--version"] & (LIBRARIES | ONLY_WHEN_NEEDED) == set()
    assert loaded["--once"] & (LIBRARIES | ONLY_WHEN_NEEDED) == LIBRARIES


@pytest.fixture
def terminal() -> Iterator[tuple[int, list[bytes]]]:
    """The end of a terminal to which a process writes, and a function that reads it."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    written: list[bytes] = []

    def read() -> None:
        # Reading fails once the other end is closed.
        try:
            while chunk := os.read(ours, 65536):
                written.append(chunk)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    yield theirs, written
    os.close(theirs)
    reader.join(10)
    os.close(ours)


@pytest.mark.parametrize(
    ("environ", "summary"),
    [
        ({}, b"\x1b[32m12 of 12 targets were read.\x1b[0m"),
        ({"NO_COLOR": "1"}, b"\r\n12 of 12 targets were read.\r\n"),
    ],
    ids=["colours", "NO_COLOR"],
)
def test_once_shows_its_progress_and_a_table_on_a_terminal(
    tmp_path: Path,
    terminal: tuple[int, list[bytes]],
    environ: dict[str, str],
    summary: bytes,
) -> None:
    theirs, written = terminal
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        done = run(
            *("--once", "--log.level", "error"),
            directory=tmp_path,
            environ=environ,
            prelude=leading_to(theirs, 2),
        )
    assert done.returncode == 0
    assert done.stdout.startswith("# HELP ")
    until(lambda: summary in b"".join(written))
    assert b"12/12" in b"".join(written)
    assert b" 0/12" in b"".join(written)


OTHER = ORGANIZATION.vaults[2]
HOSTILE = "\x1b[2J\x9bA\u202e"


def test_text_of_the_api_does_not_control_a_terminal_that_once_writes_to(
    tmp_path: Path, terminal: tuple[int, list[bytes]]
) -> None:
    """A pipe gets every byte unchanged."""
    theirs, written = terminal
    row = {"asset": f"X{HOSTILE}", "asset_class": "currency"}
    amounts = dict.fromkeys(("balance", "spot", "hold", "available"), "1")
    rows = moods.always(JSONResponse([row | amounts]))
    refusal = moods.legacy(f"EGeneral:{HOSTILE}")
    with SimulatorThread(simulator(moods={VAULT.id: rows, OTHER.id: refusal}).app) as base_url:
        write(tmp_path, configuration(base_url))
        runs = [
            run(
                "--once",
                directory=tmp_path,
                environ={"NO_COLOR": "1"},
                prelude=leading_to(theirs, *numbers),
            )
            for numbers in ((1, 2), (2,))
        ]
    until(lambda: written and b"targets were read" in written[-1])
    assert f'asset="X{HOSTILE}"' in runs[1].stdout
    shown = b"".join(written)
    assert rb'asset="X\x1b[2J' in shown
    assert b"\x1b[2J" not in shown
    assert "\x9b".encode() not in shown
    assert "\u202e".encode() not in shown


def test_a_bad_configuration_does_not_control_a_terminal(
    tmp_path: Path, terminal: tuple[int, list[bytes]]
) -> None:
    theirs, written = terminal
    (tmp_path / "config.yaml").write_text('"\\e[2J": 1\n')
    prelude = leading_to(theirs, 2)
    done = run("--config.check", directory=tmp_path, prelude=prelude)
    assert done.returncode == 2
    until(lambda: b"config.yaml" in b"".join(written))
    assert b"\x1b[2J" not in b"".join(written)


def test_the_demo_needs_no_configuration_and_no_credentials(tmp_path: Path) -> None:
    done = run("--demo", "--config.check", directory=tmp_path)
    assert done.stdout.startswith(
        "targets  6: 1 list of organizations, 1 organization, 1 list of pending tasks, 1 list of vaults, "
        "1 vault, 1 whitelist\n"
    )
    assert done.returncode == 0


def test_a_taken_port_is_reported_in_one_message(tmp_path: Path) -> None:
    write(tmp_path, configuration("http://127.0.0.1:1"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("--web.listen-address", address, directory=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"kraken-custody-exporter: cannot listen on {address}: Address already in use; "
        "choose another address with --web.listen-address\n"
    )


def test_secrets_may_be_in_files_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_text(f"{API_KEY}\n")
    (tmp_path / "secrets/secret").write_text(API_SECRET)
    files = {"api_key_file": "secrets/key", "api_secret_file": "secrets/secret"}
    with SimulatorThread(simulator().app) as base_url:
        document = configuration(base_url, credential=files)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        path = tmp_path / "custody.yaml"
        path.write_text(yaml.safe_dump(document))
        done = run("--once", "--config.file", path, directory=elsewhere)
    assert done.returncode == 0


BAD_PROXY = ("HTTPS_PROXY", "notaurl://x", "HTTPS_PROXY in the environment: ")


@pytest.mark.parametrize(
    ("arguments", "variable", "value", "message"),
    [
        *(((*flag,), *BAD_PROXY) for flag in (["--config.check"], ["--once"], [])),
        (
            ("--config.check",),
            "SSL_CERT_FILE",
            "/nowhere",
            "SSL_CERT_FILE (/nowhere) in the environment: ",
        ),
        (
            ("--config.check",),
            "SSLKEYLOGFILE",
            "/nowhere/x",
            "SSLKEYLOGFILE (/nowhere/x) in the environment: ",
        ),
    ],
)
def test_an_environment_that_cannot_be_used_is_said_in_one_line(
    arguments: tuple[str, ...], variable: str, value: str, message: str, tmp_path: Path
) -> None:
    write(tmp_path, configuration("https://api.example"))
    ended = run(
        "--web.listen-address=127.0.0.1:0",
        *arguments,
        directory=tmp_path,
        environ={variable: value},
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(message)
    assert ended.stderr.count("\n") == 1
