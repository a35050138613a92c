"""The flags: their names, defaults, formats and help texts."""

import argparse
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from exporter.durations import read_duration
from exporter.shard import Shard
from exporter.web.access.host import host_name
from exporter.web.address import RESERVED_FOLDERS, RESERVED_PATHS, ListenAddress
from exporter.web.limits import DEFAULT_LIMITS, number

Value = TypeVar("Value")

PROGRAM: Final = "kraken-custody-exporter"
DEFAULT_CONFIG_FILE: Final = Path("config.yaml")


class _Once(argparse.Action):
    """Stores a value, or True for a flag without one. A repeated flag is an error, as in Prometheus."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        _option_string: str | None = None,
    ) -> None:
        given = vars(namespace).setdefault("given", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, "cannot be repeated")
        given.add(self.dest)
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


def flag_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        # All flags would hide the one line that says what is wrong.
        usage="%(prog)s [--help] [FLAG ...]",
        description="Prometheus exporter for vault balances held with Kraken's Insto Custody.",
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help="Show this help, and exit.")
    parser.register("action", None, _Once)
    parser.add_argument(
        "--config.file",
        dest="config_file",
        metavar="PATH",
        type=Path,
        help=f"Configuration file (default: {DEFAULT_CONFIG_FILE}).",
    )
    parser.add_argument(
        "--config.check",
        dest="config_check",
        nargs=0,
        default=False,
        help="Validate the configuration and the files it names, print the polling plan, and exit.",
    )
    parser.add_argument(
        "--config.example",
        dest="config_example",
        nargs=0,
        default=False,
        help="Print an example configuration with every key, its default and its meaning, and exit.",
    )
    parser.add_argument(
        "--once",
        nargs=0,
        default=False,
        help="Poll every target once, write the metrics to stdout, and exit.",
    )
    parser.add_argument(
        "--probe",
        nargs=0,
        default=False,
        help="First contact: ask the API a few careful questions with each credential, report what it answered and "
        "what to configure, and exit.",
    )
    parser.add_argument(
        "--demo",
        nargs=0,
        default=False,
        help="Export from an embedded simulator of the custody API; needs no configuration and no credentials.",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        type=_argument(Shard.parse),
        default="0/1",
        help="Poll only the targets of shard I of N, from 0; each shard needs its own API key and address "
        "(default: %(default)s).",
    )
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="HOST:PORT",
        type=_argument(ListenAddress.parse),
        # Set by the image, where loopback is unreachable from outside; the flag still overrides it.
        default=os.environ.get("DEFAULT_LISTEN_ADDRESS", "127.0.0.1:10063"),
        help="Address to listen on; :PORT means every interface (default: %(default)s).",
    )
    parser.add_argument(
        "--web.allowed-host",
        dest="allowed_hosts",
        metavar="NAME",
        action="append",
        type=_argument(host_name),
        help="Additional host name to answer to if neither TLS nor a password is configured; repeatable.",
    )
    parser.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        type=_argument(_telemetry_path),
        default="/metrics",
        help="Path under which to expose metrics (default: %(default)s).",
    )
    parser.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="PATH",
        type=Path,
        help="Web configuration file with TLS, passwords, headers and a rate limit, in the format of Prometheus's "
        "exporter-toolkit.",
    )
    parser.add_argument(
        "--web.enable-lifecycle",
        dest="may_reload",
        nargs=0,
        default=False,
        help="Enable POST /-/reload and POST /-/poll.",
    )
    parser.add_argument(
        "--web.max-connections",
        dest="max_connections",
        metavar="NUMBER",
        type=_argument(partial(number, least=1)),
        default=DEFAULT_LIMITS.connections,
        help="Maximum open connections; when full, the longest idle one of the client with the most is closed "
        "(default: %(default)s).",
    )
    parser.add_argument(
        "--web.max-requests",
        dest="max_requests",
        metavar="NUMBER",
        type=_argument(partial(number, least=0)),
        default=DEFAULT_LIMITS.requests,
        help="Maximum concurrent requests, 0 for no limit; when full, a request whose client does not read is dropped, "
        "or the new one gets 503 (default: %(default)s).",
    )
    parser.add_argument(
        "--web.read-timeout",
        dest="read_timeout",
        metavar="DURATION",
        type=_argument(_duration),
        default=f"{DEFAULT_LIMITS.read_timeout:g}s",
        help="Maximum time to read request headers (default: %(default)s).",
    )
    parser.add_argument(
        "--web.write-timeout",
        dest="write_timeout",
        metavar="DURATION",
        type=_argument(_duration),
        default=f"{DEFAULT_LIMITS.write_timeout:g}s",
        help="Maximum time to write a response (default: %(default)s).",
    )
    parser.add_argument(
        "--log.level",
        dest="log_level",
        choices=("debug", "info", "warn", "error"),
        default="info",
        help="Log events of this severity and above (default: %(default)s).",
    )
    parser.add_argument(
        "--log.format",
        dest="log_format",
        choices=("logfmt", "json"),
        default="logfmt",
        help="Format of the log on stderr, and of the report of --probe (default: %(default)s).",
    )
    parser.add_argument(
        "--version",
        nargs=0,
        default=False,
        help="Print the versions of the exporter and Python, and exit.",
    )
    return parser


def _argument(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return `read` with its ValueError turned into one whose message argparse shows."""

    def checked(text: str) -> Value:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _duration(text: str) -> float:
    try:
        return read_duration(text)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None


def _telemetry_path(text: str) -> str:
    if text in RESERVED_PATHS or text.startswith(RESERVED_FOLDERS):
        raise ValueError(f"{text!r} is used by another page; choose a path such as /metrics")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError(f"{text!r} is not a path, such as /metrics")
    return text
