"""What tests of the metrics share."""

import pytest

from exporter.assembly import Exporter
from tests.exporting import polled, simulator


@pytest.fixture(scope="session")
def demo() -> Exporter:
    """An exporter that has listed and polled the demo's portfolio once."""
    return polled(simulator(), discovery={})
