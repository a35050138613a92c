"""Fixtures of the tests of the metrics."""

from typing import get_args

import pytest

from exporter.assembly import Exporter
from exporter.config.settings import Collected
from tests.exporting import polled, simulator


@pytest.fixture(scope="session")
def demo() -> Exporter:
    """An exporter that has listed the demo's portfolio and polled everything that can be collected of it once."""
    return polled(simulator(), discovery={}, collect=get_args(Collected))
