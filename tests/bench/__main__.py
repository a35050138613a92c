"""`make bench`: measures what the README claims, on the machine at hand, and prints it as tables.

`make bench ARGS=--quick` takes fewer measurements; `ARGS="budget"` runs one of the benchmarks. `fuzz` and `shards` take
so long that they run only by name. Traffic goes to loopback only, and each benchmark ends by itself.
"""

import argparse
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime

from tests.bench import (
    budget,
    discovery,
    fuzz,
    hostile,
    layers,
    page,
    polling,
    rules,
    scrape,
    shards,
    soak,
    start,
    targets,
)
from tests.bench.peer import compare

BENCHMARKS: dict[str, Callable[[bool], None]] = {
    "start": start.measure,
    "budget": budget.measure,
    "discovery": discovery.measure,
    "polling": polling.measure,
    "layers": layers.measure,
    "hostile": hostile.measure,
    "page": page.measure,
    "peer": compare.measure,
    "rules": rules.measure,
    "scrape": scrape.measure,
    "soak": soak.measure,
    "targets": targets.measure,
}
BY_NAME_ONLY: dict[str, Callable[[bool], None]] = {"fuzz": fuzz.measure, "shards": shards.measure}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    known = BENCHMARKS | BY_NAME_ONLY
    parser.add_argument("benchmarks", nargs="*", choices=[*known, []], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    flags = parser.parse_args()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}"
    )
    for name in flags.benchmarks or BENCHMARKS:
        print(f"\n## {name}\n")
        known[name](flags.quick)


if __name__ == "__main__":
    main()
