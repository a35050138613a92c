"""The wall clock may step, be far in the future, or be in any time zone: only reported times change."""

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise
from typing import Any, NamedTuple

import httpx
import pytest
from freezegun import freeze_time
from starlette.requests import Request
from starlette.responses import Response
from structlog.testing import capture_logs

from exporter.custody.auth import Nonces
from exporter.custody.classify import Answer, Classifier
from exporter.custody.errors import Cleaner
from exporter.simulator import answers, moods
from tests.custody.asking import SECRETS
from tests.polling.world import BEGINNING, Stage, Wire, now, run, stage
from tests.resources.answers import page

Clock = Callable[[], float]

HOUR = 3600.0
STEP_AT = 90.0
FAILING_FROM, FAILING_UNTIL = 50, 210
YEAR_2100 = 4_102_444_800.0
SUMMER_TIME_ENDS = 1_792_890_000.0
"""2026-10-25 01:00 UTC: in Berlin the hour from two to three begins again."""
SUMMER_TIME_BEGINS = 1_774_746_000.0
"""2026-03-29 01:00 UTC: in Berlin it is three right after two."""


def stepping(seconds: float, *, at: float = STEP_AT, beginning: float = BEGINNING) -> Clock:
    """A wall clock that is set when the monotonic one shows `at`."""
    return lambda: beginning + now() + (seconds if now() >= at else 0.0)


CLOCKS: dict[str, Clock] = {
    "an hour back": stepping(-HOUR),
    "to the beginning of Unix time": stepping(-BEGINNING - STEP_AT),
    "2100": stepping(0, beginning=YEAR_2100 - STEP_AT),
}
SET_FORWARD: dict[str, Clock] = {
    "an hour forward": stepping(HOUR),
    "to and fro": lambda: BEGINNING + now() + (HOUR if now() % 40 < 20 else -HOUR),
}
each_clock = pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
each_clock_at_all = pytest.mark.parametrize(
    "clock", (CLOCKS | SET_FORWARD).values(), ids=CLOCKS | SET_FORWARD
)


class Second(NamedTuple):
    """The observations of one second; lists except `sent` have an element for each target."""

    sent: list[tuple[float, str]]
    is_held: list[bool]
    is_stale: list[bool]
    refresh_interval: list[float | None]
    used: float | None
    waited: float | None


def staged(clock: Clock, *, boottime: Clock = now, **options: object) -> Stage:
    """A stage whose exporter uses `clock`, and needs more than its budget, which therefore decides on every request."""
    defaults: dict[str, object] = {
        "vaults": 4,
        "api": {"rate_limit": {"requests": 40}},
        "polling": {"interval": "5s", "stale_after": "60s"},
    }
    clocks = {"boottime": boottime, "wall": clock, "wall_ns": lambda: int(clock() * 1e9)}
    return stage(**{**defaults, **options}, clocks=clocks)  # type: ignore[arg-type]


def history(clock: Clock) -> list[Second]:
    """Return the observations of each second, while two vaults fail for longer than balances are kept."""

    async def main() -> list[Second]:
        played = staged(clock)
        seen: list[Second] = []
        with capture_logs():
            for second in range(240):
                if second == FAILING_FROM:
                    for vault in ("v1", "v2"):
                        played.simulator.moods[played.vault_id(vault)] = moods.html(502)
                if second == FAILING_UNTIL:
                    played.simulator.moods.clear()
                await played.play(1)
                states = list(played.exporter.store.states())
                seen.append(
                    Second(
                        list(played.wire.sent),
                        [state.balances is not None for state in states],
                        [state.is_stale for state in states],
                        [state.refresh_interval for state in states],
                        played.counted("kraken_custody_rate_limit_used_requests"),
                        played.counted("kraken_custody_rate_limit_wait_seconds_total"),
                    )
                )
                played.wire.sent.clear()
        await played.stop()
        assert not played.simulator.guard.refusals
        return seen

    return run(main())


@pytest.fixture(scope="module")
def steady() -> list[Second]:
    """The reference run, with an undisturbed clock."""
    return history(stepping(0))


@pytest.mark.no_cover
@each_clock
def test_a_wall_clock_that_is_not_set_forward_changes_no_poll_budget_or_age(
    clock: Clock, steady: list[Second]
) -> None:
    assert history(clock) == steady


def test_balances_are_withdrawn_and_come_back_in_the_reference_run(
    steady: list[Second],
) -> None:
    # The third target is v1, after the organization and v0.
    moments = [number for number, second in enumerate(steady) if second.is_stale[2]]
    assert moments == list(range(moments[0], moments[-1] + 1))
    assert moments[0] == pytest.approx(FAILING_FROM + 60, abs=5)
    assert moments[-1] == pytest.approx(FAILING_UNTIL, abs=5)
    assert not steady[moments[0]].is_held[2]


SLOW = {"interval": "1h", "stale_after": "2h"}
"""Settings of targets that would not be read again for a long time."""


@dataclass
class Machine:
    """A machine that can sleep, and whose wall clock can be set; both in seconds so far."""

    slept: float = 0.0
    set_by: float = 0.0

    def stage(self, **options: Any) -> Stage:
        return staged(
            lambda: BEGINNING + now() + self.slept + self.set_by,
            boottime=lambda: now() + self.slept,
            **options,
        )


def played_by(play: Callable[[Stage, Machine], Awaitable[None]], **options: Any) -> list[Any]:
    """Play with three vaults, each read once more than a minute ago; return the log from then on."""

    async def main() -> list[Any]:
        machine = Machine()
        played = machine.stage(**{"vaults": 3, "polling": SLOW} | options)
        with capture_logs():
            await played.play(50)
        assert [len(played.times(vault)) for vault in ("v0", "v1", "v2")] == [1, 1, 1]
        with capture_logs() as events:
            await play(played, machine)
        await played.stop()
        return events

    return run(main())


def test_after_a_sleep_every_target_is_due_at_once() -> None:
    async def sleep(played: Stage, machine: Machine) -> None:
        machine.slept += 600
        await played.play(10)
        assert [len(played.times(vault)) for vault in ("v0", "v1", "v2")] == [2, 2, 2]

    events = played_by(sleep)
    assert events == [{"event": "machine_slept", "log_level": "info", "seconds": 600.0}]


def test_a_sleep_counts_in_the_age_of_balances() -> None:
    async def sleep(played: Stage, machine: Machine) -> None:
        played.wire.broken[played.path("v1")] = httpx.ConnectError("no network yet")
        machine.slept += 2 * HOUR
        played.exporter.poller.bring_up_to_date()
        assert [played.state(vault).is_stale for vault in ("v0", "v1")] == [True, True]
        await played.play(10)
        assert [played.state(vault).is_stale for vault in ("v0", "v1")] == [False, True]

    played_by(sleep)


def test_after_the_wall_clock_was_set_forward_every_target_is_due_at_once() -> None:
    async def set_forward(played: Stage, machine: Machine) -> None:
        machine.set_by += 61
        await played.play(10)
        assert [len(played.times(vault)) for vault in ("v0", "v1", "v2")] == [2, 2, 2]

    events = played_by(set_forward)
    assert events == [{"event": "wall_clock_stepped", "log_level": "warning", "seconds": 61}]


@pytest.mark.parametrize("seconds", [30.0, -HOUR])
def test_a_small_step_or_one_back_makes_no_target_due(seconds: float) -> None:
    async def set_(played: Stage, machine: Machine) -> None:
        machine.set_by += seconds
        await played.play(10)
        assert [len(played.times(vault)) for vault in ("v0", "v1", "v2")] == [1, 1, 1]

    assert played_by(set_) == []


def test_balances_too_old_by_a_wall_clock_set_forward_have_three_timeouts_to_be_read_again() -> (
    None
):
    async def set_forward(played: Stage, machine: Machine) -> None:
        played.wire.broken[played.path("v1")] = httpx.ConnectError("no network yet")
        machine.set_by += 3 * HOUR
        await played.play(29)
        assert [played.state(vault).is_stale for vault in ("v0", "v1", "v2")] == [False] * 3
        await played.play(3)
        assert [played.state(vault).is_stale for vault in ("v0", "v1", "v2")] == [
            False,
            True,
            False,
        ]

    played_by(set_forward, api={"timeout": "10s"})


def test_a_wall_clock_that_is_set_forward_and_back_again_ages_nothing() -> None:
    async def set_to_and_fro(played: Stage, machine: Machine) -> None:
        played.wire.broken[played.path("v1")] = httpx.ConnectError("no network yet")
        machine.set_by += 3 * HOUR
        await played.play(20)
        machine.set_by -= 3 * HOUR
        await played.play(100)
        assert not played.state("v1").is_stale

    played_by(set_to_and_fro)


def test_a_target_that_is_being_polled_is_not_polled_twice_after_a_sleep() -> None:
    async def sleep(played: Stage, machine: Machine) -> None:
        played.simulator.moods[played.vault_id("v0")] = moods.slow(5)
        machine.slept += 600
        await played.play(2)
        machine.slept += 600
        await played.play(10)
        assert len(played.times("v0")) == 2

    played_by(sleep)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("clock", "unit"),
    [
        *((clock, "nanoseconds") for clock in CLOCKS | SET_FORWARD),
        ("to and fro", "microseconds"),
        ("to and fro", "milliseconds"),
    ],
)
def test_nonces_grow_whatever_the_wall_clock_does(clock: str, unit: str) -> None:
    async def main() -> None:
        played = staged((CLOCKS | SET_FORWARD)[clock], credentials={"main": {"nonce": unit}})
        await played.play(STEP_AT + 30)
        await played.stop()
        assert played.simulator.guard.arrivals > 70
        assert not played.simulator.guard.refusals
        assert played.state("v0").failure is None

    run(main())


@each_clock_at_all
def test_the_last_success_is_by_the_wall_clock(clock: Clock) -> None:
    async def main() -> None:
        played = staged(clock, vaults=1, polling={"interval": "7s"})
        await played.play(STEP_AT + 20)
        await played.stop()
        *_, sent = played.times("v0")
        told = played.state("v0").last_success
        assert told is not None
        # The simulator answers 10 ms after a request is sent, by any clock.
        expected = clock() + sent - now() + 0.01
        assert told == pytest.approx(expected, abs=1e-3)
        name = "kraken_custody_target_last_success_timestamp_seconds"
        vault = f'{name}{{kind="vault",org="org-main",vault="v0"}} {told!r}\n'
        assert vault in page(played.exporter.store)

    run(main())


def rate_limited_until(moment: Clock, written: Callable[[datetime], str]) -> moods.Mood:
    """Answer 429 with `moment` as the date."""

    async def mood(_request: Request) -> Response:
        answer = answers.rate_limited(None)
        answer.headers["retry-after"] = written(datetime.fromtimestamp(moment(), UTC))
        return answer

    return mood


def imf(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def asctime(moment: datetime) -> str:
    """The obsolete form (RFC 9110, 5.6.7), without a zone, which means UTC."""
    return moment.strftime("%a %b %d %H:%M:%S %Y")


def pause_until(clock: Clock, written: Callable[[datetime], str] = imf) -> float:
    """Return how long the poller is silent if told, after any step of `clock`, to wait 20 s by that clock."""

    async def main() -> float:
        played = staged(clock)
        await played.play(STEP_AT + 10)
        mood = rate_limited_until(lambda: clock() + 20, written)
        played.simulator.default_mood = moods.times(1, mood)
        await played.play(60)
        await played.stop()
        moments = [moment for moment, _ in played.wire.sent]
        return max(later - earlier for earlier, later in pairwise(moments))

    return run(main())


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "name", ["an hour forward", *(name for name in CLOCKS if "beginning of Unix" not in name)]
)
def test_a_date_to_retry_after_counts_from_the_wall_clock_as_it_is_then(name: str) -> None:
    # A date has no fraction.
    assert pause_until((CLOCKS | SET_FORWARD)[name]) == pytest.approx(20, abs=1.1)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_during_a_pause_neither_shortens_nor_prolongs_it(step: float) -> None:
    assert pause_until(stepping(step, at=STEP_AT + 20)) == pytest.approx(20, abs=1.1)


class Dated(Wire):
    """Adds the API's own time, which is never set, to each answer."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        response.headers["date"] = imf(datetime.fromtimestamp(BEGINNING + now(), UTC))
        return response


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_the_clock_skew_shows_the_step(step: float) -> None:
    async def main() -> None:
        played = staged(stepping(step), wired=Dated)
        await played.play(STEP_AT - 1)
        assert played.counted("kraken_custody_api_clock_skew_seconds") == pytest.approx(0, abs=0.6)
        await played.play(5)
        assert played.counted("kraken_custody_api_clock_skew_seconds") == pytest.approx(
            step, abs=0.6
        )
        await played.stop()

    run(main())


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set this machine's time zone to Berlin's, with its rules written out because not every machine has them."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.no_cover
@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("change", [SUMMER_TIME_BEGINS, SUMMER_TIME_ENDS])
def test_daylight_saving_time_has_no_effect(change: float, steady: list[Second]) -> None:
    before, after = (time.localtime(change + seconds).tm_isdst for seconds in (-1, 1))
    assert before != after
    clock = stepping(0, beginning=change - STEP_AT - 5)
    assert history(clock) == steady
    # The date is sent before the change and lies after it, or the hour before; it names no zone.
    an_hour_later = stepping(0, beginning=change - STEP_AT - 5 + HOUR)
    for told in (clock, an_hour_later):
        assert pause_until(told, asctime) == pytest.approx(20, abs=1.1)


def test_a_new_process_continues_with_larger_nonces_in_any_year() -> None:
    taken = []
    with freeze_time("2026-10-25 00:59:59") as frozen:
        for year in ("2038-01-19 03:14:08", "2100-01-01", "2262-04-12"):
            # As after a start: the slots taken before are no longer known.
            nonces = Nonces(time.time_ns).of(SECRETS.api_key, "nanoseconds")
            taken += [int(nonces.next()), int(nonces.next())]
            frozen.move_to(year)
    assert taken == sorted(set(taken))
    assert taken[0] == 1_792_889_999 * 10**9
    assert taken[-1] < 2**64


@pytest.mark.parametrize("frozen_at", ["1970-01-01", "2026-10-25", "2100-01-01"])
def test_a_date_counts_from_when_the_answer_came_not_from_when_it_is_read(frozen_at: str) -> None:
    headers = {"retry-after": imf(datetime.fromtimestamp(BEGINNING + 20, UTC))}
    with freeze_time(frozen_at):
        failure = Classifier().failure(Answer(429, headers, None, BEGINNING), Cleaner())
    assert failure is not None
    assert failure.retry_after == 20
