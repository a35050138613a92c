"""Entry point of `python -m exporter` and of the console script `kraken-custody-exporter`."""

import sys

from exporter.signals import Signals

COMMANDS = frozenset({"--once", "--config.check", "--probe"})
"""Flags of commands that run to their end; a signal that stops one early makes it fail."""


def main() -> int:
    """Run the program and return its exit status; signals come first, as the imports take a while."""
    is_command = not COMMANDS.isdisjoint(sys.argv)
    signals = Signals(status=int(is_command), may_reload=not is_command)
    signals.heed()
    from exporter.cli import main as run  # noqa: PLC0415 - see above

    return run(signals)


if __name__ == "__main__":
    raise SystemExit(main())
