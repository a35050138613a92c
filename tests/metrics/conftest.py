"""What tests of the metrics share."""

from typing import get_args

import pytest

from exporter.assembly import Exporter
from exporter.config.settings import Collected
from tests.exporting import polled, simulator


@pytest.fixture(scope="session")
def demo() -> Exporter:
    """An exporter that has listed the demo's portfolio and polled all that can be collected of it once."""
    return polled(simulator(), discovery={}, collect=get_args(Collected))
