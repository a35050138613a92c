"""A real Prometheus on loopback."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.programs import program


class Prometheus:
    """A server that scrapes one exporter, and answers queries over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **parameters: str) -> Any:
        try:
            # Loading certificates, for which there is no use, would take most of the time, as everywhere in tests.
            answer = httpx.get(
                f"{self._url}{path}", params=parameters, trust_env=False, verify=False
            )
        except httpx.TransportError:
            return None
        return answer.json()["data"] if answer.status_code == 200 else None

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series of an instant query."""
        found = self.ask("/api/v1/query", query=query) or {"result": []}
        return [(series["metric"], float(series["value"][1])) for series in found["result"]]


@contextmanager
def serving(configuration_file: Path, *flags: str) -> Iterator[Prometheus]:
    """Run a Prometheus while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        program("prometheus", package="prometheus"),
        f"--config.file={configuration_file}",
        f"--storage.tsdb.path={configuration_file.parent / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
        *flags,
    ]
    log = configuration_file.parent / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(30)
