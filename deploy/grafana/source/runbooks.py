"""A dashboard for each alert: its runbook, and where the alert fires now. Its uid is the name of the alert."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build

from deploy.grafana.source.frame import EXPORTER, TREASURY, filled, link, page
from deploy.grafana.source.panels import markdown
from deploy.grafana.source.shared import firing_alerts

_PAGES: Final = Path(__file__).parents[3] / "exporter" / "runbooks"
_LINK: Final = re.compile(r"\]\((\w+)\.md\)")
"""From one runbook to another; each is a dashboard here."""


def runbooks() -> Iterator[tuple[str, build.Dashboard]]:
    """Yield the name of each alert, and its dashboard."""
    for path in sorted(_PAGES.glob("*.md")):
        heading, content = path.read_text(encoding="utf-8").split("\n", 1)
        dashboard = page(path.stem, heading.removeprefix("# "), "What to do when this alert fires.")
        yield (
            path.stem,
            filled(
                dashboard.time("now-6h", "now").link(link(TREASURY)).link(link(EXPORTER)),
                firing_alerts(f'alertname="{path.stem}"'),
                markdown(_LINK.sub(r"](/d/\1)", content.strip())).span(24).height(24),
            ),
        )
