"""The exporter as a process: run to its end, or started, watched and stopped."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import httpx

from tests.exporting import ENVIRON
from tests.forking import Forked, forkery
from tests.waiting import DEADLINE_SECONDS, until

COMMAND = (sys.executable, "-W", "error", "-m", "exporter")
LONGEST_RUN_SECONDS = 60


def command_after(prelude: str) -> tuple[str, ...]:
    """Return a command like COMMAND, in a process that first executes something else."""
    start = "from exporter.__main__ import main\nraise SystemExit(main())\n"
    return (sys.executable, "-W", "error", "-c", f"{prelude}\n{start}")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a minimal environment with the simulator's secrets."""
    return {"PATH": os.environ.get("PATH", ""), **ENVIRON, **(extra or {})}


def run(
    *arguments: str | Path,
    directory: Path,
    environ: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
    prelude: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run the exporter in `directory` until it ends.

    environ: more variables for it. prelude: Python that it runs first, once the program is loaded.
    """
    if command is COMMAND:
        with TemporaryDirectory() as kept:
            out, err = Path(kept, "stdout"), Path(kept, "stderr")
            process = forkery().fork(
                [*map(str, arguments)],
                directory=directory,
                environ=environment(environ),
                out=out,
                err=err,
                prelude=prelude,
            )
            try:
                status = process.wait(LONGEST_RUN_SECONDS)
            finally:
                process.kill()
            return subprocess.CompletedProcess(
                [*command, *map(str, arguments)], status, out.read_text(), err.read_text()
            )
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=directory,
        env=environment(environ),
        capture_output=True,
        text=True,
        timeout=LONGEST_RUN_SECONDS,
        check=False,
    )


class Running:
    """An exporter that runs, its log as JSON, and its pages."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err
        self._read = 0
        self._events: list[dict[str, Any]] = []
        self._reading = Lock()

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return the events logged so far, or those of one name."""
        # Waiting for an event polls this, so earlier lines of the log are not read again.
        with self._reading, self._err.open("rb") as log:
            log.seek(self._read)
            whole_lines = log.read().rpartition(b"\n")[0]
            if whole_lines:
                self._events += map(json.loads, whole_lines.split(b"\n"))
                self._read += len(whole_lines) + 1
        return [event for event in self._events if name in ("", event["event"])]

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait for the first event of a name and return it."""

        def found() -> list[dict[str, Any]]:
            assert self.process.poll() is None, self.stderr
            return self.events(event)

        return until(found)[0]

    def get(self, path: str) -> httpx.Response:
        """Request a page."""
        started = self.wait_for("started")
        url = httpx.URL(started["metrics"]).join(path)
        return httpx.get(url, trust_env=False, verify=False, timeout=DEADLINE_SECONDS)

    def stop(self, number: int) -> int:
        """Send a signal and return the exit status; fail if the process does not end in time."""
        self.process.send_signal(number)
        return self.process.wait(timeout=DEADLINE_SECONDS)


@contextmanager
def running(
    *arguments: str | Path,
    directory: Path,
    environ: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
    prelude: str = "",
) -> Iterator[Running]:
    """Run the exporter while the block runs, on a port of its own unless one is given, and with a log in JSON.

    environ: more variables for it. prelude: Python that it runs first, once the program is loaded.
    """
    out, err = directory / "stdout", directory / "stderr"
    flags = ["--log.format=json"]
    if not any(str(one).startswith("--web.listen-address") for one in arguments):
        flags += ["--web.listen-address=127.0.0.1:0"]
    words = [*flags, *map(str, arguments)]
    variables = environment(environ)
    process: subprocess.Popen[bytes] | Forked
    if command is COMMAND:
        process = forkery().fork(
            words, directory=directory, environ=variables, out=out, err=err, prelude=prelude
        )
    else:
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*command, *words], cwd=directory, env=variables, stdout=stdout, stderr=stderr
            )
    try:
        yield Running(process, out, err)
    finally:
        process.kill()
        process.wait()
