"""Fixtures of the tests of the web side."""

from pathlib import Path

import pytest

from tests.web.certificates import Authority


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with an authority and a certificate for a server on 127.0.0.1, and its key."""
    Authority(tmp_path).sign("127.0.0.1")
    return tmp_path
