"""Twenty clean takeovers in a row with each engine, by processes whose clocks are hours apart."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from exporter.clocks import boottime
from exporter.coordination.engine import Engine
from exporter.coordination.keeper import Keeper, Surroundings
from exporter.coordination.kubernetes import Cluster, KubernetesEngine
from exporter.coordination.lease import Lease, Terms
from exporter.coordination.redis import RedisEngine, Server
from exporter.custody.auth import NonceBounds
from tests.coordination.kube_apiserver import api_server, pod
from tests.coordination.kubernetes_server import service_account, serving
from tests.coordination.redis_server import redis_server
from tests.coordination.shelf import TERMS
from tests.custody.servers import make_certificate
from tests.waiting import DEADLINE_SECONDS, PAUSE_SECONDS

NAME = "treasury"
TAKEOVERS = 20
Make = Callable[[], Engine]


@contextmanager
def redis(directory: Path) -> Iterator[Make]:
    with redis_server(directory / "redis") as server:
        yield lambda: RedisEngine(NAME, Server(server.url))


@contextmanager
def fake_kubernetes(directory: Path) -> Iterator[Make]:
    certificate = make_certificate(directory)
    with serving(certificate) as (state, url):
        state.empty(NAME)
        account = service_account(directory / "account", certificate.file)
        yield lambda: KubernetesEngine(NAME, Cluster(url, account), time.time)


@contextmanager
def kubernetes(directory: Path) -> Iterator[Make]:
    with api_server(directory) as server:
        cluster = pod(server, directory / "account", NAME)
        yield lambda: KubernetesEngine(NAME, cluster, time.time)


class Process:
    """A running keeper. ahead: hours by which its clock is ahead."""

    def __init__(self, number: int, make: Make, terms: Terms) -> None:
        self.bounds = NonceBounds()
        ahead = 3600 * (-1) ** number
        surroundings = Surroundings(
            boottime, lambda: time.time() + ahead, self.bounds, lambda: None
        )
        self.lease = Lease(f"p{number}", terms)
        self.keeper = Keeper(NAME, self.lease, make(), surroundings)
        self.running = asyncio.create_task(self.keeper.run())

    def holds(self) -> bool:
        return self.lease.may_send(boottime())

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.keeper.release()
        await self.keeper.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(PAUSE_SECONDS)


async def hand_over(make: Make) -> None:
    # A process that finds no record waits as long as a lease lasts. This one leaves a record; all others have a lease
    # that also outlasts a busy machine's pauses.
    first = Process(-1, make, Terms(duration=2.0, timeout=1.0))
    await until(first.holds)
    await first.stop()
    holder = Process(0, make, TERMS)
    await until(holder.holds)
    for number in range(1, TAKEOVERS + 1):
        successor = Process(number, make, TERMS)
        await until(lambda: successor.lease.found is not None)  # noqa: B023 - called in this round
        assert not successor.holds()
        await holder.stop()
        assert not holder.holds()
        # It would notice within a second.
        successor.keeper.look_again()
        await until(successor.holds)
        assert successor.bounds.above == holder.bounds.up_to
        holder = successor
    await holder.stop()


@pytest.mark.no_cover
@pytest.mark.parametrize("engine", [redis, fake_kubernetes, kubernetes], ids=lambda it: it.__name__)
def test_twenty_clean_takeovers_in_a_row_leave_each_successor_higher_nonces(
    tmp_path: Path, engine: Callable[[Path], AbstractContextManager[Make]]
) -> None:
    with engine(tmp_path) as make:
        asyncio.run(hand_over(make))
