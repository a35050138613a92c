"""The flags: their names, defaults, forms and what --help says of them."""

import argparse
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from exporter.web.address import RESERVED_FOLDERS, RESERVED_PATHS, ListenAddress
from exporter.web.host import host_name
from exporter.web.limits import DEFAULT_LIMITS, number, seconds

Value = TypeVar("Value")

PROGRAM: Final = "kraken-custody-exporter"
DEFAULT_CONFIG_FILE: Final = Path("config.yaml")


class _Once(argparse.Action):
    """Stores a value, or True for a flag without one; refuses a second, as Prometheus does."""

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
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Prometheus exporter for the vault balances of Kraken's custody service.",
        allow_abbrev=False,
    )
    parser.register("action", None, _Once)
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
        action=_Once,
        nargs=0,
        default=False,
        help="validate the configuration and the files it names, print the polling plan, exit",
    )
    parser.add_argument(
        "--once",
        action=_Once,
        nargs=0,
        default=False,
        help="poll every target once, write the exposition to stdout, exit",
    )
    parser.add_argument(
        "--demo",
        action=_Once,
        nargs=0,
        default=False,
        help="start the embedded custody API simulator and export from it; "
        "needs no configuration and no credentials",
    )
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="HOST:PORT",
        type=_argument(ListenAddress.parse),
        # The image sets it, since there loopback reaches nobody, and who runs it may still give the flag.
        default=os.environ.get("DEFAULT_LISTEN_ADDRESS", "127.0.0.1:10063"),
        help="where to serve; :PORT means every interface (default: %(default)s)",
    )
    parser.add_argument(
        "--web.allowed-host",
        dest="allowed_hosts",
        metavar="NAME",
        action="append",
        type=_argument(host_name),
        help="a further name in URLs of the exporter, where it has neither TLS nor a password; may be repeated",
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
        "--web.config.file",
        dest="web_config_file",
        metavar="PATH",
        type=Path,
        help="TLS, passwords, headers and a rate limit, in the format of Prometheus's exporter-toolkit",
    )
    parser.add_argument(
        "--web.enable-lifecycle",
        dest="may_reload",
        action=_Once,
        nargs=0,
        default=False,
        help="allow POST /-/reload and POST /-/poll",
    )
    parser.add_argument(
        "--web.max-connections",
        dest="max_connections",
        metavar="NUMBER",
        type=_argument(partial(number, least=1)),
        default=DEFAULT_LIMITS.connections,
        help="maximum open connections; when full, the longest idle of the client with most is closed "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--web.max-requests",
        dest="max_requests",
        metavar="NUMBER",
        type=_argument(partial(number, least=0)),
        default=DEFAULT_LIMITS.requests,
        help="maximum requests answered at once, 0 for any number; a further one replaces one whose client does not "
        "read, or gets 503 (default: %(default)s)",
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
        "--version",
        action=_Once,
        nargs=0,
        default=False,
        help="print version, revision and Python, exit",
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
    is_reserved = text in RESERVED_PATHS or text.startswith(RESERVED_FOLDERS)
    if is_reserved or not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError(f"{text!r} is not a path of its own, such as /metrics")
    return text
