"""`make mutation`: which mutants of each module the tests of its own package detect.

Prints for each module how many mutants were tried and how many of them the tests detected, then the survivors. Mutants
in `equivalents.txt` are left out: they do not change the behaviour. The mutants run in a copy of the tree. Results are
kept in .mutation/: while a module stays the same, only survivors are tried again.
"""

import argparse
import contextlib
import importlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from tools.mutation.mutants import Mutant, mutants_of
from tools.mutation.trial import Reached, look, start

ROOT: Final = Path(__file__).resolve().parents[2]
KEPT: Final = ROOT / ".mutation"
EQUIVALENTS: Final = Path(__file__).with_name("equivalents.txt")
PACKAGES: Final = (
    "config",
    "coordination",
    "custody",
    "discovery",
    "metrics",
    "polling",
    "probe",
    "resources",
    "state",
    "status",
    "strict_yaml",
    "web",
    "web/access",
)
WARM: Final = (
    "httpx",
    "hypothesis",
    "prometheus_client",
    "msgspec",
    "structlog",
    "starlette",
    "yaml",
)
"""Libraries that most tests need, imported once for all forked processes."""
SLOW: Final = (
    "test_anything or full_load or too_many_vaults or third_of_the_targets or "
    "daylight_saving or two_exporters"
)
"""Words in the names of tests that are too slow to run here."""
LONGEST_TEST_SECONDS: Final = 8.0
"""Processor time, which a busy machine doubles; slower tests are not run."""
MOST_SECONDS: Final = 20.0
"""Processor time for the tests of one mutant, the quickest first."""
LONGEST_WAIT_SECONDS: Final = 60.0
BUSY: Final = 10
"""Wall seconds per second of processor time; tests that never end are stopped LONGEST_WAIT_SECONDS after that."""


def main(arguments: Sequence[str]) -> int:
    """Try the requested mutants; return 1 if fewer are detected than required."""
    parser = argparse.ArgumentParser(prog="make mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=PACKAGES, help="polling, polling/budget, …")
    parser.add_argument("--sample", type=int, default=sys.maxsize, help="mutants of each module")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0.0, help="percent of each module")
    parser.add_argument("--brief", action="store_true", help="leave the survivors out")
    asked = parser.parse_args(arguments)
    os.nice(5)
    equivalents, gone = _equivalents(), list[str]()
    is_held = True
    print(f"{'module':24} mutants tried noticed equivalent  held")
    with _copy_of_the_tree():
        for path in _paths(asked.modules):
            tried, every = _tried(path, asked.sample, asked.processes)
            module, total = _module(path), len(every)
            gone += [
                f"[{of}] {name}"
                for of, name in sorted(equivalents)
                if of == module and name not in every
            ]
            same = [name for name in tried if (module, name) in equivalents]
            survivors = [
                name for name, noticed in tried.items() if not noticed and name not in same
            ]
            noticed = len(tried) - len(same) - len(survivors)
            held = 100 * noticed / max(1, noticed + len(survivors))
            is_held = is_held and held >= asked.at_least
            print(f"{module:24} {total:7} {len(tried):5} {noticed:7} {len(same):10} {held:4.0f}%")
            if not asked.brief:
                print("".join(f"    {name}\n" for name in survivors), end="", flush=True)
    if gone:
        print(f"{EQUIVALENTS.name} names mutants that no longer exist:", *gone, sep="\n    ")
    return int(not is_held)


def _equivalents() -> set[tuple[str, str]]:
    """Return the module and the name of each mutant that changes nothing."""
    lines = EQUIVALENTS.read_text("utf-8").splitlines()
    module, found = "", set()
    for line in lines:
        if line.startswith("# "):
            continue
        if line.startswith("[") and line.endswith("]"):
            module = line[1:-1]
        elif line and not line.startswith(" "):
            found.add((module, line))
    return found


@contextlib.contextmanager
def _copy_of_the_tree() -> Iterator[None]:
    """Work in a copy, so that edits during the run have no effect."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as copy:
        for name in filter(None, files.decode().split("\0")):
            if (ROOT / name).is_file():
                (Path(copy) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, Path(copy) / name)
        os.chdir(copy)
        sys.path.insert(0, copy)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(Path(copy) / ".hypothesis")
        yield
        os.chdir(ROOT)


def _paths(modules: Sequence[str]) -> list[Path]:
    paths = []
    for name in modules:
        path = Path("exporter", name)
        paths += sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [path for path in paths if path.name != "__init__.py"]


def _module(path: Path) -> str:
    return "/".join(path.with_suffix("").parts[1:])


def _tried(path: Path, most: int, processes: int) -> tuple[dict[str, bool], set[str]]:
    """Return whether the tests noticed them, for `most` mutants of the module at `path`, and the names of all."""
    source = path.read_text("utf-8")
    mutants = mutants_of(source)
    sample = set(sorted(mutant.rank for mutant in mutants)[:most])
    kept = KEPT / f"{path.parent.name}.{path.stem}.{sha256(source.encode()).hexdigest()[:16]}.json"
    noticed: dict[str, bool] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    chosen = [mutant for mutant in mutants if mutant.rank in sample]
    reached = _reached(path)
    for library in WARM:
        importlib.import_module(library)
    _check_tests(path, source, reached)
    open_ = [mutant for mutant in chosen if not noticed.get(mutant.name)]
    for mutant, was_noticed in _outcomes(path, open_, reached, processes):
        noticed[mutant.name] = was_noticed
        kept.write_text(json.dumps(noticed, indent=0), "utf-8")
    return {mutant.name: noticed[mutant.name] for mutant in chosen}, {it.name for it in mutants}


def _reached(path: Path) -> Reached:
    """Return what the tests of its package reach, file by file, anew for each file that is not what it was.

    A module that is in no package has the tests in the file of its name.
    """
    KEPT.mkdir(exist_ok=True)
    package = path.parent
    named = "test_*.py" if package.parts[1:] else f"test_{path.stem}.py"
    sources = b"".join(path.read_bytes() for path in sorted(package.glob("*.py")))
    everything = Reached()
    home = Path("tests", *package.parts[1:])
    for tests in sorted(home.glob(named)):
        digest = sha256(tests.read_bytes() + sources + SLOW.encode()).hexdigest()[:16]
        kept = KEPT / f"{package.name}.{tests.stem}.{digest}.pickle"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(look(package, tests, SLOW)))
        reached: Reached = pickle.loads(kept.read_bytes())  # noqa: S301 - written above
        everything.lines |= reached.lines
        everything.seconds |= reached.seconds
    return everything


def _check_tests(path: Path, source: str, reached: Reached) -> None:
    """Raise RuntimeError if the tests detect an unchanged module: they would detect every mutant."""
    nothing_changed = Mutant("", "", "", 1, frozenset(), frozenset(), source)
    tests = _tests_for(path, nothing_changed, reached)
    _, status = os.waitpid(start(path, source, tests), 0)
    if status:
        raise RuntimeError(f"the tests of {path} fail in a forked process")


def _outcomes(
    path: Path, mutants: Sequence[Mutant], reached: Reached, processes: int
) -> Iterator[tuple[Mutant, bool]]:
    """Yield each mutant with whether the tests noticed it, as they end."""
    waiting = list(mutants)
    running: dict[int, tuple[Mutant, float]] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            mutant = waiting.pop(0)
            tests = _tests_for(path, mutant, reached)
            if not tests:
                yield mutant, False
                continue
            pid = start(path, mutant.source, tests)
            longest = LONGEST_WAIT_SECONDS + BUSY * sum(tests.values())
            running[pid] = mutant, time.monotonic() + longest
        time.sleep(0.02)
        for pid, (mutant, deadline) in list(running.items()):
            if time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del running[pid]
                yield mutant, status != 0


def _tests_for(path: Path, mutant: Mutant, reached: Reached) -> dict[str, float]:
    """Return the tests that reach the mutant, then those that reach its function, each the quickest first.

    Those of its own file are before all others. By their id, the seconds of processor time that they took. Python 3.11
    traces no more of a function once an exception has passed through a generator that it called, as that of a context
    manager.
    """
    own = f"{Path('tests', *path.parts[1:-1])}/test_{path.stem}.py::"
    at, around = ({(path.name, line) for line in lines} for lines in (mutant.lines, mutant.around))
    found = [test for test, reaches in reached.lines.items() if reaches & around]
    # Code that runs at import is reached by all.
    found = found or list(reached.lines)
    found.sort(
        key=lambda test: (
            reached.lines[test].isdisjoint(at),
            not test.startswith(own),
            reached.seconds[test],
        )
    )
    chosen: dict[str, float] = {}
    seconds = 0.0
    for test in found:
        seconds += reached.seconds[test]
        if reached.seconds[test] > LONGEST_TEST_SECONDS or (chosen and seconds > MOST_SECONDS):
            break
        chosen[test] = reached.seconds[test]
    return chosen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
