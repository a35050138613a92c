"""Runs tests of this project in forked processes: once as it is, then with a mutant in the place of a module."""

import gc
import importlib.abc
import importlib.util
import os
import pickle
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from time import process_time
from types import ModuleType
from typing import Any, Final

import pytest
from coverage import Coverage

QUIET: Final = (
    *("-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-seed=0"),
    # Nobody reads a report here, so asserts need not be rewritten, and a forked process need not be tidied up.
    *("--assert=plain", "-p", "no:unraisableexception", "-p", "no:threadexception"),
    # So that pytest finds its plugins already imported.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
    # Many tests reach nothing in the package.
    *("-W", "ignore::coverage.exceptions.CoverageWarning"),
)


PATIENCE: Final = 5
"""How many times its usual time a test may take, and how many seconds in addition."""
MOST_BYTES: Final = 2**31
"""Maximum address space of a forked process."""


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from the given source, whatever its file holds."""

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._name = ".".join(path.with_suffix("").parts)
        self._source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path.absolute(), loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - a mutant is there to be run


@dataclass
class Reached:
    """What tests reach when nothing is changed.

    lines: (name of the file, line), by the test's id. seconds: of processor time, by the test's id.
    """

    lines: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class _Watch:
    """Fills `reached` during a run with what is reached of the modules in `package`."""

    def __init__(self, reached: Reached, package: Path) -> None:
        self._reached = reached
        modules = str(package.absolute() / "*.py")
        self._coverage = Coverage(data_file=None, config_file=False, include=[modules])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Any:  # noqa: ANN401 - pytest's own
        with self._coverage.collect():
            has_run = yield
        data = self._coverage.get_data()
        for file in data.measured_files():
            for line, tests in data.contexts_by_lineno(file).items():
                for test in filter(None, tests):
                    self._reached.lines[test].add((Path(file).name, line))
        return has_run

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:  # noqa: ANN401 - pytest's own
        _forget()
        self._reached.lines[item.nodeid] = set()
        self._coverage.switch_context(item.nodeid)
        began = process_time()
        try:
            return (yield)
        finally:
            self._reached.seconds[item.nodeid] = process_time() - began
            self._coverage.switch_context("")


def _forget() -> None:
    """Clear the caches of functions, so that a test reaches what it would reach alone."""
    for name, module in list(sys.modules.items()):
        if name.startswith("exporter."):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


class _Chosen:
    """Runs only the chosen tests, in order, and ends the process if one takes far longer than usual."""

    def __init__(self, tests: Mapping[str, float]) -> None:
        self._usual = tests
        self._place = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = (item for item in items if item.nodeid in self._place)
        items[:] = sorted(chosen, key=lambda item: self._place[item.nodeid])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        longest = process_time() + PATIENCE + PATIENCE * self._usual[item.nodeid]
        resource.setrlimit(resource.RLIMIT_CPU, (int(longest), resource.RLIM_INFINITY))


def look(package: Path, tests: Path, without: str) -> Reached:
    """Return what the tests in the file `tests` reach of the modules in `package`.

    without: what pytest's `-k` takes for those that are left out. Raises RuntimeError if one fails as it is.
    """

    def watched() -> int:
        reached = Reached()
        chosen = ("-k", f"not ({without})") if without else ()
        status = pytest.main([*QUIET, *chosen, str(tests)], plugins=[_Watch(reached, package)])
        with os.fdopen(report, "wb") as file:
            pickle.dump(reached, file)
        return status

    with tempfile.TemporaryFile() as file:
        report = os.dup(file.fileno())
        _, status = os.waitpid(_forked(watched), 0)
        os.close(report)
        if os.waitstatus_to_exitcode(status) not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise RuntimeError(f"{tests} fails before anything is changed")
        file.seek(0)
        return pickle.load(file)  # type: ignore[no-any-return]  # noqa: S301 - written above


def start(path: Path, source: str, tests: Mapping[str, float]) -> int:
    """Start tests with `source` for the module at `path`; return the id of their process.

    tests: usual seconds of processor time, by the test's id. Its status is 0 if no test noticed.
    """

    def mutated() -> int:
        sys.meta_path.insert(0, _Mutated(path, source))
        # One after the other: most mutants are detected in the first file, and importing all takes longer.
        for file in dict.fromkeys(test.partition("::")[0] for test in tests):
            if status := pytest.main([*QUIET, file], plugins=[_Chosen(tests)]):
                return status
        return 0

    return _forked(mutated)


def _forked(task: Callable[[], int]) -> int:
    gc.freeze()
    if pid := os.fork():
        return pid
    status = 70
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        # A mutant that never ends may take all of the memory before its time is over.
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        status = task()
    finally:
        os._exit(status)
