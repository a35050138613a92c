"""The security policy names tests, files, flags and events that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
POLICY = (ROOT / ".github" / "SECURITY.md").read_text("utf-8")


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"`((?:tests|deploy)/[^`]+)`", POLICY)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_flag_and_event_that_it_names_is_known() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "exporter").rglob("*.py"))
    named = re.findall(r"`(--[a-z.-]+|[a-z]+_[a-z_]+)`", POLICY)
    assert named
    assert [name for name in named if f'"{name}"' not in code and f"{name}:" not in code] == []


def test_every_make_target_that_it_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = re.findall(r"`make ([a-z]+)", POLICY)
    assert named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
