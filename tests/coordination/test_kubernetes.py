"""A lease as a Kubernetes Lease, against a strict fake of the API server and, where there is one, a real one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from exporter.coordination.engine import Engine, EngineError, Found, Record
from exporter.coordination.kubernetes import Cluster, KubernetesEngine
from tests.coordination.kubernetes_server import NAMESPACE, State, service_account, serving
from tests.coordination.shelf import NOON
from tests.custody.servers import Certificate, closed_port, make_certificate

NAME = "kraken-custody-exporter"
RECORD = Record("pod-0-1a2b3c4d", 3, 1_790_000_060_000_000_000, 30, NOON + 0.5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(certificate: Certificate) -> Iterator[tuple[State, str]]:
    with serving(certificate) as (state, url):
        yield state, url


@pytest.fixture
def account(tmp_path: Path, certificate: Certificate) -> Path:
    return service_account(tmp_path / "account", certificate.file)


@pytest.fixture
def engine(server: tuple[State, str], account: Path) -> KubernetesEngine:
    return KubernetesEngine(NAME, Cluster(server[1], account), lambda: NOON)


@pytest.fixture
def state(server: tuple[State, str]) -> State:
    return server[0]


async def read(engine: Engine) -> Found:
    try:
        return await engine.read()
    finally:
        await engine.close()


async def write(engine: Engine, *records: Record) -> list[bool]:
    """Read once, then try to write each of these in place of what was read."""
    try:
        found = await engine.read()
        return [await engine.swap(found, record) for record in records]
    finally:
        await engine.close()


def problem(engine: Engine) -> str:
    with pytest.raises(EngineError) as caught:
        asyncio.run(read(engine))
    return str(caught.value)


def test_a_lease_that_was_made_beforehand_has_no_record(
    engine: KubernetesEngine, state: State
) -> None:
    state.empty(NAME)
    assert asyncio.run(read(engine)).record is None


def test_a_lease_that_is_not_there_has_no_record(engine: KubernetesEngine) -> None:
    assert asyncio.run(read(engine)).record is None


@pytest.mark.parametrize(
    "record", [RECORD, replace(RECORD, standby="pod-1-5e6f7a8b"), replace(RECORD, holder="")]
)
def test_what_was_written_is_read(engine: KubernetesEngine, state: State, record: Record) -> None:
    state.empty(NAME)
    assert asyncio.run(write(engine, record)) == [True]
    assert asyncio.run(read(engine)).record == record


def test_the_first_of_two_that_write_wins(engine: KubernetesEngine, state: State) -> None:
    state.empty(NAME)
    assert asyncio.run(write(engine, RECORD, replace(RECORD, holder="b"))) == [True, False]
    assert asyncio.run(read(engine)).record == RECORD


def test_the_first_of_two_that_create_the_lease_wins(
    engine: KubernetesEngine, state: State
) -> None:
    state.verbs.add("create")
    assert asyncio.run(write(engine, RECORD, replace(RECORD, holder="b"))) == [True, False]
    assert asyncio.run(read(engine)).record == RECORD


def test_a_lease_that_is_deleted_meanwhile_is_not_written(
    engine: KubernetesEngine, state: State
) -> None:
    async def write_late() -> bool:
        try:
            found = await engine.read()
            state.leases.clear()
            return await engine.swap(found, RECORD)
        finally:
            await engine.close()

    state.empty(NAME)
    assert not asyncio.run(write_late())


def test_people_can_read_it_too_and_what_they_wrote_stays(
    engine: KubernetesEngine, state: State
) -> None:
    state.empty(NAME)
    asyncio.run(write(engine, RECORD))
    state.leases[NAME]["metadata"]["annotations"]["note"] = "of ours"
    asyncio.run(write(engine, replace(RECORD, renewals=4)))
    asyncio.run(write(engine, replace(RECORD, holder="", renewals=5)))
    asyncio.run(write(engine, replace(RECORD, holder="b", renewals=6)))
    lease = state.leases[NAME]
    assert lease["metadata"]["labels"] == {"made-by": "hand"}
    assert lease["metadata"]["annotations"] == {
        "kraken-custody-exporter/renewals": "6",
        "kraken-custody-exporter/nonce-ceiling": "1790000060000000000",
        "kraken-custody-exporter/standby": "",
        "note": "of ours",
    }
    assert lease["spec"] == {
        "holderIdentity": "b",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-09-21T14:13:20.500000Z",
        "renewTime": "2026-09-21T14:13:20.000000Z",
        "leaseTransitions": 2,
    }


def test_only_the_one_lease_is_requested(engine: KubernetesEngine, state: State) -> None:
    state.empty(NAME)
    asyncio.run(write(engine, RECORD))
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{NAME}"
    assert state.asked == [f"GET {path}", f"PUT {path}"]


def test_a_rotated_token_is_read_again(
    engine: KubernetesEngine, state: State, account: Path
) -> None:
    async def rotate() -> None:
        try:
            await engine.read()
            state.tokens = {"token-2"}
            with pytest.raises(EngineError, match="answered 401: Unauthorized"):
                await engine.read()
            (account / "token").write_text("token-2\n")
            await engine.read()
        finally:
            await engine.close()

    asyncio.run(rotate())


def test_a_rotated_certificate_authority_is_read_again(
    server: tuple[State, str], account: Path, certificate: Certificate, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")
    (account / "ca.crt").write_bytes(other.file.read_bytes())
    engine = KubernetesEngine(NAME, Cluster(server[1], account), lambda: NOON)

    async def rotate() -> None:
        try:
            with pytest.raises(EngineError, match="certificate verify failed"):
                await engine.read()
            (account / "ca.crt").write_bytes(certificate.file.read_bytes())
            await engine.read()
        finally:
            await engine.close()

    asyncio.run(rotate())


@pytest.mark.parametrize("verb", ["get", "update", "create"])
def test_a_right_that_is_missing_is_named_with_what_to_do(
    engine: KubernetesEngine, state: State, verb: str
) -> None:
    if verb != "create":
        state.empty(NAME)
    state.verbs = {"get", "update"} - {verb}
    with pytest.raises(EngineError) as caught:
        asyncio.run(write(engine, RECORD))
    told = str(caught.value)
    assert "answered 403: leases.coordination.k8s.io" in told
    if verb == "create":
        assert told.endswith(
            f"Create the Lease {NAME} in namespace {NAMESPACE}, empty: no right to create is needed then"
        )
    else:
        assert told.endswith(
            f"Allow the service account to get and update the Lease {NAME} in namespace {NAMESPACE}"
        )


@pytest.mark.parametrize(
    "spec",
    [
        {"holderIdentity": "somebody-else", "leaseDurationSeconds": 15},
        {"holderIdentity": "x", "acquireTime": "yesterday", "leaseDurationSeconds": 15},
    ],
)
def test_a_lease_of_another_program_is_left_alone(
    engine: KubernetesEngine, state: State, spec: dict[str, Any]
) -> None:
    state.put(NAME, {"metadata": {"name": NAME}, "spec": spec})
    assert "was not written by this exporter: choose another lease.name" in problem(engine)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
def test_an_answer_that_is_not_the_api_servers_is_a_problem(
    engine: KubernetesEngine, state: State, body: bytes
) -> None:
    state.broken = body
    assert "is not JSON" in problem(engine)


def test_an_unreachable_api_server_is_named(account: Path) -> None:
    url = f"https://127.0.0.1:{closed_port()}"
    told = problem(KubernetesEngine(NAME, Cluster(url, account), lambda: NOON))
    assert told.startswith(f"the API server at {url}: ")


@pytest.mark.parametrize("file", ["token", "ca.crt", "namespace"])
def test_a_file_of_the_service_account_that_is_missing_is_named(
    engine: KubernetesEngine, account: Path, file: str
) -> None:
    (account / file).unlink()
    assert problem(engine).lower().startswith(f"{account / file}: no such file".lower())


def test_a_message_of_the_api_server_is_shown_in_one_line(
    engine: KubernetesEngine, state: State, account: Path
) -> None:
    (account / "token").write_text("unknown")
    state.refusal = "two\nlines\x1b[31m"
    assert problem(engine).endswith(": two lines [31m")


def test_the_token_is_in_no_message_and_no_repr(
    engine: KubernetesEngine, state: State, account: Path
) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.secret-of-the-pod"
    (account / "token").write_text(token)
    assert token not in problem(engine)
    state.refusal = f"unknown token {token}"
    assert problem(engine).endswith(": unknown token <secret>")
    # It is left out before the rest is made shorter.
    state.refusal = f"{'x' * 190} {token}"
    assert problem(engine).endswith("x <secret>")
    (account / "token").write_text(f"{token}\nwith another line")
    assert token not in problem(engine)
    state.tokens = {token}
    (account / "token").write_text(token)
    found = asyncio.run(read(engine))
    assert token not in f"{engine!r} {vars(engine)!r} {found!r}"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        (("10.0.0.1", "443"), "https://10.0.0.1:443"),
        (("fd00::1", "6443"), "https://[fd00::1]:6443"),
    ],
)
def test_a_pod_knows_its_cluster(environ: tuple[str, str], url: str) -> None:
    host, port = environ
    variables = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    assert Cluster.around(variables).url == url


def test_outside_of_a_pod_another_engine_is_suggested() -> None:
    with pytest.raises(EngineError, match=r"works only in a pod, .* use lease\.kind redis"):
        Cluster.around({})
