"""A strict fake of the Kubernetes API server for one Lease: it refuses what the real one would."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.custody.servers import Certificate

NAMESPACE: Final = "treasury"
PATH: Final = re.compile(
    r"/apis/coordination\.k8s\.io/v1/namespaces/(?P<namespace>[a-z-]+)/leases(?:/(?P<name>[a-z0-9.-]+))?"
)
MICRO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SPEC: Final = {
    "holderIdentity": str,
    "leaseDurationSeconds": int,
    "acquireTime": str,
    "renewTime": str,
    "leaseTransitions": int,
}


@dataclass
class State:
    """What the server stores and allows.

    tokens: accepted ones. refusal: its message about others. verbs: those that RBAC allows. leases: by name. asked:
    methods and paths of all requests.
    """

    tokens: set[str] = field(default_factory=lambda: {"token-1"})
    refusal: str = "Unauthorized"
    verbs: set[str] = field(default_factory=lambda: {"get", "update"})
    leases: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    version: int = 1000
    broken: bytes | None = None

    def empty(self, name: str) -> None:
        """Return a Lease as an operator creates it beforehand."""
        self.put(name, {"metadata": {"name": name, "labels": {"made-by": "hand"}}, "spec": {}})

    def put(self, name: str, lease: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        lease["metadata"] |= {"resourceVersion": str(self.version), "namespace": NAMESPACE}
        self.leases[name] = json.loads(json.dumps(lease))
        return lease


class RefusedError(Exception):
    """A Status. code: HTTP's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State
    lock: threading.Lock

    def do_GET(self) -> None:
        self._answer("get")

    def do_PUT(self) -> None:
        self._answer("update")

    def do_POST(self) -> None:
        self._answer("create")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server calls it
        del format, args

    def _answer(self, verb: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with self.lock:
            self.state.asked.append(f"{self.command} {self.path}")
            try:
                code, answer = 201 if verb == "create" else 200, self._do(verb, body)
            except RefusedError as error:
                code = error.code
                answer = {
                    "kind": "Status",
                    "status": "Failure",
                    "message": str(error),
                    "code": code,
                }
        written = self.state.broken or json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def _do(self, verb: str, body: bytes) -> dict[str, Any]:
        state = self.state
        if self.headers.get("authorization", "").removeprefix("Bearer ") not in state.tokens:
            raise RefusedError(401, state.refusal)
        match = PATH.fullmatch(self.path)
        if not match:
            raise RefusedError(404, "the server could not find the requested resource")
        name = match["name"] or ""
        if verb not in state.verbs or match["namespace"] != NAMESPACE:
            raise RefusedError(
                403,
                f'leases.coordination.k8s.io "{name}" is forbidden: User '
                f'"system:serviceaccount:{NAMESPACE}:exporter" cannot {verb} resource "leases"',
            )
        if verb == "get":
            return self._known(name)
        lease = json.loads(body)
        _check(lease)
        if verb == "create":
            name = lease["metadata"]["name"]
            if name in state.leases:
                raise RefusedError(409, f'leases.coordination.k8s.io "{name}" already exists')
            return state.put(name, lease)
        before = self._known(name)
        if lease["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
            raise RefusedError(409, "the object has been modified; please apply your changes")
        return state.put(name, lease)

    def _known(self, name: str) -> dict[str, Any]:
        if name not in self.state.leases:
            raise RefusedError(404, f'leases.coordination.k8s.io "{name}" not found')
        return self.state.leases[name]


def _check(lease: dict[str, Any]) -> None:
    """Refuse what the server would (pkg/apis/coordination/validation)."""
    if (lease.get("apiVersion"), lease.get("kind")) != ("coordination.k8s.io/v1", "Lease"):
        raise RefusedError(400, "the object provided is unrecognized")
    spec = lease["spec"]
    if not spec.items() <= {(key, spec[key]) for key in SPEC if key in spec}:
        raise RefusedError(400, f"unknown field in spec: {sorted(spec.keys() - SPEC.keys())}")
    for key, value in spec.items():
        if type(value) is not SPEC[key]:
            raise RefusedError(400, f"spec.{key}: wrong type")
        if key.endswith("Time") and not MICRO_TIME.fullmatch(str(value)):
            raise RefusedError(400, f"spec.{key}: {value} is not RFC 3339 with microseconds")
    if spec.get("leaseDurationSeconds", 1) <= 0:
        raise RefusedError(422, "spec.leaseDurationSeconds: must be greater than 0")
    if any(type(it) is not str for it in lease["metadata"].get("annotations", {}).values()):
        raise RefusedError(400, "annotations are text")


@contextmanager
def serving(certificate: Certificate) -> Iterator[tuple[State, str]]:
    """Serve over TLS while the block runs; yields the server's state and its address."""
    state = State()
    handler = type("Handler", (_Handler,), {"state": state, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = certificate.context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state, f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def service_account(directory: Path, certificate: Path, token: str = "token-1") -> Path:
    """Write the files that a pod has of its service account."""
    directory.mkdir(exist_ok=True)
    (directory / "ca.crt").write_bytes(certificate.read_bytes())
    (directory / "namespace").write_text(NAMESPACE)
    (directory / "token").write_text(token)
    return directory
