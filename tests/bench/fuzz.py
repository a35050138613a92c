"""Hundreds of thousands of hostile inputs for every exposed surface; fails if any of them finds a defect.

Most are fed within the process, a share to a server over loopback. The same seed makes the same inputs.
"""

import asyncio
import sys
import time
from typing import Final

from exporter.logs import configure
from tests.fuzzing.surface import Report, fuzz
from tests.fuzzing.surfaces import SURFACES

INPUTS: Final = 100_000
QUICK_INPUTS: Final = 5_000
SLOW_SECONDS: Final = 1.0
SHOWN: Final = 200


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table and every defect; exit with 1 if there is one."""
    configure("error", "logfmt")
    print(
        "| surface | inputs | outcomes | most frequent | worst input, processor | in all | defects |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    reports = [_fuzzed(index, quick=quick) for index in range(len(SURFACES))]
    for report in reports:
        for sample, why in report.defects:
            print(f"\n{report.name}: {why}\n    {sample!r}")
    if any(report.defects for report in reports):
        sys.exit(1)


def _fuzzed(index: int, *, quick: bool) -> Report:
    began = time.monotonic()
    count = QUICK_INPUTS if quick else INPUTS
    report = asyncio.run(fuzz(SURFACES[index], count, slow_seconds=SLOW_SECONDS))
    frequent = ", ".join(f"{name} ({times})" for name, times in report.outcomes.most_common(3))
    print(
        f"| {report.name} | {report.inputs:,} | {len(report.outcomes)} | {frequent} "
        f"| {report.worst_seconds * 1000:.0f} ms | {time.monotonic() - began:.0f} s | {len(report.defects)} |",
        flush=True,
    )
    return report
