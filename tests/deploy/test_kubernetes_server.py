"""The manifests of a pair at a real kube-apiserver; skipped without one."""

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest

from exporter.coordination.engine import EngineError
from exporter.coordination.kubernetes import Cluster, KubernetesEngine
from tests.coordination.kube_apiserver import ApiServer, account_directory, api_server
from tests.coordination.shelf import NOON
from tests.coordination.test_kube_apiserver import RECORD
from tests.deploy.test_kubernetes import overlay

PLURALS: Final = {
    "PodDisruptionBudget": "apis/policy/v1/{}/poddisruptionbudgets",
    "ServiceAccount": "api/v1/{}/serviceaccounts",
    "ConfigMap": "api/v1/{}/configmaps",
    "Service": "api/v1/{}/services",
    "StatefulSet": "apis/apps/v1/{}/statefulsets",
    "NetworkPolicy": "apis/networking.k8s.io/v1/{}/networkpolicies",
    "Lease": "apis/coordination.k8s.io/v1/{}/leases",
    "Role": "apis/rbac.authorization.k8s.io/v1/{}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/{}/rolebindings",
}
"""Where each kind is created. A server without the operator does not know its kinds."""


def apply(server: ApiServer, resources: dict[str, dict[str, Any]]) -> str:
    """Create all of an overlay; return its namespace."""
    server.create("/api/v1/namespaces", resources["Namespace"])
    namespace = str(resources["Namespace"]["metadata"]["name"])
    for kind, path in PLURALS.items():
        server.create(f"/{path.format(f'namespaces/{namespace}')}", resources[kind])
    return namespace


def test_a_real_api_server_takes_the_pair_and_lets_it_use_its_lease_alone(tmp_path: Path) -> None:
    resources = overlay("pair")
    with api_server(tmp_path) as server:
        namespace = apply(server, resources)
        account = resources["StatefulSet"]["spec"]["template"]["spec"]["serviceAccountName"]
        directory = account_directory(server, tmp_path / "account", namespace, account)
        name = resources["Lease"]["metadata"]["name"]
        asyncio.run(_use(Cluster(server.url, directory), name))
        # Applied again, as an upgrade does, it keeps what the holder has written.
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        server.patch(f"{leases}/{name}", resources["Lease"])
        assert server.get(f"{leases}/{name}")["spec"]["holderIdentity"] == RECORD.holder


async def _use(cluster: Cluster, name: str) -> None:
    own, another = (KubernetesEngine(it, cluster, lambda: NOON) for it in (name, "another"))
    try:
        assert await own.swap(await own.read(), RECORD)
        assert (await own.read()).record == RECORD
        with pytest.raises(EngineError, match=r"answered 403"):
            await another.read()
    finally:
        await own.close()
        await another.close()
