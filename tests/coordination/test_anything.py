"""Whatever happens to two or three exporters with one lease: one sends at a time, nonces grow, the budget holds."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.polling.budget import UNANSWERED_GRACE_SECONDS
from tests.coordination.shelf import DURATION, TIMEOUT, Shelf
from tests.coordination.theatre import GAP, LIMIT, Api, Process, Sent, process
from tests.polling.world import now, run

HOSTILE_SECONDS = 100.0
KINDS = (
    "kill",
    "restart",
    "stop",
    "stop before sending",
    "cut from the engine",
    "cut from the API",
    "engine away",
    "engine loses",
)


@dataclass(frozen=True)
class Mishap:
    """What happens at some time, to one process or to the engine, for how long."""

    at: float
    kind: str
    victim: int
    seconds: float


MISHAPS = st.lists(
    st.builds(
        Mishap,
        at=st.floats(1.0, HOSTILE_SECONDS),
        kind=st.sampled_from(KINDS),
        victim=st.integers(0, 2),
        seconds=st.sampled_from([0.3, 3.0, 15.0, 25.0, 45.0, 100.0]),
    ),
    max_size=6,
)


class Company:
    """The processes of one play; one that was killed or restarted has a successor in its place."""

    def __init__(self, number: int, aheads: Sequence[float]) -> None:
        self.api, self.shelf = Api(), Shelf()
        self.aheads = aheads
        self.all: list[Process] = []
        self.places = [self._new(place) for place in range(number)]

    def _new(self, place: int) -> Process:
        name = f"p{place}-{len(self.all)}"
        made = process(name, self.api, self.shelf, ahead=self.aheads[place])
        self.all.append(made)
        return made

    async def befall(self, mishap: Mishap) -> None:
        place = mishap.victim % len(self.places)
        victim, until = self.places[place], now() + mishap.seconds
        match mishap.kind:
            case "kill" | "restart":
                await (victim.kill() if mishap.kind == "kill" else victim.stop())
                self.places[place] = self._new(place)
                await self.places[place].start()
            case "stop":
                victim.stopped_until = max(victim.stopped_until, until)
            case "stop before sending":
                victim.stops_before_sending = mishap.seconds
            case "cut from the engine":
                victim.cut_from_engine_until = max(victim.cut_from_engine_until, until)
            case "cut from the API":
                victim.cut_from_api_until = max(victim.cut_from_api_until, until)
            case "engine away":
                self.shelf.is_away = True
                asyncio.get_running_loop().call_later(mishap.seconds, self._bring_back)
            case "engine loses":
                self.shelf.lose()

    def _bring_back(self) -> None:
        self.shelf.is_away = False

    async def rest(self) -> None:
        """Return when all mishaps are over."""
        ends = [HOSTILE_SECONDS + 50.0]
        for it in self.places:
            it.stops_before_sending = 0.0
            ends += [it.stopped_until, it.cut_from_engine_until, it.cut_from_api_until]
        await asyncio.sleep(max(0.0, max(ends) - now()))
        self.shelf.is_away = False


def overlap(one: Sent, other: Sent) -> bool:
    """Whether two requests of different processes, neither of them delayed, were in flight at the same time."""
    first, second = sorted((one, other), key=lambda sent: sent.checked)
    if one.process == other.process or first.was_stopped or second.was_stopped:
        return False
    return first.ended is None or first.ended > second.checked


def covered(sent: Sent) -> bool:
    """Whether a request arrived while a successor keeps a slot free for it."""
    return (
        sent.arrived is not None
        and sent.arrived - sent.checked <= TIMEOUT + UNANSWERED_GRACE_SECONDS
    )


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(
    number=st.integers(2, 3),
    ahead=st.sampled_from([0.0, 3600.0]),
    mishaps=MISHAPS,
)
def test_whatever_happens_one_sends_at_a_time_and_the_budget_holds(
    number: int, ahead: float, mishaps: list[Mishap]
) -> None:
    # If the engine has lost its data and the holder is gone, nothing shows that a clock was ahead.
    if any(it.kind == "engine loses" for it in mishaps):
        ahead = 0.0

    async def main() -> None:
        company = Company(number, (ahead, 0.0, -ahead))
        try:
            for it in company.places:
                await it.start()
            for mishap in sorted(mishaps, key=lambda it: it.at):
                await asyncio.sleep(max(0.0, mishap.at - now()))
                await company.befall(mishap)
            await company.rest()
            check(company.api)
            # Everything works again: exactly one process polls.
            await asyncio.sleep(2 * DURATION + 3.0 + 3 * GAP)
            assert sum(it.is_active for it in company.places) == 1
            assert [it for it in company.api.sent if it.arrived and it.arrived > now() - 10.0]
            check(company.api)
        finally:
            for it in company.all:
                await it.kill()

    run(main())


def check(api: Api) -> None:
    sent = sorted(api.sent, key=lambda it: it.checked)
    for number, one in enumerate(sent):
        assert not [other for other in sent[number + 1 : number + 4] if overlap(one, other)]
    assert [it for it in sent if it.is_refused and not it.was_stopped] == []
    assert api.fullest_window(covered) <= LIMIT
    late = sum(not covered(it) for it in sent if it.arrived is not None)
    assert api.fullest_window() <= LIMIT + late
