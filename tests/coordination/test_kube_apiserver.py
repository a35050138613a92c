"""A lease at a real kube-apiserver, with a service account that has only the documented rights."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from exporter.clocks import boottime
from exporter.coordination.engine import EngineError, Record
from exporter.coordination.keeper import Keeper, Surroundings
from exporter.coordination.kubernetes import Cluster, KubernetesEngine
from exporter.coordination.lease import Lease, Terms
from exporter.custody.auth import NonceBounds
from tests.coordination.kube_apiserver import NAMESPACE, ApiServer, api_server, pod
from tests.coordination.shelf import NOON
from tests.waiting import DEADLINE_SECONDS, PAUSE_SECONDS

NAME = "kraken-custody-exporter"
RECORD = Record("pod-0-1a2b3c4d", 1, 1_790_000_060_000_000_000, 30, NOON + 0.5)


def test_a_real_api_server_takes_and_compares_what_is_written(tmp_path: Path) -> None:
    with api_server(tmp_path) as server:
        cluster = pod(server, tmp_path / "account", NAME)
        asyncio.run(_play(server, cluster))
        asyncio.run(_take_over(cluster))


async def _play(server: ApiServer, cluster: Cluster) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{NAME}"
    a, b, another = (KubernetesEngine(it, cluster, lambda: NOON) for it in (NAME, NAME, "another"))
    try:
        nothing = await a.read()
        assert nothing.record is None
        assert await a.swap(nothing, RECORD)
        assert not await b.swap(nothing, replace(RECORD, holder="b"))
        found = await b.read()
        assert found.record == RECORD
        marked = replace(RECORD, standby="pod-1-5e6f7a8b")
        assert await b.swap(found, marked)
        assert not await a.swap(found, replace(RECORD, renewals=2))
        assert (await a.read()).record == marked
        # Released: the server accepts a holder without a name.
        assert await a.swap(await a.read(), replace(RECORD, holder="", renewals=3))
        assert (await b.read()).record == replace(RECORD, holder="", renewals=3)
        assert await b.swap(await b.read(), replace(RECORD, holder="b", renewals=4))
        lease = server.get(path)
        assert lease["spec"]["leaseTransitions"] == 2
        assert lease["metadata"]["annotations"]["kraken-custody-exporter/renewals"] == "4"
        server.delete(path)
        gone = await a.read()
        assert gone.record is None
        with pytest.raises(EngineError, match=r"answered 403: .* Create the Lease"):
            await a.swap(gone, RECORD)
        with pytest.raises(EngineError, match=r"answered 403: .* Allow the service account"):
            await another.read()
        server.create(path.removesuffix(f"/{NAME}"), {"metadata": {"name": NAME}})
    finally:
        for engine in (a, b, another):
            await engine.close()


async def _take_over(cluster: Cluster) -> None:
    """Let two keepers follow each other: one that crashes, and one that releases the lease."""
    first, second, third = (_keeper(cluster, name) for name in ("first", "second", "third"))
    vanishing = asyncio.create_task(first.run())
    await _until(lambda: first.lease.holds(boottime()))
    waiting = asyncio.create_task(second.run())
    await _until(lambda: first.lease.standby == "second")
    vanishing.cancel()
    await _until(lambda: second.lease.may_send(boottime()))
    assert not first.lease.holds(boottime())
    # Its last renewal may have been written without its knowledge.
    assert second.lease.above >= first.lease.up_to
    waiting.cancel()
    await asyncio.gather(vanishing, waiting, return_exceptions=True)
    await second.release()
    last = asyncio.create_task(third.run())
    await _until(lambda: third.lease.holds(boottime()))
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    for keeper in (first, second, third):
        await keeper.close()


def _keeper(cluster: Cluster, name: str) -> Keeper:
    surroundings = Surroundings(boottime, time.time, NonceBounds(), lambda: None)
    engine = KubernetesEngine(NAME, cluster, time.time)
    return Keeper(NAME, Lease(name, Terms(duration=2.0, timeout=0.5)), engine, surroundings)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(PAUSE_SECONDS)
