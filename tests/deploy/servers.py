"""A real Prometheus and a real Alertmanager that run the files of deploy/, changed in addresses and durations only."""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.deploy.rules import DEPLOY
from tests.deploy.shortened import shortened
from tests.programs import program
from tests.prometheus import Prometheus, serving
from tests.waiting import until

# Prometheus forgets a sample after 5m; here after a sixtieth of that.
LOOKBACK: Final = "5m"


def prometheus(
    directory: Path, *, exporter: str, alertmanager: str
) -> AbstractContextManager[Prometheus]:
    """Run the Prometheus of deploy/ while the block runs."""
    copied = _copied(
        "prometheus", directory, {"127.0.0.1:10063": exporter, "127.0.0.1:9093": alertmanager}
    )
    return serving(copied / "prometheus.yml", f"--query.lookback-delta={shortened(LOOKBACK)}")


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager. address: host and port."""

    address: str

    def alerts(self) -> list[dict[str, Any]]:
        """Return its state of each alert."""
        answer = httpx.get(f"http://{self.address}/api/v2/alerts", trust_env=False, verify=False)
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    def is_ready(self) -> bool:
        """Whether it accepts alerts."""
        try:
            return httpx.get(
                f"http://{self.address}/-/ready", trust_env=False, verify=False
            ).is_success
        except httpx.TransportError:
            return False


@contextmanager
def alertmanager(directory: Path, *, webhook: str, smtp: str) -> Iterator[Alertmanager]:
    """Run the Alertmanager of deploy/ while the block runs."""
    copied = _copied("alertmanager", directory, {"127.0.0.1:9096": webhook, "localhost:25": smtp})
    server = Alertmanager(free_address())
    command = [
        program("prometheus-alertmanager", package="prometheus-alertmanager"),
        f"--config.file={copied / 'alertmanager.yml'}",
        f"--storage.path={copied / 'data'}",
        f"--web.listen-address={server.address}",
        "--cluster.listen-address=",
    ]
    with (copied / "log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(server.is_ready)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def free_address() -> str:
    """Return a free loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def _copied(name: str, directory: Path, addresses: Mapping[str, str]) -> Path:
    """Copy a directory of deploy/ with other addresses and shorter durations."""
    copied = directory / name
    shutil.copytree(DEPLOY / name, copied)
    for path in (*copied.glob("*.yml"), *copied.glob("rules/*.yaml")):
        path.write_text(shortened(path.read_text("utf-8")), "utf-8")
    configuration = copied / f"{name}.yml"
    text = configuration.read_text("utf-8")
    for shipped, here in addresses.items():
        assert shipped in text
        text = text.replace(shipped, here)
    configuration.write_text(text, "utf-8")
    return copied
