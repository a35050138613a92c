"""Fixtures and hooks for every test."""

import gc
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, is_hypothesis_test, settings
from xdist.plugin import (  # type: ignore[import-untyped] # it comes without types
    pytest_xdist_auto_num_workers as cores,
)

from tests.json_schemas import read_grammar_late

# What is collected stays: to search it for garbage, again and again as it grows, takes a tenth of that time.
gc.disable()

HERE = Path(__file__).parent
WAITING = ("browser", "deploy", "integration", "packaging", "test_cli.py")
"""Directories whose tests wait for other programs and for time to pass."""

# The duration of an example depends on how busy the machine is, not on the code.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
# After a change to code that reads input from outside: make test ARGS=--hypothesis-profile=thorough
settings.register_profile("thorough", settings.get_profile("any_machine"), max_examples=1000)
settings.load_profile("any_machine")

# Before jsonschema is imported.
read_grammar_late()

# Rendering the traceback of a single defect, as the library does by default, takes longer than most tests.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Undo a test's logging configuration, which uses the stderr that pytest captured and closes after the test."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.get_config()["processors"] is not before["processors"]:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**before)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter; pytest's own are closed to all others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use all cores while tests wait: with two workers for each, a third of their time was idle."""
    return 3 * int(cores(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first, so that no core waits for one at the end; keep random examples out of coverage."""
    items.sort(key=lambda item: item.path.relative_to(HERE).parts[0] not in WAITING)
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.no_cover)


def pytest_collection_finish() -> None:
    """Exempt thousands of collected tests from garbage collection, which would spend half its time on them."""
    gc.freeze()
    gc.enable()
