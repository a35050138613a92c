"""Loads the exporter in a separate process, library by library, and reports what each takes.

`python -m tests.bench.loading` prints the loaded modules; with groups of modules as JSON on stdin, it prints the MiB of
resident memory and seconds of processor time of each group. The interpreter and this module's own imports come first.
"""

import contextlib
import gc
import json
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module

PAGE_BYTES = 4096


def _load(groups: Mapping[str, Sequence[str]]) -> list[tuple[float, float]]:
    totals = [(0.0, 0.0), _taken()]
    for modules in groups.values():
        for module in modules:
            # Some modules are loaded under a name that cannot be imported.
            with contextlib.suppress(ImportError):
                import_module(module)
        totals.append(_taken())
    return [
        (memory - less, seconds - before)
        for (memory, seconds), (less, before) in zip(totals[1:], totals, strict=False)
    ]


def _taken() -> tuple[float, float]:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib is one of the modules
        pages = int(file.read().split()[1])
    return pages * PAGE_BYTES / 2**20, time.process_time()


if __name__ == "__main__":
    # As exporter/cli.py does.
    sys.modules |= {"rich": None, "pygments": None}  # type: ignore[dict-item]  # as Python hides a module
    gc.disable()
    if asked := sys.stdin.read():
        print(json.dumps(_load(json.loads(asked))))
    else:
        import_module("exporter.commands")
        print(json.dumps(list(sys.modules)))
