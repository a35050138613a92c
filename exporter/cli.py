"""Flags and exit statuses, nothing else.

0: success or a clean stop; 1: a runtime failure; 2: bad usage or configuration.
"""

import argparse
import asyncio
import contextlib
import functools
import os
import platform
import re
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from exporter import __version__
from exporter.terminal import paint_for
from exporter.version import revision
from exporter.web.address import RESERVED_PATHS, ListenAddress, ListenError
from exporter.web.limits import DEFAULT_LIMITS, Limits, number, seconds

if TYPE_CHECKING:
    from exporter.config import Settings

Value = TypeVar("Value")

PROGRAM: Final = "kraken-custody-exporter"
DEFAULT_CONFIG_FILE: Final = Path("config.yaml")
SUCCESS: Final = 0
RUNTIME_FAILURE: Final = 1
BAD_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (the process's own where None) and return its exit status."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    if flags.version:
        python = platform.python_version()
        _show(f"{PROGRAM} {__version__} (revision {revision()}, Python {python})\n")
        return SUCCESS
    if flags.demo and flags.config_file is not None:
        parser.error("--demo brings its own configuration: leave out --config.file")
    if flags.once and flags.config_check:
        parser.error("--once and --config.check exclude each other")
    return _run(flags)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Prometheus exporter for the vault balances of Kraken's custody service.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config.file",
        dest="config_file",
        metavar="PATH",
        type=Path,
        help=f"configuration file (default: {DEFAULT_CONFIG_FILE})",
    )
    parser.add_argument(
        "--config.check",
        dest="config_check",
        action="store_true",
        help="validate the configuration and the files it names, print the polling plan, exit",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="poll every target once, write the exposition to stdout, exit",
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="start the embedded custody API simulator and export from it; "
        "needs no configuration and no credentials",
    )
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="HOST:PORT",
        type=_argument(ListenAddress.parse),
        default="127.0.0.1:10063",
        help="where to serve; :PORT means every interface (default: %(default)s)",
    )
    parser.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        type=_argument(_telemetry_path),
        default="/metrics",
        help="path of the metrics (default: %(default)s)",
    )
    parser.add_argument(
        "--web.enable-lifecycle",
        dest="may_reload",
        action="store_true",
        help="allow POST /-/reload",
    )
    parser.add_argument(
        "--web.max-connections",
        dest="max_connections",
        metavar="NUMBER",
        type=_argument(partial(number, least=1)),
        default=DEFAULT_LIMITS.connections,
        help="connections at once; a further one replaces the one that has waited longest for a request "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--web.max-requests",
        dest="max_requests",
        metavar="NUMBER",
        type=_argument(partial(number, least=0)),
        default=DEFAULT_LIMITS.requests,
        help="requests answered at once, 0 for any number; further ones get 503 (default: %(default)s)",
    )
    parser.add_argument(
        "--web.read-timeout",
        dest="read_timeout",
        metavar="DURATION",
        type=_argument(seconds),
        default=f"{DEFAULT_LIMITS.read_timeout:g}s",
        help="time to send the head of a request (default: %(default)s)",
    )
    parser.add_argument(
        "--web.write-timeout",
        dest="write_timeout",
        metavar="DURATION",
        type=_argument(seconds),
        default=f"{DEFAULT_LIMITS.write_timeout:g}s",
        help="time to take an answer (default: %(default)s)",
    )
    parser.add_argument(
        "--log.level",
        dest="log_level",
        choices=("debug", "info", "warn", "error"),
        default="info",
        help="least severe events to log (default: %(default)s)",
    )
    parser.add_argument(
        "--log.format",
        dest="log_format",
        choices=("logfmt", "json"),
        default="logfmt",
        help="form of the log, which goes to stderr (default: %(default)s)",
    )
    parser.add_argument(
        "--version", action="store_true", help="print version, revision and Python, exit"
    )
    return parser


def _argument(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Make argparse show the message of a ValueError instead of a general one."""

    def checked(text: str) -> Value:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _telemetry_path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text) or text in RESERVED_PATHS:
        raise ValueError(f"{text!r} is not a path of its own, such as /metrics")
    return text


def _show(text: str) -> None:
    """Write `text` to stdout; a reader that has left, as `head` does, wants no more of it."""
    try:
        # Whatever the terminal's encoding is: the exposition is UTF-8.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    except BrokenPipeError:
        # What could not be written would be tried, and complained of, again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(flags: argparse.Namespace) -> int:
    # Not at the top of the file: --help, --version and bad flags answer at once without the libraries.
    from exporter.config import ConfigError, SecretError  # noqa: PLC0415
    from exporter.custody.connections import EnvironmentMistakeError  # noqa: PLC0415
    from exporter.logs import configure  # noqa: PLC0415

    configure(flags.log_level, flags.log_format)
    try:
        return asyncio.run(_go(flags))
    except (ConfigError, SecretError, EnvironmentMistakeError) as error:
        print(error, file=sys.stderr)
        return BAD_USAGE
    except ListenError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return RUNTIME_FAILURE
    except KeyboardInterrupt:
        return RUNTIME_FAILURE


async def _go(flags: argparse.Namespace) -> int:
    async with _loader(flags) as load:
        from exporter import app  # noqa: PLC0415 - see _run

        if flags.config_check:
            _show(app.check(load(), paint_for(sys.stdout, os.environ)))
            return SUCCESS
        if flags.once:
            once = await app.poll_once(load(), paint_for(sys.stderr, os.environ))
            _show(once.page)
            # Elsewhere the log has told it already.
            if sys.stderr.isatty():
                print(f"\n{once.report}", end="", file=sys.stderr)
            return SUCCESS if once.succeeded else RUNTIME_FAILURE
        limits = Limits(
            connections=flags.max_connections,
            requests=flags.max_requests,
            read_timeout=flags.read_timeout,
            write_timeout=flags.write_timeout,
        )
        web = app.WebOptions(flags.listen_address, flags.telemetry_path, flags.may_reload, limits)
        return SUCCESS if await app.serve(load, web) else RUNTIME_FAILURE


@contextlib.asynccontextmanager
async def _loader(flags: argparse.Namespace) -> AsyncIterator[Callable[[], "Settings"]]:
    """Lend what loads the configuration, now and at each reload."""
    if flags.demo:
        from exporter.demo.demonstration import demonstration  # noqa: PLC0415 - see _run

        async with demonstration() as settings:
            yield lambda: settings
    else:
        from exporter.config import load  # noqa: PLC0415 - see _run

        yield functools.partial(load, flags.config_file or DEFAULT_CONFIG_FILE, os.environ)
