"""Signals to the exporter at any time, while a name server, a file or a password check hangs."""

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.simulator import moods
from exporter.simulator.server import SimulatorThread
from tests.exporting import configuration, simulator, write
from tests.processes import Running, command_after, environment, run, running
from tests.programs import program
from tests.waiting import until
from tests.web.access.files import HASH, PASSWORD
from tests.web.access.files import write as write_web_config

NOWHERE = "https://api.kraken.test"

# Hangs forever, and leaves a file that says so.
HANG = """
import threading
from pathlib import Path

def hang():
    Path("hanging").touch()
    threading.Event().wait()
"""
AT_IMPORT = f"""{HANG}
import os, sys

class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), NUMBER)
            if IS_STUCK:
                hang()

sys.meta_path.insert(0, AtImport())
"""
NAMES_HANG = f"""{HANG}
import socket
answer = socket.getaddrinfo

def getaddrinfo(host, *arguments, **options):
    return hang() if host == "api.kraken.test" else answer(host, *arguments, **options)

socket.getaddrinfo = getaddrinfo
"""
FILES_HANG = f"""{HANG}
import exporter.strict_yaml.files
exporter.strict_yaml.files.ANSWER_SECONDS = PATIENCE
stat = Path.stat

def hanging(path, **options):
    return hang() if path.name == NAME and Path("hang").exists() else stat(path, **options)

Path.stat = hanging
"""


def at_import(module: str, number: signal.Signals, *, is_stuck: bool) -> tuple[str, ...]:
    """Return a command that sends itself a signal when it imports a module, and then hangs if `is_stuck`."""
    values = f"MODULE, NUMBER, IS_STUCK = {module!r}, {int(number)}, {is_stuck}"
    return command_after(f"{values}\n{AT_IMPORT}")


def files_hang(name: str, patience: float = 3600.0) -> str:
    """Return a prelude after which the file of that name does not answer while a file named `hang` exists."""
    return f"NAME, PATIENCE = {name!r}, {patience}\n{FILES_HANG}"


MODULES = ("exporter.cli", "argparse", "asyncio", "exporter.config", "httpx", "exporter.app")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", MODULES)
def test_a_signal_during_the_imports_ends_the_daemon_well(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    write(tmp_path, configuration("http://127.0.0.1:1"))
    done = run(directory=tmp_path, command=at_import(module, number, is_stuck=True))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("flag", ["--once", "--config.check"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_imports_of_a_command_ends_it_as_failed(
    number: signal.Signals, flag: str, tmp_path: Path
) -> None:
    write(tmp_path, configuration("http://127.0.0.1:1"))
    done = run(flag, directory=tmp_path, command=at_import("asyncio", number, is_stuck=True))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_signal_to_a_process_1_ends_it_from_the_first_line_on(tmp_path: Path) -> None:
    """Process 1 gets no signal that it neither handles nor blocks."""
    apart = [
        program("unshare", package="util-linux"),
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
    ]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lends nobody a process namespace")
    itself = at_import("exporter.cli", signal.SIGTERM, is_stuck=True)
    done = run(directory=tmp_path, command=[*apart, *itself])
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["exporter.cli", "exporter.app"])
def test_a_hangup_during_the_imports_is_ignored(module: str, tmp_path: Path) -> None:
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        command = at_import(module, signal.SIGHUP, is_stuck=False)
        with running(directory=tmp_path, command=command) as exporter:
            exporter.wait_for("target_up")
            assert exporter.events("reloaded") == []
            assert exporter.stop(signal.SIGTERM) == 0


def test_a_hangup_while_the_configuration_is_read_reloads_it(tmp_path: Path) -> None:
    """The file may have changed just after it was read."""
    prelude = """
import os, signal
from exporter import app
read = app.read_both

def hung_up(*arguments):
    app.read_both = read
    os.kill(os.getpid(), signal.SIGHUP)
    return read(*arguments)

app.read_both = hung_up
"""
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        with running(directory=tmp_path, prelude=prelude) as exporter:
            exporter.wait_for("reloaded")
            assert exporter.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_single_poll_as_failed_without_a_traceback(
    number: signal.Signals, tmp_path: Path
) -> None:
    hanging = simulator(default_mood=moods.slow(3600))
    with SimulatorThread(hanging.app) as base_url:
        write(tmp_path, configuration(base_url))
        with running("--once", directory=tmp_path) as exporter:
            until(lambda: hanging.guard.arrivals)
            assert exporter.stop(number) == 1
    assert (exporter.stdout, exporter.events()) == ("", [])


MANY = 8
"""More lookups than asyncio's own threads on a machine of two cores, and as many credentials."""


def many_credentials(base_url: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a configuration with a credential for each of many organizations, and the environment with their keys."""
    document = configuration(base_url)
    keys = [f"KEY_{number}" for number in range(MANY)]
    document["credentials"] = {
        key.lower(): {"api_key_env": key, "api_secret_env": "SIMULATOR_SECRET"} for key in keys
    }
    document["organizations"] = [
        {"id": f"MANY MANY MANY {number:04}", "credentials": key.lower()}
        for number, key in enumerate(keys)
    ]
    return document, {key: key for key in keys}


@pytest.fixture
def nameless(tmp_path: Path) -> Iterator[Running]:
    """An exporter with a password that waits for a name server that does not answer."""
    document, environ = many_credentials(NOWHERE)
    write(tmp_path, document)
    web = write_web_config(tmp_path, {"basic_auth_users": {"alice": HASH}})
    flags = ("--web.config.file", web, "--web.enable-lifecycle")
    with running(*flags, directory=tmp_path, environ=environ, prelude=NAMES_HANG) as exporter:
        exporter.wait_for("started")
        until((tmp_path / "hanging").exists)
        yield exporter


def url(exporter: Running, path: str) -> httpx.URL:
    return httpx.URL(exporter.wait_for("started")["metrics"]).join(path)


ALICE = ("alice", PASSWORD)


def test_only_what_needs_a_name_waits_for_a_name_server(nameless: Running) -> None:
    scrape = httpx.get(
        url(nameless, "/metrics"), auth=ALICE, trust_env=False, verify=False, timeout=30
    )
    assert scrape.status_code == 200
    reload = httpx.post(
        url(nameless, "/-/reload"), auth=ALICE, trust_env=False, verify=False, timeout=30
    )
    assert reload.status_code == 200
    assert nameless.stop(signal.SIGTERM) == 0
    (stopped,) = nameless.events("stopped")
    assert stopped["level"] == "info"


def test_a_single_poll_ends_though_a_name_server_does_not_answer(tmp_path: Path) -> None:
    document = configuration(NOWHERE)
    document["api"]["timeout"] = "100ms"
    document["organizations"] = [{"id": "ABCD EFGH IJKL MNOP"}]
    write(tmp_path, document)
    done = run("--once", directory=tmp_path, prelude=NAMES_HANG)
    assert done.returncode == 1
    assert 'type="transport/timeout"} 1.0' in done.stdout
    assert "no answer from the name server about api.kraken.test within 0.1 s" in done.stderr
    assert "Traceback" not in done.stderr


CREDENTIAL = {"api_key_file": "key", "api_secret_env": "SIMULATOR_SECRET"}


@pytest.fixture
def with_a_key(tmp_path: Path) -> Iterator[Path]:
    """A directory with the configuration of an exporter of the simulator whose key is in a file."""
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url, credential=CREDENTIAL))
        (tmp_path / "key").write_text(environment()["SIMULATOR_KEY"])
        yield tmp_path


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "key"), (signal.SIGINT, "config.yaml")]
)
def test_a_file_that_does_not_answer_does_not_hold_up_a_stop_at_the_start(
    number: signal.Signals, name: str, with_a_key: Path
) -> None:
    (with_a_key / "hang").touch()
    with running(directory=with_a_key, prelude=files_hang(name)) as exporter:
        until((with_a_key / "hanging").exists)
        assert exporter.stop(number) == 0
    assert exporter.stderr == ""


@pytest.mark.parametrize(
    ("flag", "name"),
    [("--config.check", "key"), ("--once", "config.yaml"), ("--log.level=info", "key")],
)
def test_a_file_that_does_not_answer_is_named_at_the_start(
    name: str, flag: str, with_a_key: Path
) -> None:
    (with_a_key / "hang").touch()
    done = run(flag, directory=with_a_key, prelude=files_hang(name, patience=0.1))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{name}: did not answer within 0.1 s: check its file system\n"


def test_a_reload_whose_file_does_not_answer_holds_up_neither_scrapes_nor_the_stop(
    with_a_key: Path,
) -> None:
    with running(directory=with_a_key, prelude=files_hang("key")) as exporter:
        exporter.wait_for("target_up")
        (with_a_key / "hang").touch()
        exporter.process.send_signal(signal.SIGHUP)
        until((with_a_key / "hanging").exists)
        assert exporter.get("/metrics").status_code == 200
        assert exporter.stop(signal.SIGTERM) == 0
    (stopped,) = exporter.events("stopped")
    assert stopped["level"] == "info"


def test_a_reload_names_the_file_that_does_not_answer(with_a_key: Path) -> None:
    prelude = files_hang("key", patience=0.1)
    with running("--web.enable-lifecycle", directory=with_a_key, prelude=prelude) as exporter:
        exporter.wait_for("target_up")
        (with_a_key / "hang").touch()
        answer = httpx.post(url(exporter, "/-/reload"), trust_env=False, verify=False, timeout=30)
        assert answer.status_code == 500
        assert "key: did not answer within 0.1 s" in answer.text


def test_a_password_check_under_way_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    prelude = f"""{HANG}
import bcrypt
bcrypt.checkpw = lambda *_: hang()
"""
    web = write_web_config(tmp_path, {"basic_auth_users": {"alice": HASH}})
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        with (
            running("--web.config.file", web, directory=tmp_path, prelude=prelude) as exporter,
            ThreadPoolExecutor() as pool,
        ):
            asking = pool.submit(
                httpx.get, url(exporter, "/"), auth=ALICE, trust_env=False, verify=False, timeout=60
            )
            until((tmp_path / "hanging").exists)
            assert exporter.stop(signal.SIGTERM) == 0
            assert asking.exception(30)
    (stopped,) = exporter.events("stopped")
    assert stopped["level"] == "info"


def test_a_stop_that_never_ends_is_ended(tmp_path: Path) -> None:
    prelude = f"""{HANG}
import exporter.signals
from exporter.polling.request import Requests

async def never(self):
    hang()

exporter.signals.STOP_SECONDS = 0.1
# A busy machine takes longer to log one line.
exporter.signals.LAST_WORDS_SECONDS = 60
Requests.close = never
"""
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        with running(directory=tmp_path, prelude=prelude) as exporter:
            exporter.wait_for("target_up")
            assert exporter.stop(signal.SIGTERM) == 0
    assert (tmp_path / "hanging").exists()
    (stopped,) = exporter.events("stopped")
    assert stopped["level"] == "warn"
    assert "did not end in time" in stopped["problem"]
