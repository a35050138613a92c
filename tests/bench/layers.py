"""Where the processor time of one request goes, layer by layer: polling at the documented pace, over real HTTP.

The functions of each layer are wrapped to read the thread's processor time, which adds about a tenth in total.
"""

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

from exporter.app import favour_event_loop
from exporter.assembly import Exporter, World
from exporter.custody import transport
from exporter.custody.auth import KeyAuth
from exporter.custody.connections import HttpApi
from exporter.custody.http1 import Response
from exporter.custody.wire import Wire
from exporter.logs import configure
from exporter.polling.poller import Poller
from exporter.polling.request import Requests
from exporter.polling.results import Results
from exporter.polling.schedule import Schedule
from exporter.resources import vault_balances
from exporter.resources.vault_balances import VaultBalances
from exporter.state.store import Store
from tests.bench.filled import portfolio_of, settings_for
from tests.bench.peer.compare import SERIES
from tests.bench.polling import reporting

WARM_UP_SECONDS: Final = 30.0
"""Every vault is polled before measuring begins."""

READING: Final = "read and check the answer, write its values (msgspec)"
EXPOSING: Final = "labels and descriptions, worth"
STATE: Final = "state and counters"
HTTP: Final = "HTTP/1.1 (llhttp)"
SIGNING: Final = "request and signature (httpx, HMAC)"
BYTES: Final = "bytes of the connection (asyncio, system calls)"
SCHEDULING: Final = "schedule, budget, poller"
CLIENT: Final = "client and transport, without the layers below"
LOOP: Final = "event loop: waking, selecting, timers"

FUNCTIONS: Final = (
    (READING, vault_balances, "read_usual"),
    (EXPOSING, VaultBalances, "expose"),
    (STATE, Results, "poll_succeeded"),
    (STATE, Results, "exchanged"),
    (STATE, Store, "put"),
    (HTTP, transport, "written"),
    (HTTP, Response, "__init__"),
    (HTTP, Response, "receive"),
    (HTTP, Response, "read_head"),
    (HTTP, Response, "read_body"),
    (SIGNING, HttpApi, "request"),
    (SIGNING, KeyAuth, "sign"),
    (BYTES, Wire, "write"),
    (BYTES, Wire, "data_received"),
    (SCHEDULING, Requests, "send"),
    (SCHEDULING, Schedule, "next"),
    (SCHEDULING, Poller, "_turns"),
    (SCHEDULING, Poller, "bring_up_to_date"),
)
TASKS: Final = {"Requests._request": CLIENT, "Poller.run": SCHEDULING}
"""The layer of a task's own work, by its coroutine."""


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    configure("error", "logfmt")
    seconds = 20.0 if quick else 120.0
    # The same server as in that comparison, so that the figures are comparable.
    with reporting(module="tests.bench.peer.compare") as (base_url, _):
        layers = asyncio.run(_poll(base_url, seconds))
    print("| layer | processor time for a request |\n| --- | --- |")
    for layer, spent in layers.most_common():
        print(f"| {layer} | {spent:.2f} ms |")
    print(f"| total | {layers.total():.2f} ms |")


async def _poll(base_url: str, seconds: float) -> Counter[str]:
    """Poll at the full budget; return the milliseconds of each layer for a request."""
    exporter = Exporter(settings_for(portfolio_of(SERIES), base_url, interval="20s"), World())
    favour_event_loop()
    watch = _Watch()
    with watch.watching():
        polling = asyncio.create_task(exporter.poller.run())
        await asyncio.sleep(WARM_UP_SECONDS)
        watch.forget()
        began = time.process_time_ns()
        await asyncio.sleep(seconds)
        total = time.process_time_ns() - began
        spent, requests = watch.spent.copy(), watch.requests
        polling.cancel()
        await asyncio.wait({polling})
    spent[LOOP] += total - spent.total()
    return Counter({layer: it / requests / 1e6 for layer, it in spent.items()})


class _Watch:
    """Adds up the processor time of layers, each without the other layers that it calls.

    spent: nanoseconds by layer. requests: how many were answered.
    """

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self.requests = 0
        self._inner = [0]

    def forget(self) -> None:
        """Start over."""
        self.spent.clear()
        self.requests = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all layers."""
        run = asyncio.Handle._run
        patches = [
            mock.patch.object(owner, name, self._watched(getattr(owner, name), layer))
            for layer, owner, name in FUNCTIONS
        ]
        patches.append(mock.patch.object(asyncio.Handle, "_run", self._run_of(run)))
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            mock.patch.stopall()

    @contextmanager
    def _in(self, layer: str) -> Iterator[None]:
        began = time.thread_time_ns()
        self._inner.append(0)
        try:
            yield
        finally:
            whole = time.thread_time_ns() - began
            self.spent[layer] += whole - self._inner.pop()
            self._inner[-1] += whole

    def _watched(self, function: Callable[..., Any], layer: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **named: Any) -> Any:
            with self._in(layer):
                returned = function(*args, **named)
            if layer == STATE and function.__name__ == "exchanged":
                self.requests += 1
            return self._stepped(returned, layer) if isinstance(returned, Generator) else returned

        return watched

    def _stepped(
        self, steps: Generator[None, None, Any], layer: str
    ) -> Generator[None, None, object]:
        while True:
            with self._in(layer):
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
            yield

    def _run_of(self, run: Callable[[asyncio.Handle], None]) -> Callable[[asyncio.Handle], None]:
        def watched(handle: asyncio.Handle) -> None:
            owner = getattr(getattr(handle, "_callback", None), "__self__", None)
            task = owner.get_coro() if isinstance(owner, asyncio.Task) else None
            with self._in(TASKS.get(getattr(task, "__qualname__", ""), LOOP)):
                run(handle)

        return watched
