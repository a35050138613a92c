"""The command line, and the answers that need no libraries.

The exit status is 0 after success or a clean stop, 1 after a runtime failure, 2 after bad usage or configuration.
"""

import contextlib
import gc
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final, cast

from exporter import __version__
from exporter.flags import PROGRAM, flag_parser
from exporter.output import show
from exporter.signals import Signals
from exporter.version import revision

CONFIG_EXAMPLE: Final = Path(__file__).parent / "config.example.yaml"


def main(signals: Signals, arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (the process's own if None) and return its exit status."""
    parser = flag_parser()
    flags = parser.parse_args(arguments)
    if flags.version:
        python = platform.python_version()
        return show(f"{PROGRAM} {__version__} (revision {revision()}, Python {python})\n")
    if flags.config_example:
        return show(CONFIG_EXAMPLE.read_text("utf-8"))
    if flags.demo and flags.config_file is not None:
        parser.error("--demo and --config.file are mutually exclusive")
    commands = {
        "--once": flags.once,
        "--config.check": flags.config_check,
        "--probe": flags.probe,
    }
    if len(given := [name for name, is_given in commands.items() if is_given]) > 1:
        parser.error(f"{given[0]} and {given[1]} are mutually exclusive")
    with _loading():
        # Not at the top of the file: all of the above answers at once, without the libraries.
        from exporter.commands import run  # noqa: PLC0415

    return run(flags, signals)


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Speed up the imports in the block, by 0.15 s.

    structlog and httpx would import rich and Pygments for features that are not used here. Garbage collections would
    repeatedly visit modules, which are never freed.
    """
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    hidden = [name for name in ("rich", "pygments") if name not in modules]
    modules.update(dict.fromkeys(hidden))
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        for name in hidden:
            del modules[name]
