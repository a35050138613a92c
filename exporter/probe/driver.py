"""Sends the questions of the probe: one at a time, a second apart, within the budget, until there is a reason to stop.

It decides nothing else: what to ask is data in `questions`, what to make of it is for `judges`.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx

from exporter.clocks import boottime
from exporter.custody.auth import NonceBounds
from exporter.custody.classify import Answer
from exporter.custody.client import CustodyClient, Exchange, Request, shape_of_answer
from exporter.custody.environment import trust
from exporter.custody.errors import CustodyError, Delivery
from exporter.polling.budget import Budget
from exporter.probe.known import TIME_IS_OVER, Known, Listing, Reply
from exporter.probe.questions import Omitted, Question
from exporter.probe.reading import ServerTime

APART_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 30.0
"""For one credential."""
SHORTEST_SECONDS: Final = 10.0
"""In which requests begin, however long one may take."""
_LIMIT_HEADER: Final = re.compile(r"retry-after|(x-)?rate-?limit[a-z-]{0,30}")
_LIMIT_VALUE: Final = re.compile(r"""[A-Za-z0-9 ,;:="'./_-]{1,100}""")


@dataclass(frozen=True, slots=True)
class Means:
    """What the probe takes from outside: time, and the way it waits.

    monotonic: seconds of the event loop's clock. boottime: the same, but it goes on while the machine sleeps. wall,
    wall_ns: Unix time. sleep: waits so many seconds. transport: what carries requests, None for the real network.
    trust: what reads the certificates that the API is known by. bounds: of nonces. may_send: whether a request may go
    now.
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
    """When the next request may go.

    budget: that all requests count against; it reckons with a daemon that has sent until just now.
    """

    def __init__(self, budget: Budget, means: Means) -> None:
        self._common = budget
        self._budgets: tuple[Budget, ...] = (budget,)
        self._means = means
        self._next_at = means.monotonic()

    def of_key(self, budget: Budget | None) -> None:
        """Go on with another key. budget: of its own, None where it has none."""
        self._budgets = (self._common, budget) if budget else (self._common,)

    @property
    def ready_at(self) -> float:
        """Monotonic seconds at which the next request may go."""
        now = self._means.monotonic()
        return max(self._next_at, *(budget.ready_at(now) for budget in self._budgets))

    async def wait(self) -> None:
        """Wait until then."""
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
    """Asks with one credential, and hears all there is to know of each answer.

    connect: makes the client, which tells both functions of what it sends and hears. private: names that no shape may
    show, to which those are added that the API lists.
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
        """Send a request when it may go; return what came of it, whatever that is."""
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
        return self._reply(error, result)

    def _reply(self, error: CustodyError | None, result: object) -> Reply:
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
            # The API's own clock, and not that of a proxy which dates answers; half a second is lost on average.
            reply = replace(reply, clock_skew=answer.received_at - result.unixtime - 0.5)
        if isinstance(result, Listing):
            self._private.update(it.name.lower() for it in result.found)
        return replace(
            reply,
            limits=self._limits(answer.headers),
            shape=shape_of_answer(answer, self._is_private),
        )

    def _is_private(self, key: str) -> bool:
        return key in self._private or self.client.clean(key, 100) != key

    def _limits(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers about a rate limit, as far as they are fit to be shown."""
        return {
            name: self.client.clean(value, 100) if _LIMIT_VALUE.fullmatch(value) else "(not shown)"
            for name, value in headers.items()
            if _LIMIT_HEADER.fullmatch(name)
        }


@dataclass(frozen=True, slots=True)
class Driver:
    """Sends questions. longest_request: seconds that any takes at the most. told: of each question that is over."""

    means: Means
    longest_request: float
    told: Callable[[], object]

    async def run(
        self, known: Known, questions: Iterable[Question], asker: Asker, pace: Pace
    ) -> Known:
        """Ask one after the other until there is a reason to stop; return all that is known then."""
        time_left = max(SHORTEST_SECONDS, LONGEST_SECONDS - self.longest_request)
        last_start = self.means.monotonic() + time_left
        for question in questions:
            stop = known.reason_to_stop
            request = Omitted(stop) if stop else question.ask(known)
            if not isinstance(request, Omitted) and pace.ready_at > last_start:
                request = Omitted(TIME_IS_OVER)
            if isinstance(request, Omitted):
                known = known.without(question.name, str(request))
            else:
                known = known.having(question.name, await asker.ask(request, pace))
            self.told()
        return known
