"""Sends the questions of the probe: one at a time, a second apart, within the budget, until there is a reason to stop.

What to ask is data in `questions`; `judges` interprets the answers.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import httpx
from msgspec import Struct, field
from msgspec.structs import replace

from exporter.clocks import boottime
from exporter.custody.auth import NonceBounds
from exporter.custody.classify import Answer
from exporter.custody.client import CustodyClient, Exchange, Request, shape_of_answer
from exporter.custody.environment import trust
from exporter.custody.errors import CustodyError, Delivery
from exporter.polling.budget import Budget
from exporter.probe.known import TIME_IS_OVER, Known, Listing, Reply
from exporter.probe.questions import MOST_ARE_SENT, MOST_REQUESTS, Omitted, Question
from exporter.probe.reading import ServerTime

APART_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 30.0
"""For one credential."""
SHORTEST_SECONDS: Final = 10.0
"""Time in which requests may start, even if `api.timeout` is long."""
_LIMIT_HEADER: Final = re.compile(r"retry-after|(x-)?rate-?limit[a-z-]{0,30}")
_LIMIT_VALUE: Final = re.compile(r"""[A-Za-z0-9 ,;:="'./_-]{1,100}""")


class Means(Struct, frozen=True):
    """External dependencies of the probe: clocks, sleep and network.

    monotonic: seconds of the event loop's clock.
    boottime: the same, including the time that the machine sleeps.
    wall, wall_ns: Unix time.
    sleep: waits for a number of seconds.
    transport: carries requests, None for the real network.
    trust: loads the certificates to trust.
    bounds: of nonces.
    may_send: whether a request may be sent now.
    """

    monotonic: Callable[[], float] = time.monotonic
    boottime: Callable[[], float] = boottime
    wall: Callable[[], float] = time.time
    wall_ns: Callable[[], int] = time.time_ns
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    transport: httpx.AsyncBaseTransport | None = None
    trust: Callable[[Path | None], ssl.SSLContext] = trust
    bounds: NonceBounds = field(default_factory=NonceBounds)
    may_send: Callable[[], bool] = lambda: True


class Pace:
    """When the next request may be sent.

    budget: the limit for all requests; it assumes that a daemon was sending until now.
    """

    def __init__(self, budget: Budget, means: Means) -> None:
        self._common = budget
        self._budgets: tuple[Budget, ...] = (budget,)
        self._means = means
        self._next_at = means.monotonic()

    def of_key(self, budget: Budget | None) -> None:
        """Continue with another key. budget: the key's own limit, None if it has none."""
        self._budgets = (self._common, budget) if budget else (self._common,)

    @property
    def ready_at(self) -> float:
        """Monotonic seconds at which the next request may be sent."""
        now = self._means.monotonic()
        return max(self._next_at, *(budget.ready_at(now) for budget in self._budgets))

    async def wait(self) -> None:
        """Wait until the next request may be sent."""
        if (seconds := self.ready_at - self._means.monotonic()) > 0:
            await self._means.sleep(seconds)

    def take(self) -> None:
        """Count a request that is sent now."""
        now = self._means.monotonic()
        self._next_at = now + APART_SECONDS
        for budget in self._budgets:
            budget.take(now)

    def give_back(self, delivery: Delivery) -> None:
        """Count its end."""
        for budget in self._budgets:
            budget.give_back(delivery, self._means.monotonic())


class Asker:
    """Asks with one credential, and records everything about each answer.

    connect: creates the client, which calls both functions with each exchange and each answer.
    private: names that no shape may show; those that the API lists are added.
    """

    def __init__(
        self,
        connect: Callable[[Callable[[Exchange], None], Callable[[Answer], None]], CustodyClient],
        private: Iterable[str],
    ) -> None:
        self._private = set(private)
        self._answer: Answer | None = None
        self._exchange: Exchange | None = None
        self.client = connect(self._observe, self._hear)

    def _observe(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def _hear(self, answer: Answer) -> None:
        self._answer = answer

    async def ask(self, request: Request[object], pace: Pace) -> Reply:
        """Send a request as soon as it may be sent; return its outcome, failures included."""
        await pace.wait()
        self._answer = self._exchange = None
        error, result, delivery = None, None, Delivery.ANSWERED
        pace.take()
        try:
            result = await self.client.ask(request)
        except CustodyError as failure:
            error, delivery = failure, failure.delivery
        finally:
            pace.give_back(delivery)
        return self._reply(error, result, is_personal=request.is_personal)

    def _reply(self, error: CustodyError | None, result: object, *, is_personal: bool) -> Reply:
        answer, exchange = self._answer, self._exchange
        reply = Reply(
            status=exchange.status if exchange else None,
            seconds=exchange.seconds if exchange else None,
            clock_skew=exchange.clock_skew if exchange else None,
            error=error,
            result=result,
        )
        if answer is None:
            return reply
        if isinstance(result, ServerTime):
            # The API's own clock, not that of a proxy that sets `Date`; whole seconds lose half a second on average.
            reply = replace(reply, clock_skew=answer.received_at - result.unixtime - 0.5)
        if isinstance(result, Listing):
            self._private.update(it.name.lower() for it in result.found)
        return replace(
            reply,
            limits=self._limits(answer.headers),
            shape=shape_of_answer(answer, lambda key: is_personal or self._is_private(key)),
        )

    def _is_private(self, key: str) -> bool:
        return key in self._private or self.client.clean(key, 100) != key

    def _limits(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the rate-limit headers, without values that may not be shown."""
        return {
            name: self.client.clean(value, 100) if _LIMIT_VALUE.fullmatch(value) else "(not shown)"
            for name, value in headers.items()
            if _LIMIT_HEADER.fullmatch(name)
        }


class Driver(Struct, frozen=True):
    """Sends questions.

    longest_request: maximum seconds of a request.
    told: called after each question.
    """

    means: Means
    longest_request: float
    told: Callable[[], object]

    async def run(
        self, known: Known, questions: Iterable[Question], asker: Asker, pace: Pace
    ) -> Known:
        """Ask one after the other until there is a reason to stop; return everything known then."""
        time_left = max(SHORTEST_SECONDS, LONGEST_SECONDS - self.longest_request)
        last_start = self.means.monotonic() + time_left
        for question in questions:
            if question.collected and question.collected not in known.subject.collect:
                self.told()
                continue
            stop = known.reason_to_stop
            request = Omitted(stop) if stop else question.ask(known)
            if not isinstance(request, Omitted) and pace.ready_at > last_start:
                request = Omitted(TIME_IS_OVER)
            # The unsigned request is none of the replies.
            if not isinstance(request, Omitted) and len(known.replies) + 1 >= MOST_REQUESTS:
                request = Omitted(MOST_ARE_SENT)
            if isinstance(request, Omitted):
                known = known.without(question.name, str(request))
            else:
                known = known.having(question.name, await asker.ask(request, pace))
            self.told()
        return known
