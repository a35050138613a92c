"""A secret file that every user of the machine can read works, and is told: at the start, a reload and a check."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from exporter.assembly import Exporter, World
from exporter.config import parse
from tests.demo.calling import API_KEY, API_SECRET
from tests.exporting import ENVIRON, configuration, write
from tests.logfmt import read_line
from tests.processes import run

OPEN, CLOSED = 0o644, 0o640
CREDENTIAL = {"api_key_file": "key", "api_secret_file": "secret"}
ANYWHERE = "http://127.0.0.1:1"


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that every user can enter, with secret files that only their group can read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for file, secret in {"key": API_KEY, "secret": API_SECRET}.items():
            (directory / file).write_text(secret)
            (directory / file).chmod(CLOSED)
        yield directory


def warning(directory: Path, name: str) -> dict[str, Any]:
    return {
        "event": "secret_file_readable",
        "log_level": "warning",
        "credential": "treasury",
        "field": f"api_{name}_file",
        "file": str(directory / name),
        "problem": "every user of this machine can read it: chmod 600, or 640 with the exporter's group",
    }


def test_it_is_told_at_the_start_and_at_each_reload_while_it_is_so(directory: Path) -> None:
    text = yaml.safe_dump(configuration(ANYWHERE, credential=CREDENTIAL))

    def logged() -> list[Any]:
        return [event for event in events if event["event"] == "secret_file_readable"]

    async def main() -> None:
        settings = parse(text, directory=directory, environ=ENVIRON)
        exporter = Exporter(settings, World())
        assert logged() == [warning(directory, "key")]
        (directory / "secret").chmod(OPEN)
        await exporter.reload(settings)
        assert logged()[1:] == [warning(directory, "key"), warning(directory, "secret")]
        for name in ("key", "secret"):
            (directory / name).chmod(CLOSED)
        await exporter.reload(settings)
        assert len(logged()) == 3

    (directory / "key").chmod(OPEN)
    with capture_logs() as events:
        asyncio.run(main())


@pytest.mark.parametrize(("mode", "told"), [(OPEN, ["secret_file_readable"]), (CLOSED, [])])
def test_a_check_tells_it_too_and_succeeds(mode: int, told: list[str], directory: Path) -> None:
    (directory / "secret").chmod(mode)
    write(directory, configuration(ANYWHERE, credential=CREDENTIAL))
    done = run("--config.check", directory=directory)
    assert done.returncode == 0
    assert [read_line(line)["event"] for line in done.stderr.splitlines()] == told
