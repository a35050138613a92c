"""A secret file that every user can read works, but is warned about: at a start, a reload and a check."""

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
from exporter.web.access.file import WebConfigFile
from tests.exporting import ENVIRON, configuration, reloaded, reloader_of, write
from tests.logfmt import read_line
from tests.processes import run
from tests.simulator.calling import API_KEY, API_SECRET
from tests.web.access.files import HASH
from tests.web.access.files import write as write_web_config

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


def test_a_readable_secret_file_is_warned_about_at_the_start_and_at_each_reload(
    directory: Path,
) -> None:
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
def test_a_check_warns_about_a_readable_secret_file_and_succeeds(
    mode: int, told: list[str], directory: Path
) -> None:
    (directory / "secret").chmod(mode)
    write(directory, configuration(ANYWHERE, credential=CREDENTIAL))
    done = run("--config.check", directory=directory)
    assert done.returncode == 0
    assert [read_line(line)["event"] for line in done.stderr.splitlines()] == told


def test_a_check_warns_about_the_web_configuration_too(directory: Path) -> None:
    write(directory, configuration(ANYWHERE, credential=CREDENTIAL))
    file = write_web_config(directory, {"basic_auth_users": {"alice": HASH}})
    file.chmod(OPEN)
    done = run("--config.check", "--web.config.file", file, directory=directory)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    event = read_line(line)
    assert (event["event"], event["file"]) == ("web_secret_file_readable", str(file))


def test_a_web_configuration_that_has_become_readable_is_reported_when_it_is_read_again(
    directory: Path,
) -> None:
    file = write_web_config(directory, {"basic_auth_users": {"alice": HASH}})
    file.chmod(CLOSED)
    text = yaml.safe_dump(configuration(ANYWHERE, credential=CREDENTIAL))
    settings = parse(text, directory=directory, environ=ENVIRON)

    def told() -> int:
        return sum(event["event"] == "web_secret_file_readable" for event in events)

    async def main() -> None:
        web_config = WebConfigFile(file)
        assert told() == 0
        file.chmod(OPEN)
        for _ in range(2):
            await web_config.look()
        assert told() == 1
        exporter = Exporter(settings, World())
        await reloaded(reloader_of(exporter, lambda: settings, web_config))
        assert told() == 2

    with capture_logs() as events:
        asyncio.run(main())
