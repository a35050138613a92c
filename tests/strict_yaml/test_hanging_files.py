"""A file whose reading hangs, as on a mount whose server is gone: reading times out, and names the file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from exporter.config import ConfigError, load
from exporter.strict_yaml import files
from exporter.strict_yaml.files import answer_of, contents, is_open_to_all
from exporter.strict_yaml.mistakes import UnansweredError
from tests.waiting import until


@pytest.fixture
def release() -> Iterator[Event]:
    """The event that a hanging file waits for."""
    event = Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def _without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.0)


def hang(monkeypatch: pytest.MonkeyPatch, file: Path, release: Event) -> list[Path]:
    """Keep `file` from answering until released; return a list of the attempts to read it."""
    asked: list[Path] = []

    def hanging(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path, *arguments: Any, **options: Any) -> Any:
            if path == file:
                asked.append(path)
                release.wait()
            return real(path, *arguments, **options)

        return call

    monkeypatch.setattr(Path, "stat", hanging(Path.stat))
    return asked


@pytest.mark.parametrize("look", [lambda path: contents(path, at_most=10), is_open_to_all])
def test_a_file_that_does_not_answer_is_given_up_and_named(
    look: Callable[[Path], object],
    tmp_path: Path,
    release: Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang(monkeypatch, tmp_path, release)
    with pytest.raises(UnansweredError) as caught:
        look(tmp_path)
    assert str(caught.value) == (f"{tmp_path}: did not answer within 0 s: check its file system")


def test_a_hanging_file_is_not_read_again_until_it_has_answered(
    tmp_path: Path, release: Event
) -> None:
    asked: list[None] = []

    def look() -> None:
        asked.append(None)
        release.wait()

    for _ in range(20):
        with pytest.raises(UnansweredError):
            answer_of(tmp_path, look)
    until(lambda: asked)
    assert len(asked) == 1
    release.set()

    def answers() -> bool:
        try:
            return answer_of(tmp_path, lambda: True)
        except UnansweredError:
            return False

    assert until(answers)


CONFIGURATION = """\
credentials: {main: {api_key_file: key, api_secret_env: SECRET}}
organizations: [{id: ABCD EFGH IJKL MNOP}]
"""
ENVIRON = {"SECRET": "YWJj"}


@pytest.mark.parametrize("name", ["config.yaml", "key"])
def test_a_configuration_names_the_file_of_it_that_does_not_answer(
    name: str, tmp_path: Path, release: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIGURATION)
    (tmp_path / "key").write_text("key")
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.1)
    hang(monkeypatch, tmp_path / name, release)
    with pytest.raises(ConfigError, match=r"did not answer within 0\.1 s") as caught:
        load(tmp_path / "config.yaml", ENVIRON)
    assert caught.value.file == str(tmp_path / name)
