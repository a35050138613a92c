"""Fixtures shared with the tests of the configuration, which use the reader."""

from tests.config.conftest import directory

__all__ = ["directory"]
