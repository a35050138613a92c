"""What tests of the reader share with those of the configuration, which they read with it."""

from tests.config.conftest import directory

__all__ = ["directory"]
