"""The manual page, `man kraken-custody-exporter`, generated from the flags by `make docs`."""

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Final

from argparse_manpage.manpage import Manpage  # type: ignore[import-untyped] # it has no types

from exporter import __version__
from exporter.flags import PROGRAM, flag_parser

ROOT: Final = Path(__file__).parent.parent
MAN_PAGE: Final = ROOT / "docs" / f"{PROGRAM}.1"

SECTIONS: Final = (
    (
        "exit status",
        r"""
.TP
0
Success, or a clean stop.
.TP
1
Runtime failure, such as a port in use, \fB\-\-once\fR with a failed target, or
\fB\-\-probe\fR if something needed does not work.
.TP
2
Invalid flags or configuration, or a file that could not be read within 5 seconds.
""",
    ),
    (
        "signals",
        r"""
.TP
SIGHUP
Read the configuration, secrets and certificates again. An invalid file changes nothing and is logged.
.TP
SIGTERM, SIGINT
Stop, within 5 seconds.
""",
    ),
    (
        "environment",
        r"""
.TP
HTTPS_PROXY, ALL_PROXY, NO_PROXY
Proxy for the API.
.TP
NO_COLOR
Print tables without colour.
.TP
DEFAULT_LISTEN_ADDRESS
Default of \fB\-\-web.listen\-address\fR.
.PP
The configuration may name further variables that hold secrets.
""",
    ),
    (
        "files",
        r"""
.TP
config.yaml
Configuration, in the working directory unless \fB\-\-config.file\fR names another.
\fB\-\-config.example\fR prints one to start from.
""",
    ),
    (
        "examples",
        r"""
.nf
kraken\-custody\-exporter \-\-demo
kraken\-custody\-exporter \-\-config.example > config.yaml
kraken\-custody\-exporter \-\-config.check
kraken\-custody\-exporter \-\-probe
kraken\-custody\-exporter \-\-once
.fi
""",
    ),
)
"""The other sections: their titles, and their text in man(7)."""


def man_page() -> str:
    """Return the manual page in man(7), the same for the same flags and version."""
    parser = flag_parser()
    # Otherwise lines are as wide as the terminal.
    parser.formatter_class = partial(argparse.HelpFormatter, width=80)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    (repository,) = re.findall(r'^repository = "(.+)"$', project, re.MULTILINE)
    page = Manpage(
        parser,
        {
            "date": " ",  # that of its file would change with each build
            "description": "Prometheus exporter for Kraken's Insto Custody",
            "manual_title": "User Commands",
            "project_name": PROGRAM,
            "url": repository,
            "version": __version__,
        },
    )
    for title, text in SECTIONS:
        page.add_section(title, "=", text.strip())
    return str(page)
