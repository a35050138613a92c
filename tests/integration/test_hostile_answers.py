"""A few kilobytes that expand to 4 MiB of expensive content, for all credentials at once: memory stays bounded."""

import gzip
from pathlib import Path

import pytest
import yaml

from tests.bench.daemon import running
from tests.bench.hostile import document, environment, hostile_api
from tests.bench.hostile_bodies import BODIES
from tests.waiting import until

WORST = (
    "ones",
    "an unknown member of ones",
    "70,000 keys",
    "one text, and a character of four bytes",
    "one text of escapes",
    "an error of 4 MiB",
    "8,000 rows",
    "1,000 rows of long odd texts",
)
MOST_MIB = 100
"""MiB above the start. 64 are for all answers being read; the rest for 80,000 series and fragmentation of the heap."""


def test_hostile_answers_to_all_credentials_at_once_cost_little_memory(tmp_path: Path) -> None:
    with hostile_api() as (base_url, api):
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(document(base_url)))
        with running("--config.file", str(file), environ=environment()) as daemon:
            until(lambda: api.arrivals > 16)
            before = daemon.memory()
            # From here on VmHWM is the most since now (Linux, proc_pid_clear_refs(5)).
            Path(f"/proc/{daemon.process.pid}/clear_refs").write_text("5")
            for name in WORST:
                api.answer, api.arrivals = gzip.compress(BODIES[name]()), 0
                until(lambda: api.arrivals > 16)
            assert daemon.memory("VmHWM") - before < MOST_MIB
            page = daemon.page()
            api.answer, api.arrivals = gzip.compress(b"[]"), 0
            until(lambda: api.arrivals > 16)
    refused = [line for line in page if "api_errors_total" in line and "too_large" in line]
    assert sum(float(line.rpartition(" ")[2]) for line in refused) > 16


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies_are_small_on_their_way_and_within_the_limit_after_it(name: str) -> None:
    body = BODIES[name]()
    assert len(body) <= 4 * 1024 * 1024
    assert len(gzip.compress(body)) < len(body) / 4
