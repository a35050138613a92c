"""Which package of the program may import which: read from the import statements of every module."""

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

import exporter

ROOT: Final = Path(exporter.__file__).parent
PARTS: Final[Mapping[str, str]] = {
    "exporter": "app",
    **dict.fromkeys(
        (
            "exporter.clocks",
            "exporter.durations",
            "exporter.events",
            "exporter.logs",
            "exporter.secret",
            "exporter.shard",
            "exporter.signals",
            "exporter.terminal",
            "exporter.threads",
            "exporter.turns",
            "exporter.version",
        ),
        "foundation",
    ),
    "exporter.config": "config",
    "exporter.coordination": "coordination",
    "exporter.custody": "custody",
    "exporter.discovery": "discovery",
    "exporter.metrics": "metrics",
    "exporter.polling": "polling",
    "exporter.resources": "resources",
    "exporter.simulator": "simulator",
    "exporter.state": "state",
    "exporter.status": "status",
    "exporter.strict_yaml": "strict_yaml",
    "exporter.web": "web",
    "exporter.web.access": "access",
    "exporter.assembly": "assembly",
    "exporter.probe": "probe",
    "exporter.reload": "reload",
    "exporter.report": "report",
    "exporter.__main__": "cli",
    "exporter.cli": "cli",
    "exporter.commands": "cli",
    "exporter.flags": "cli",
    "exporter.healthcheck": "cli",
    "exporter.output": "cli",
}
"""A module belongs to the longest of these names that matches."""

ARROWS: Final[Mapping[str, frozenset[str]]] = {
    part: frozenset(("foundation", *below.split()))
    for part, below in {
        "strict_yaml": "",
        "config": "strict_yaml",
        "access": "strict_yaml",
        "coordination": "config strict_yaml",
        "custody": "config strict_yaml",
        "metrics": "",
        "discovery": "config",
        "resources": "config custody discovery metrics",
        "state": "custody metrics resources",
        "polling": "config custody discovery metrics resources state",
        "status": "coordination discovery polling resources state",
        "web": "access coordination discovery metrics polling resources state status",
        "report": "config polling resources state",
        "probe": "config custody discovery polling report resources strict_yaml",
        "simulator": "config web",
        "reload": "access config custody polling",
        "assembly": "config coordination custody discovery metrics polling reload resources state status",
        "app": "access assembly config coordination custody metrics polling probe reload report state web",
        "cli": "access app config coordination custody simulator web",
    }.items()
} | {"foundation": frozenset()}
"""The packages that each of them may import."""

GENERIC: Final = (
    "exporter.durations",
    "exporter.secret",
    "exporter.strict_yaml",
    "exporter.threads",
    "exporter.web.access",
)
"""A strict YAML reader and an exporter-toolkit, which could be published separately one day."""


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES: Final = {name_of(file): file for file in sorted(ROOT.rglob("*.py"))}


def is_in(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def part_of(module: str) -> str:
    return PARTS[max((name for name in PARTS if is_in(module, name)), key=len)]


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of the program that a module imports anywhere, including for annotations."""
    return frozenset(_imports(ast.parse(FILES[module].read_text())))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_in(alias.name, "exporter"))
        elif isinstance(node, ast.ImportFrom) and is_in(node.module or "", "exporter"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in FILES else str(node.module)


def imports_at(module: str) -> Iterator[str]:
    """Yield the imports of a module, except the version number, which all may import."""
    return (it for it in imports(module) if it != "exporter")


def test_a_module_imports_only_what_its_part_may_import() -> None:
    assert {
        (module, it)
        for module in FILES
        for it in imports_at(module)
        if part_of(it) not in ARROWS[part_of(module)] | {part_of(module)}
    } == set()


def test_the_imports_between_parts_form_no_cycle() -> None:
    assert set(TopologicalSorter(ARROWS).static_order()) == set(ARROWS)


def test_the_imports_of_modules_form_no_cycle() -> None:
    graph = {module: set(imports_at(module)) - {module} for module in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_start_compiles_no_dataclass() -> None:
    """Each that is frozen takes 0.5 ms of every start, a msgspec.Struct 0.01."""
    users = {module for module in FILES if "dataclasses" in packages(module)}
    assert {part_of(module) for module in users} == {"simulator"}


def test_only_app_imports_the_builder() -> None:
    assert {module for module in FILES if "exporter.assembly" in imports(module)} == {
        "exporter.app"
    }


def test_what_is_generic_imports_nothing_of_this_product() -> None:
    def is_generic(module: str) -> bool:
        return any(is_in(module, of) for of in GENERIC)

    assert {
        (module, it)
        for module in filter(is_generic, FILES)
        for it in imports(module)
        if not is_generic(it)
    } == set()


def packages(module: str) -> set[str]:
    """Return the packages that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def libraries(module: str) -> set[str]:
    """Return the packages that a module imports, besides Python's own and this one."""
    return packages(module) - sys.stdlib_module_names - {"exporter"}


def test_only_one_module_builds_on_what_uvicorn_does_not_promise() -> None:
    assert {module for module in FILES if "uvicorn" in libraries(module)} == {
        "exporter.web.on_uvicorn"
    }


def test_the_libraries_that_are_imported_are_those_that_are_declared() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = {Requirement(it).name for it in chain(project["dependencies"], *extras)}
    distributions = packages_distributions()
    imported = {
        distributions[library][0].lower().replace("_", "-")
        for library in set().union(*map(libraries, FILES))
    }
    # One is declared only for its version bounds, the other for httpcore, which looks for it.
    assert declared - {"idna", "sniffio"} == imported
