"""A lease as a `coordination.k8s.io/v1` Lease, stored by the API server of this pod's cluster.

Uses HTTP with the pod's service account rather than a client library: existing ones decide by the wall clock who holds
a lease. Compare-and-set compares `resourceVersion` (Kubernetes API concepts, "Resource versions").
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/
"""

import asyncio
import contextlib
import copy
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self, cast

import httpx
from msgspec import Struct

from exporter.config.credentials import header_text
from exporter.coordination.engine import (
    LONGEST_MESSAGE,
    EngineError,
    Found,
    Record,
    printable,
    without,
)
from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.secret_text import secret_text

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The directory of a pod's service account."""
ANNOTATIONS: Final = "kraken-custody-exporter/"
RENEWALS: Final = f"{ANNOTATIONS}renewals"
CEILING: Final = f"{ANNOTATIONS}nonce-ceiling"
STANDBY: Final = f"{ANNOTATIONS}standby"
TIMEOUT_SECONDS: Final = 60.0
"""For each step of a request; callers have a shorter limit for the whole."""

JsonObject = dict[str, Any]


class Cluster(Struct, frozen=True):
    """The address and credentials of the API server.

    service_account: a directory with the files `token`, `ca.crt` and `namespace`.
    """

    url: str
    service_account: Path = SERVICE_ACCOUNT

    @classmethod
    def around(cls, environ: Mapping[str, str]) -> Self:
        """Return this pod's cluster. Raises EngineError outside of a pod."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise EngineError(
                "lease.kind kubernetes works only in a pod, where KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT "
                "are set: outside of a cluster use lease.kind redis"
            )
        return cls(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


class KubernetesEngine:
    """Stores the record in the Lease `name`. wall: returns Unix seconds, shown to people who read the Lease."""

    def __init__(self, name: str, cluster: Cluster, wall: Callable[[], float]) -> None:
        self._name = name
        self._cluster = cluster
        self._wall = wall
        self._http: httpx.AsyncClient | None = None
        self._namespace = ""

    async def read(self) -> Found:
        """Return what is stored. Raises EngineError."""
        answer = await self._ask("GET")
        # If something else answers at that address, its 404 says nothing.
        document = _document(answer)
        return Found(None) if answer.status_code == 404 else _found(self._name, document)

    async def swap(self, found: Found, record: Record) -> bool:
        """Write `record` if the Lease is still `found`; return whether it was. Raises EngineError."""
        before = cast("JsonObject | None", found.version)
        lease = _lease(self._name, before, record, self._wall())
        answer = await self._ask("PUT" if before else "POST", lease)
        # 404: it was deleted, or the namespace does not exist, which the next read reports.
        return answer.status_code not in (404, 409)

    async def close(self) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _ask(self, method: str, lease: JsonObject | None = None) -> httpx.Response:
        """Send one request; return its answer. Raises EngineError."""
        try:
            token = await asyncio.to_thread(self._token)
            http = await self._client()
            answer = await http.request(
                method,
                f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases"
                + ("" if method == "POST" else f"/{self._name}"),
                json=lease,
                headers={"authorization": f"Bearer {token}"},
            )
        except (httpx.HTTPError, OSError) as error:
            # The CA may have been replaced, or the connection may hang.
            await self.close()
            raise EngineError(f"the API server at {self._cluster.url}: {_words(error)}") from None
        except BaseException:
            await self.close()
            raise
        if answer.is_success or answer.status_code in (404, 409):
            return answer
        told = without(token, _message(answer))[:LONGEST_MESSAGE]
        raise EngineError(_refusal(answer.status_code, told, method, self._name, self._namespace))

    async def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            tls, self._namespace = await asyncio.to_thread(self._read_files)
            # The environment's proxy is for connections out of the cluster.
            self._http = httpx.AsyncClient(
                base_url=self._cluster.url, verify=tls, trust_env=False, timeout=TIMEOUT_SECONDS
            )
        return self._http

    def _read_files(self) -> tuple[ssl.SSLContext, str]:
        directory = self._cluster.service_account
        try:
            tls = ssl.create_default_context(cafile=directory / "ca.crt")
        except OSError as error:
            raise EngineError(f"{directory / 'ca.crt'}: {error.strerror or error}") from None
        return tls, _text(directory / "namespace")

    def _token(self) -> str:
        # It rotates every hour.
        return _text(self._cluster.service_account / "token")


def _text(file: Path) -> str:
    try:
        # Otherwise an error would quote what no header can carry.
        return header_text(secret_text(file, {}))
    except ProblemError as problem:
        raise EngineError(f"{file}: {problem}") from None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _document(answer: httpx.Response) -> JsonObject:
    with contextlib.suppress(ValueError):
        document = answer.json()
        if isinstance(document, dict):
            return document
    raise EngineError(f"the API server's answer is not JSON (status {answer.status_code})")


def _message(answer: httpx.Response) -> str:
    """Return the message of a Status, "" if the answer is not one."""
    with contextlib.suppress(ValueError, AttributeError):
        return printable(str(answer.json().get("message", "")))
    return ""


def _refusal(status: int, told: str, method: str, name: str, namespace: str) -> str:
    """Return the API server's message, and what to do about it."""
    problem = f"the API server answered {status}" + (f": {told}" if told else "")
    if status != 403:
        return problem
    if method == "POST":
        return f"{problem}. Create the Lease {name} in namespace {namespace}, empty: no right to create is needed then"
    return f"{problem}. Allow the service account to get and update the Lease {name} in namespace {namespace}"


def _found(name: str, lease: JsonObject) -> Found:
    spec = lease.get("spec") or {}
    annotations = lease.get("metadata", {}).get("annotations") or {}
    holder = spec.get("holderIdentity") or ""
    if RENEWALS not in annotations and not holder:
        # Created in advance by an operator, so that this process needs no permission to create it.
        return Found(None, lease)
    try:
        record = Record(
            holder=str(holder),
            renewals=int(annotations[RENEWALS]),
            ceiling=int(annotations[CEILING]),
            duration=int(spec["leaseDurationSeconds"]),
            acquired=datetime.fromisoformat(spec["acquireTime"]).timestamp(),
            standby=str(annotations.get(STANDBY, "")),
        )
    except (KeyError, TypeError, ValueError):
        raise EngineError(
            f"the Lease {name} was not written by this exporter: choose another lease.name, or empty it"
        ) from None
    return Found(record, lease)


def _lease(name: str, before: JsonObject | None, record: Record, wall: float) -> JsonObject:
    """Return the Lease with `record` at `wall` (Unix seconds); everything else in `before` stays."""
    lease = copy.deepcopy(before or {"metadata": {"name": name}})
    lease |= {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    spec = lease.get("spec") or {}
    annotations = lease["metadata"].get("annotations") or {}
    annotations |= {RENEWALS: str(record.renewals), CEILING: str(record.ceiling)}
    annotations[STANDBY] = record.standby
    lease["metadata"]["annotations"] = annotations
    if not record.standby:
        # `renewTime` is that of the last renewal, not of a standby's write; nothing here depends on it.
        spec["renewTime"] = _micro_time(wall)
    if record.holder and record.holder != (spec.get("holderIdentity") or ""):
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    lease["spec"] = spec | {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration,
        "acquireTime": _micro_time(record.acquired),
    }
    return lease


def _micro_time(wall: float) -> str:
    return (
        datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )
