"""What a command line makes the program do, and its exit status.

0: success or a clean stop; 1: a runtime failure; 2: bad usage or configuration.
"""

import argparse
import asyncio
import contextlib
import functools
import os
import platform
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

from exporter import __version__
from exporter.flags import DEFAULT_CONFIG_FILE, PROGRAM, flag_parser
from exporter.signals import Signals
from exporter.terminal import fit_for
from exporter.threads import Loop
from exporter.version import revision
from exporter.web.address import ListenError
from exporter.web.limits import Limits

if TYPE_CHECKING:
    from exporter.config import Settings

SUCCESS: Final = 0
RUNTIME_FAILURE: Final = 1
BAD_USAGE: Final = 2

CONFIG_EXAMPLE: Final = Path(__file__).parent / "config.example.yaml"


def main(signals: Signals, arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (the process's own where None) and return its exit status."""
    parser = flag_parser()
    flags = parser.parse_args(arguments)
    if flags.version:
        python = platform.python_version()
        return _show(f"{PROGRAM} {__version__} (revision {revision()}, Python {python})\n")
    if flags.config_example:
        return _show(CONFIG_EXAMPLE.read_text("utf-8"))
    if flags.demo and flags.config_file is not None:
        parser.error("--demo and --config.file are mutually exclusive")
    commands = {
        "--once": flags.once,
        "--config.check": flags.config_check,
        "--probe": flags.probe,
    }
    if len(given := [name for name, is_given in commands.items() if is_given]) > 1:
        parser.error(f"{given[0]} and {given[1]} are mutually exclusive")
    return _run(flags, signals)


def _show(text: str) -> int:
    """Write `text` to stdout and return the exit status; a reader that has left, as `head` does, is no failure."""
    if sys.stdout is None:
        _tell(f"{PROGRAM}: cannot write to stdout: it is closed")
        return RUNTIME_FAILURE
    try:
        # Whatever the terminal's encoding is: the exposition is UTF-8.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    except OSError as error:
        # What could not be written would be tried, and complained of, again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _tell(f"{PROGRAM}: cannot write to stdout: {error.strerror}")
            return RUNTIME_FAILURE
    return SUCCESS


def _tell(problem: str) -> None:
    """Write what is wrong to stderr; a file that is named in it, or quoted, may have any character."""
    print(fit_for(sys.stderr, problem), file=sys.stderr)


def _run(flags: argparse.Namespace, signals: Signals) -> int:
    # Not at the top of the file: --help, --version and bad flags answer at once without the libraries.
    with _rich_hidden():
        from exporter.config import ConfigError, SecretError  # noqa: PLC0415
        from exporter.coordination.keeper import LeaseHeldError  # noqa: PLC0415
        from exporter.custody.environment import EnvironmentMistakeError  # noqa: PLC0415
        from exporter.logs import configure  # noqa: PLC0415

    configure(flags.log_level, flags.log_format)
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(_go(flags, signals))
    except (ConfigError, SecretError, EnvironmentMistakeError) as error:
        _tell(str(error))
        return BAD_USAGE
    except (LeaseHeldError, ListenError) as error:
        _tell(f"{PROGRAM}: {error}")
        return RUNTIME_FAILURE
    except asyncio.CancelledError:
        # By a signal.
        return RUNTIME_FAILURE


@contextlib.contextmanager
def _rich_hidden() -> Iterator[None]:
    """Keep structlog and httpx from loading rich and Pygments for what nobody uses here: 0.1 s of each start."""
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    hidden = [name for name in ("rich", "pygments") if name not in modules]
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]


async def _go(flags: argparse.Namespace, signals: Signals) -> int:
    async with _loader(flags) as load:
        from exporter import app  # noqa: PLC0415 - see _run

        if flags.config_check:
            return _show(app.check(load, flags.web_config_file, sys.stdout, os.environ))
        if flags.probe:
            directory = (flags.config_file or DEFAULT_CONFIG_FILE).parent
            probed = await app.probe(
                load(), signals, directory, os.environ, as_json=flags.log_format == "json"
            )
            status = _show(probed.report)
            return status if probed.succeeded else RUNTIME_FAILURE
        if flags.once:
            once = await app.poll_once(load(), signals, sys.stderr, os.environ)
            status = _show(fit_for(sys.stdout, once.page))
            if once.report:
                print(f"\n{once.report}", end="", file=sys.stderr)
            return status if once.succeeded else RUNTIME_FAILURE
        limits = Limits(
            connections=flags.max_connections,
            requests=flags.max_requests,
            read_timeout=flags.read_timeout,
            write_timeout=flags.write_timeout,
        )
        web = app.WebOptions(
            flags.listen_address,
            flags.telemetry_path,
            flags.web_config_file,
            flags.may_reload,
            limits,
            flags.allowed_hosts or (),
        )
        config_file = None if flags.demo else flags.config_file or DEFAULT_CONFIG_FILE
        return SUCCESS if await app.serve(load, web, signals, config_file) else RUNTIME_FAILURE


@contextlib.asynccontextmanager
async def _loader(flags: argparse.Namespace) -> AsyncIterator[Callable[[], "Settings"]]:
    """Lend what loads the configuration, now and at each reload."""
    if flags.demo:
        from exporter.simulator.demonstration import demonstration  # noqa: PLC0415 - see _run

        # A first contact is to show what is well when it is.
        async with demonstration(is_calm=flags.probe) as settings:
            yield lambda: settings.for_shard(flags.shard)
    else:
        from exporter.config import load  # noqa: PLC0415 - see _run

        yield functools.partial(
            load, flags.config_file or DEFAULT_CONFIG_FILE, os.environ, flags.shard
        )
