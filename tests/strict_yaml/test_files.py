"""Files that an operator names: how much of one is read, and what is said of one that cannot be."""

import os
from pathlib import Path

import pytest

from exporter.strict_yaml.files import contents, is_open_to_all
from exporter.strict_yaml.mistakes import NamedProblemError


def problem_of(file: Path) -> str:
    with pytest.raises(NamedProblemError) as caught:
        contents(file, at_most=4096)
    return caught.value.in_full


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 4096)
    assert contents(file, at_most=4096) == b"x" * 4096
    file.write_bytes(b"x" * 4097)
    assert problem_of(file) == f"is larger than 4 KiB: is it the right file? ({file})"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "no such file: check the path"),
        ("file/below", "no such file: check the path"),
        ("directory", "is a directory: name a file"),
        ("pipe", "is not a regular file: it must be one that can be read again"),
        ("/dev/zero", "is not a regular file: it must be one that can be read again"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    name: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    file = tmp_path / name
    shown = str(file) if len(str(file)) <= 256 else f"...{str(file)[-256:]}"
    assert problem_of(file) == f"{problem} ({shown})"


def test_a_file_of_another_user_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, who may read everything.
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(Path, "open", refuse)
    assert problem_of(file) == f"permission denied: let the exporter's user read the file ({file})"


def put(path: Path, mode: int) -> Path:
    path.touch()
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "is_open"),
    [(0o600, False), (0o640, False), (0o440, False), (0o660, False), (0o644, True), (0o604, True)],
    ids=oct,
)
def test_a_world_readable_file_is_open_to_all(
    mode: int,
    is_open: bool,  # noqa: FBT001 - a column of the table
    open_directory: Path,
) -> None:
    assert is_open_to_all(put(open_directory / "key", mode)) is is_open


def test_a_closed_parent_directory_keeps_others_out(open_directory: Path) -> None:
    closed = open_directory / "closed"
    (closed / "open").mkdir(parents=True)
    key = put(closed / "open" / "key", 0o644)
    assert is_open_to_all(key)
    closed.chmod(0o750)
    assert not is_open_to_all(key)


def test_a_link_neither_opens_a_file_nor_closes_it(open_directory: Path) -> None:
    closed = open_directory / "closed"
    closed.mkdir(0o700)
    (open_directory / "to-closed").symlink_to(put(closed / "key", 0o644))
    (closed / "to-open").symlink_to(put(open_directory / "key", 0o644))
    assert not is_open_to_all(open_directory / "to-closed")
    assert is_open_to_all(closed / "to-open")


def test_a_kubernetes_secret_that_is_mounted_for_a_group_is_not_open(open_directory: Path) -> None:
    mount = open_directory / "..2026_11_21"
    mount.mkdir()
    put(mount / "api-key", 0o440)
    (open_directory / "..data").symlink_to(mount.name)
    (open_directory / "api-key").symlink_to("..data/api-key")
    assert not is_open_to_all(open_directory / "api-key")


def test_a_missing_file_is_not_open_to_all(open_directory: Path) -> None:
    assert not is_open_to_all(open_directory / "key")
    (open_directory / "loop").symlink_to("loop")
    assert not is_open_to_all(open_directory / "loop")
