"""Builds the Go peer, and runs it as the exporter is run."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.daemon import Server, serving

HOW_TO_INSTALL = "install Go 1.26 or newer from https://go.dev/dl/, so that `go` is on PATH"
PACE = "150ms"
"""Seconds between two requests: the documented 200 in 30 s."""


class NotBuiltError(Exception):
    """There is no Go, or it could not build the peer. The text is one line that says so."""


@contextlib.contextmanager
def built(environ: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Yield the path of the peer's program; `environ` is the environment of `go`."""
    go = shutil.which("go")
    if go is None:
        raise NotBuiltError(f"the Go peer is not built: {HOW_TO_INSTALL}")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peer"
        result = subprocess.run(
            [go, "build", "-o", program, "."],
            cwd=Path(__file__).parent,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            *_, last = result.stderr.splitlines() or [""]
            raise NotBuiltError(f"the Go peer is not built: {last}")
        yield program


def polling(
    program: Path, configuration: Path, environ: Mapping[str, str], pace: str = PACE
) -> contextlib.AbstractContextManager[Server]:
    """Run the peer with a configuration that is JSON."""
    return serving([str(program), f"--config.file={configuration}", f"--pace={pace}"], environ)
