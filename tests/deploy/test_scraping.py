"""The scrape configurations of the README are valid, with a stable instance for each exporter."""

import re
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.deploy.rules import DEPLOY
from tests.deploy.test_kubernetes import overlay
from tests.programs import program
from tests.prometheus import serving
from tests.waiting import until

README = (DEPLOY / "prometheus" / "README.md").read_text("utf-8")
STATIC, KUBERNETES, LEDGER = re.findall(r"```yaml\n(scrape_configs:\n.*?)```", README, re.DOTALL)


def jobs(example: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(example)["scrape_configs"]
    return found


@pytest.mark.parametrize("example", [STATIC, KUBERNETES], ids=["static", "kubernetes"])
def test_prometheus_takes_it_and_the_rules_look_for_its_jobs(example: str, tmp_path: Path) -> None:
    found = jobs(example)
    for job in found:
        # Debian's Prometheus has no Kubernetes discovery.
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [{"targets": ["pod:10063"]}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": found}), "utf-8")
    checked = subprocess.run(
        [program("promtool", package="prometheus"), "check", "config", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert all(job["job_name"].startswith("kraken-custody") for job in found)


def test_without_the_operator_each_pod_has_the_instance_that_the_operator_gives_it() -> None:
    (job,) = jobs(KUBERNETES)
    kept, instance = job["relabel_configs"]
    (endpoint,) = overlay("pair")["ServiceMonitor"]["spec"]["endpoints"]
    (by_operator,) = (it for it in endpoint["relabelings"] if it.get("targetLabel") == "instance")
    assert instance["source_labels"] == by_operator["sourceLabels"]
    assert instance["separator"] == by_operator["separator"]
    service = overlay("pair")["Service"]
    (port,) = service["spec"]["ports"]
    assert kept["regex"] == f"{service['metadata']['name']};{port['name']}"
    (discovery,) = job["kubernetes_sd_configs"]
    assert discovery["namespaces"]["names"] == [service["metadata"]["namespace"]]


class Books(BaseHTTPRequestHandler):
    """A ledger like that in the README's example."""

    def do_GET(self) -> None:
        """Return two accounts, one of which is in custody."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(
            b'books_account_balance{account="custody/acme/hot",currency="BTC"} 10\n'
            b'books_account_balance{account="loans",currency="BTC"} 3\n'
        )

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as overridden
        """Log nothing."""


def test_a_ledger_gets_the_names_and_labels_of_the_rules(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Books) as books:
        Thread(target=books.serve_forever, daemon=True).start()
        document = yaml.safe_load(LEDGER) | {"global": {"scrape_interval": "1s"}}
        document["scrape_configs"][0]["static_configs"] = [
            {"targets": [f"127.0.0.1:{books.server_port}"]}
        ]
        file = tmp_path / "prometheus.yml"
        file.write_text(yaml.safe_dump(document), "utf-8")
        with serving(file) as prometheus:
            found = until(lambda: prometheus.values("ledger_balance"))
        books.shutdown()
    ((labels, amount),) = found
    assert {name: labels[name] for name in ("org", "vault", "asset")} == {
        "org": "acme",
        "vault": "hot",
        "asset": "BTC",
    }
    assert amount == 10
