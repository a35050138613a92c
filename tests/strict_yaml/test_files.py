"""Files that an operator names: how much of one is read, and what is said of one that cannot be."""

import os
from pathlib import Path

import pytest

from exporter.strict_yaml.files import contents
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
