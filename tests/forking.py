"""Exporters forked from a process that has already loaded the program: loading takes most of the time of most tests.

Each is still a separate process, with its own arguments, variables, directory and output.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any

from exporter.__main__ import main
from exporter.cli import _loading

PAUSE_SECONDS = 0.01


class Forked:
    """A running exporter, with what tests use of subprocess.Popen."""

    def __init__(self, pid: int, ended: Path) -> None:
        self.pid = pid
        self._ended = ended

    def poll(self) -> int | None:
        """Return the exit status once there is one, negative for a signal."""
        try:
            return int(self._ended.read_text())
        except FileNotFoundError:
            return None

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("exporter", timeout or 0)
            time.sleep(PAUSE_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forkery:
    """The process that forks. It reads one line of JSON for each child and answers with the child's process id."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = Lock()
        self._count = 0
        atexit.register(self._process.communicate)

    def fork(
        self,
        arguments: Sequence[str],
        *,
        directory: Path,
        environ: Mapping[str, str],
        out: Path,
        err: Path,
        prelude: str = "",
    ) -> Forked:
        asked, told = self._process.stdin, self._process.stdout
        assert asked
        assert told
        with self._lock:
            self._count += 1
            # They are read before the child has opened them, and may still contain the output of an earlier child.
            out.write_bytes(b"")
            err.write_bytes(b"")
            ended = out.with_name(f"{out.name}.{self._count}.ended")
            request = {
                "arguments": list(arguments),
                "directory": str(directory),
                "environ": dict(environ),
                "out": str(out),
                "err": str(err),
                "ended": str(ended),
                "prelude": prelude,
            }
            asked.write(json.dumps(request).encode() + b"\n")
            asked.flush()
            return Forked(int(told.readline()), ended)


@cache
def forkery() -> Forkery:
    return Forkery()


def _watch(pid: int, ended: Path) -> None:
    """Record how a child ends, atomically, so that no reader sees half of it."""
    _, status = os.waitpid(pid, 0)
    written = ended.with_suffix(".written")
    written.write_text(str(os.waitstatus_to_exitcode(status)))
    written.rename(ended)


def _become(request: Mapping[str, Any]) -> None:
    """Become like a new process."""
    for number, name in ((1, "out"), (2, "err")):
        with Path(request[name]).open("wb") as file:
            os.dup2(file.fileno(), number)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    sys.argv[1:] = request["arguments"]


def _serve(asked: IO[bytes]) -> Mapping[str, Any] | None:
    """Fork for each request; return it in the child, and nothing in this process at the end."""
    for line in iter(asked.readline, b""):
        request = json.loads(line)
        # A separate process waits for each exporter, so that it need not be reaped here.
        if os.fork():
            os.wait()
            continue
        if os.fork():
            os._exit(0)
        pid = os.fork()
        if not pid:
            return dict(request)
        os.write(1, f"{pid}\n".encode())
        os.close(1)
        _watch(pid, Path(request["ended"]))
        os._exit(0)
    return None


def _main() -> int:
    with _loading():
        for module in ("commands", "simulator.demonstration"):
            import_module(f"exporter.{module}")
    # Without a buffer, which would be copied to the children with what it holds.
    with os.fdopen(os.dup(0), "rb", buffering=0) as asked:
        request = _serve(asked)
    if request is None:
        return 0
    _become(request)
    exec(request["prelude"], {})
    return main()


if __name__ == "__main__":
    raise SystemExit(_main())
