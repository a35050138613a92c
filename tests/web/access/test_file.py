"""Which configuration is in force while the files change on disk."""

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.config import ConfigError
from exporter.strict_yaml import files
from exporter.web.access.file import WebConfigFile
from tests.web.access.files import HASH, OTHER_HASH, write
from tests.web.certificates import Authority

PAIR = {"tls_server_config": {"cert_file": "server.pem", "key_file": "server-key.pem"}}
ALICE = {"basic_auth_users": {"alice": HASH}}
BOB = {"basic_auth_users": {"bob": OTHER_HASH}}
NO_TLS = (
    "{}: tls_server_config: TLS cannot be switched on or off while the exporter runs: restart it"
)


def look(file: WebConfigFile, times: int = 2) -> list[dict[str, Any]]:
    """Check the files several times, and return the logged events; a change is read at the second check."""

    async def some_times() -> None:
        for _ in range(times):
            await file.look()

    with capture_logs() as events:
        asyncio.run(some_times())
    return [dict(event) for event in events]


def users(file: WebConfigFile) -> list[str]:
    return list(file.configuration.basic_auth_users)


def test_what_has_not_changed_is_not_read_again(directory: Path) -> None:
    file = WebConfigFile(write(directory, PAIR | ALICE))
    before = file.configuration
    assert look(file, 5) == []
    assert file.configuration is before


def test_a_changed_file_holds_from_the_second_look_on(directory: Path) -> None:
    file = WebConfigFile(write(directory, ALICE))
    write(directory, BOB)
    assert look(file, 1) == []
    assert users(file) == ["alice"], "it may be just being written"
    assert look(file, 1) == [{"event": "web_config_reloaded", "log_level": "info"}]
    assert users(file) == ["bob"]
    assert look(file) == []


def test_a_file_that_changes_at_each_look_is_left_alone(directory: Path) -> None:
    file = WebConfigFile(write(directory, ALICE))
    for number in range(5):
        write(directory, BOB | {"rate_limit": {"interval": f"{number + 1}s", "burst": 1}})
        assert look(file, 1) == []
    assert users(file) == ["alice"]
    look(file, 1)
    assert users(file) == ["bob"]


def test_a_new_certificate_is_taken_though_the_configuration_is_the_same(directory: Path) -> None:
    file = WebConfigFile(write(directory, PAIR))
    before = file.configuration.tls_server_config
    Authority(directory).sign("127.0.0.1")
    assert [event["event"] for event in look(file)] == ["web_config_reloaded"]
    assert before
    assert file.configuration.tls_server_config
    assert file.configuration.tls_server_config.context is not before.context


def test_a_certificate_whose_key_comes_later_is_taken_once_both_are_there(directory: Path) -> None:
    file = WebConfigFile(write(directory, PAIR))
    before = file.configuration
    old_key = (directory / "server-key.pem").read_bytes()
    Authority(directory).sign("127.0.0.1")
    new_key = (directory / "server-key.pem").read_bytes()
    (directory / "server-key.pem").write_bytes(old_key)
    at = f"{directory}/web-config.yml: tls_server_config (line 1, column 1)"
    problem = f"{at}: the key does not match the certificate"
    assert look(file, 10) == [
        {"event": "web_config_failed", "log_level": "error", "problem": problem}
    ]
    assert file.configuration is before
    (directory / "server-key.pem").write_bytes(new_key)
    assert [event["event"] for event in look(file)] == ["web_config_reloaded"]


@pytest.mark.parametrize(
    "bad",
    ["tls_server_config: [", "", "basic_auth_users: {alice: MARKER}", "users: {}"],
    ids=["broken", "empty", "no hash", "unknown key"],
)
def test_the_last_valid_file_stays_in_force_and_the_mistake_is_logged_once(
    directory: Path, bad: str
) -> None:
    file = WebConfigFile(write(directory, ALICE))
    before = file.configuration
    write(directory, bad)
    events = look(file, 10)
    assert [event["event"] for event in events] == ["web_config_failed"]
    assert events[0]["problem"].startswith(f"{directory}/web-config.yml: ")
    assert "MARKER" not in str(events)
    assert file.configuration is before
    write(directory, ALICE)
    assert [event["event"] for event in look(file)] == ["web_config_reloaded"]
    assert look(file) == []


def test_a_different_mistake_is_logged_too(directory: Path) -> None:
    file = WebConfigFile(write(directory, ALICE))
    for text in ("users: {}", "user: {}"):
        write(directory, text)
        assert [event["event"] for event in look(file)] == ["web_config_failed"]


def test_a_missing_file_leaves_the_configuration_in_force_and_may_come_back(
    directory: Path,
) -> None:
    path = write(directory, ALICE)
    file = WebConfigFile(path)
    path.unlink()
    (failed,) = look(file)
    assert failed["problem"] == (
        f"{path}: no such file: check the path, or create it: "
        "deploy/web-config.example.yml shows what belongs here"
    )
    assert users(file) == ["alice"]
    write(directory, BOB)
    look(file)
    assert users(file) == ["bob"]


def test_a_certificate_that_a_new_file_names_may_come_after_it(directory: Path) -> None:
    file = WebConfigFile(write(directory, PAIR))
    later = {"cert_file": "later.pem", "key_file": "later-key.pem"}
    write(directory, {"tls_server_config": later})
    assert [event["event"] for event in look(file)] == ["web_config_failed"]
    Authority(directory).sign("127.0.0.1", stem="later")
    assert [event["event"] for event in look(file)] == ["web_config_reloaded"]
    Authority(directory).sign("127.0.0.1", stem="later")
    assert [event["event"] for event in look(file)] == ["web_config_reloaded"], "it is looked after"


@pytest.mark.parametrize(("before", "after"), [(PAIR, ALICE), (ALICE, PAIR)])
def test_tls_is_neither_switched_on_nor_off(
    directory: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    path = write(directory, before)
    file = WebConfigFile(path)
    held = file.configuration
    write(directory, after)
    (failed,) = look(file)
    assert failed["problem"] == NO_TLS.format(path)
    with pytest.raises(ConfigError, match="restart it"):
        file.read()
    assert file.configuration is held


def test_a_reload_takes_what_is_there_at_once_and_the_next_look_finds_nothing_new(
    directory: Path,
) -> None:
    file = WebConfigFile(write(directory, PAIR | ALICE))
    write(directory, PAIR | BOB)
    reading = file.read()
    assert users(file) == ["alice"], "all of a reload happens, or nothing"
    file.hold(reading)
    assert users(file) == ["bob"]
    assert look(file, 3) == []


def test_a_failed_reload_is_not_logged_twice(directory: Path) -> None:
    file = WebConfigFile(write(directory, ALICE))
    write(directory, "users: {}")
    with pytest.raises(ConfigError):
        file.read()
    assert look(file, 3) == []


def test_a_mistake_at_the_start_is_an_error(directory: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        WebConfigFile(write(directory, "users: {}"))


def test_without_a_file_there_is_nothing_to_look_after() -> None:
    file = WebConfigFile(None)
    assert look(file) == []
    assert file.read().configuration is file.configuration


@pytest.mark.parametrize(
    ("document", "mode", "expected"),
    [
        (ALICE, 0o644, ["web-config.yml"]),
        (ALICE, 0o640, []),
        (ALICE, 0o600, []),
        ({"rate_limit": {"interval": "1s", "burst": 1}}, 0o644, []),
        (PAIR, 0o644, ["server-key.pem"]),
        (PAIR, 0o600, []),
        (PAIR | ALICE, 0o644, ["web-config.yml", "server-key.pem"]),
    ],
)
def test_files_with_secrets_that_everybody_can_read_are_found(
    open_directory: Path, document: dict[str, Any], mode: int, expected: list[str]
) -> None:
    Authority(open_directory).sign("127.0.0.1")
    path = write(open_directory, document)
    for name in ("web-config.yml", "server-key.pem", "server.pem"):
        (open_directory / name).chmod(mode)
    assert [file.name for file in WebConfigFile(path).read().open_to_all] == expected


def test_hanging_files_are_logged_once_and_read_when_they_answer(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(directory, ALICE)
    file = WebConfigFile(path)
    hanging: list[Future[object]] = []

    def begin(_: object) -> Future[object]:
        hanging.append(Future())
        return hanging[-1]

    with monkeypatch.context() as patch:
        patch.setattr(files, "ANSWER_SECONDS", 0.0)
        patch.setattr(files, "begin", begin)
        problem = f"{path}: did not answer within 0 s: check its file system"
        assert look(file, 3) == [
            {"event": "web_config_failed", "problem": problem, "log_level": "error"}
        ]
        assert file.problem == problem
        assert users(file) == ["alice"]
    for answer in hanging:
        answer.set_result(None)
    assert len(hanging) == 1
    assert look(file) == [{"event": "web_config_reloaded", "log_level": "info"}]
    assert file.problem is None
