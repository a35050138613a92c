"""The files of the dashboards."""

from pathlib import Path
from typing import Final

from deploy.grafana.source.approvals import approvals
from deploy.grafana.source.exporter import exporter
from deploy.grafana.source.frame import written
from deploy.grafana.source.runbooks import runbooks
from deploy.grafana.source.treasury import treasury
from deploy.grafana.source.vault import vault

GRAFANA: Final = Path(__file__).parents[1]


def files() -> dict[Path, str]:
    """Return the text of each file, by its path."""
    dashboards = {
        "treasury": treasury(),
        "vault": vault(),
        "approvals": approvals(),
        "exporter": exporter(),
    }
    return {
        GRAFANA / directory / f"{name}.json": written(dashboard)
        for directory, named in (("dashboards", dashboards), ("runbooks", dict(runbooks())))
        for name, dashboard in named.items()
    }


def write() -> None:
    """Write the files, and remove those of dashboards that no longer exist."""
    wanted = files()
    for directory in {path.parent for path in wanted}:
        for path in set(directory.glob("*.json")) - wanted.keys():
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
