"""A lease of Kubernetes outside of a pod, at the command line."""

from pathlib import Path
from typing import Any

import pytest

from tests.exporting import configuration, write
from tests.processes import run


@pytest.fixture
def document() -> dict[str, Any]:
    return configuration("http://127.0.0.1:1") | {"lease": {"kind": "kubernetes"}}


@pytest.mark.parametrize("flags", [(), ("--once",)])
def test_a_lease_of_kubernetes_needs_a_pod(
    tmp_path: Path, document: dict[str, Any], flags: tuple[str, ...]
) -> None:
    write(tmp_path, document)
    done = run(*flags, "--web.listen-address=127.0.0.1:0", directory=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        "lease.kind kubernetes works only in a pod, where KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT "
        "are set: outside of a cluster use lease.kind redis\n"
    )


def test_a_check_looks_at_the_settings_alone(tmp_path: Path, document: dict[str, Any]) -> None:
    write(tmp_path, document)
    assert run("--config.check", directory=tmp_path).returncode == 0
    document["lease"]["duration"] = "5s"
    write(tmp_path, document)
    done = run("--config.check", directory=tmp_path)
    assert done.returncode == 2
    assert "lease.duration" in done.stderr
