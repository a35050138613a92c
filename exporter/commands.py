"""What the program does: polls and serves, or the one thing that a flag asks for."""

import argparse
import asyncio
import contextlib
import functools
import os
import sys
from collections.abc import AsyncIterator, Callable

from exporter import app
from exporter.config import ConfigError, SecretError, Settings, load
from exporter.coordination.keeper import LeaseHeldError
from exporter.custody.environment import EnvironmentMistakeError
from exporter.flags import DEFAULT_CONFIG_FILE, PROGRAM
from exporter.logs import configure
from exporter.output import BAD_USAGE, RUNTIME_FAILURE, SUCCESS, show, tell
from exporter.signals import Signals
from exporter.terminal import fit_for
from exporter.threads import Loop
from exporter.web.address import ListenError
from exporter.web.limits import Limits


def run(flags: argparse.Namespace, signals: Signals) -> int:
    """Do what `flags` ask for and return the exit status."""
    configure(flags.log_level, flags.log_format)
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(_go(flags, signals))
    except (ConfigError, SecretError, EnvironmentMistakeError) as error:
        tell(str(error))
        return BAD_USAGE
    except (LeaseHeldError, ListenError) as error:
        tell(f"{PROGRAM}: {error}")
        return RUNTIME_FAILURE
    except asyncio.CancelledError:
        # By a signal.
        return RUNTIME_FAILURE


async def _go(flags: argparse.Namespace, signals: Signals) -> int:
    async with _loader(flags) as load:
        if flags.config_check:
            return show(app.check(load, flags.web_config_file, sys.stdout, os.environ))
        if flags.probe:
            directory = (flags.config_file or DEFAULT_CONFIG_FILE).parent
            probed = await app.probe(
                load(), signals, directory, os.environ, as_json=flags.log_format == "json"
            )
            status = show(probed.report)
            return status if probed.succeeded else RUNTIME_FAILURE
        if flags.once:
            once = await app.poll_once(load(), signals, sys.stderr, os.environ)
            status = show(fit_for(sys.stdout, once.page))
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
async def _loader(flags: argparse.Namespace) -> AsyncIterator[Callable[[], Settings]]:
    """Yield the function that loads the configuration, at the start and at each reload."""
    if flags.demo:
        from exporter.simulator.demonstration import demonstration  # noqa: PLC0415 - only the demo needs it

        # The probe of the demo should show how success looks.
        async with demonstration(is_calm=flags.probe) as settings:
            yield lambda: settings.for_shard(flags.shard)
    else:
        yield functools.partial(
            load, flags.config_file or DEFAULT_CONFIG_FILE, os.environ, flags.shard
        )
