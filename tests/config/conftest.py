"""Fixtures of the tests of the configuration."""

from pathlib import Path

import pytest

from tests.config.documents import write_secrets


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a file for each kind of secret."""
    write_secrets(tmp_path)
    return tmp_path
