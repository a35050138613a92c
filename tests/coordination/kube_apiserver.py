"""A real kube-apiserver with etcd on loopback, and a service account in it that may use one Lease and nothing else."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import httpx
import pytest

from exporter.coordination.kubernetes import Cluster
from tests.custody.servers import closed_port
from tests.waiting import until

NAMESPACE: Final = "treasury"
ACCOUNT: Final = "exporter"
START_SECONDS: Final = 120.0


class ApiServer:
    """The administrator's access. url: of the server. certificates: a file with the certificates to trust."""

    def __init__(self, url: str, token: str, certificates: Path) -> None:
        self.url = url
        self.certificates = certificates
        self._http = httpx.Client(
            base_url=url,
            verify=False,
            headers={"authorization": f"Bearer {token}"},
            trust_env=False,
        )

    def is_ready(self) -> bool:
        try:
            return self._http.get("/readyz").text == "ok"
        except httpx.HTTPError:
            return False

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        created: dict[str, Any] = answer.json()
        return created

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """Apply `body` as kubectl does with --server-side."""
        headers = {"content-type": "application/apply-patch+yaml"}
        parameters = {"fieldManager": "kubectl"}
        self._http.patch(path, json=body, headers=headers, params=parameters).raise_for_status()

    def get(self, path: str) -> dict[str, Any]:
        got: dict[str, Any] = self._http.get(path).raise_for_status().json()
        return got

    def delete(self, path: str) -> None:
        self._http.delete(path).raise_for_status()

    def close(self) -> None:
        self._http.close()


def _started(stack: ExitStack, command: list[str], log: Path) -> None:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    stack.callback(process.wait)
    stack.callback(process.terminate)


@contextmanager
def api_server(directory: Path) -> Iterator[ApiServer]:
    """Yield a server that is ready; skip without the programs, because Debian has no package of kube-apiserver."""
    programs = {name: shutil.which(name) for name in ("kube-apiserver", "etcd")}
    if None in programs.values():
        pytest.skip(
            "kube-apiserver and etcd are not both on PATH: a release of Kubernetes has them"
        )
    client, peer, port, token = closed_port(), closed_port(), closed_port(), token_hex(16)
    etcd, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    key, tokens = directory / "sa.key", directory / "tokens.csv"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens.write_text(f"{token},admin,admin,system:masters\n")
    with ExitStack() as stack:
        _started(
            stack,
            [
                str(programs["etcd"]),
                *("--data-dir", str(directory / "etcd"), "--initial-cluster", f"default={peers}"),
                *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            ],
            directory / "etcd.log",
        )
        _started(
            stack,
            [
                str(programs["kube-apiserver"]),
                f"--etcd-servers={etcd}",
                *("--bind-address=127.0.0.1", f"--secure-port={port}"),
                *(f"--cert-dir={directory / 'certs'}", f"--token-auth-file={tokens}"),
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                *("--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC"),
            ],
            directory / "api.log",
        )
        certificates = directory / "certs" / "apiserver.crt"
        server = ApiServer(f"https://127.0.0.1:{port}", token, certificates)
        stack.callback(server.close)
        until(server.is_ready, START_SECONDS)
        yield server


def pod(server: ApiServer, directory: Path, lease: str) -> Cluster:
    """Create a Lease, and a service account that may only get and update it; return the access of its pod."""
    server.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    in_namespace = f"/api/v1/namespaces/{NAMESPACE}"
    server.create(f"{in_namespace}/serviceaccounts", {"metadata": {"name": ACCOUNT}})
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [lease],
        "verbs": ["get", "update"],
    }
    server.create(f"{rbac}/roles", {"metadata": {"name": ACCOUNT}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
    binding = {"metadata": {"name": ACCOUNT}, "subjects": [subject], "roleRef": role}
    server.create(f"{rbac}/rolebindings", binding)
    server.create(
        f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases", {"metadata": {"name": lease}}
    )
    return Cluster(server.url, account_directory(server, directory, NAMESPACE, ACCOUNT))


def account_directory(server: ApiServer, directory: Path, namespace: str, account: str) -> Path:
    """Create the directory that a pod has of its service account."""
    request = {"spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    given = server.create(path, request)
    directory.mkdir()
    (directory / "ca.crt").write_bytes(server.certificates.read_bytes())
    (directory / "namespace").write_text(namespace)
    (directory / "token").write_text(given["status"]["token"])
    return directory
