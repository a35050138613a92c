"""The scrape configurations for several exporters: valid, with an instance for each that stays."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.rules import DEPLOY
from tests.deploy.test_kubernetes import overlay
from tests.programs import program

README = (DEPLOY / "prometheus" / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(scrape_configs:\n.*?)```", README, re.DOTALL)


def jobs(example: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(example)["scrape_configs"]
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=["static", "kubernetes"])
def test_prometheus_takes_it_and_the_rules_look_for_its_jobs(example: str, tmp_path: Path) -> None:
    found = jobs(example)
    for job in found:
        # Debian's Prometheus knows nothing of Kubernetes.
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
    (job,) = jobs(EXAMPLES[1])
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
