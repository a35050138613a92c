"""Exporters with one lease, in virtual time: who polls, what is exposed, and what the API sees."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from exporter.config import ConfigError
from exporter.coordination.coordinator import LeaseView
from exporter.coordination.engine import Found, Record
from exporter.coordination.keeper import LeaseHeldError
from exporter.polling import schedule
from exporter.polling.pause import Cause
from exporter.state import store
from exporter.web.site import Site
from exporter.web.targets_json import targets_json
from exporter.web.view import View
from tests.coordination.shelf import DURATION, TIMEOUT, Shelf
from tests.coordination.theatre import (
    GAP,
    LIMIT,
    Api,
    Process,
    company,
    exposed,
    process,
    settings,
)
from tests.polling.world import BEGINNING, now, run

BOUND = DURATION + 3.0
"""Seconds from the last renewal within which a successor may send (contract, section 8)."""


def is_orderly(api: Api) -> None:
    """Check what holds in each scene: one sender at a time, increasing nonces, and never more than n requests."""
    assert api.fullest_window() <= LIMIT
    assert not any(sent.is_refused for sent in api.sent)
    for one, other in pairwise(sorted(api.sent, key=lambda it: it.checked)):
        if one.process != other.process:
            assert one.ended is not None
            assert one.ended <= other.checked


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for `condition` in virtual time; return how long that took."""
    began = now()
    while not condition():
        assert now() - began <= seconds, f"not within {seconds} s"
        await asyncio.sleep(0.1)
    return now() - began


def play(scene: Callable[[], Awaitable[None]]) -> list[dict[str, object]]:
    """Play `scene` and return what was logged."""

    async def main() -> None:
        await scene()

    with capture_logs() as logs:
        run(main())
    assert not [event for event in logs if "crashed" in event["event"]]
    return [dict(event) for event in logs]


def events(logs: list[dict[str, object]], *names: str) -> list[tuple[object, object]]:
    return [(it["event"], it.get("holder")) for it in logs if it["event"] in names]


def test_one_process_polls_and_a_standby_exposes_no_target() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(10.0)
            assert (a.is_active, b.is_active) == (True, False)
            assert a.targets() > 0
            standby = exposed(b.exporter)
            assert "kraken_custody_exporter_active 0.0\n" in standby
            assert "kraken_custody_exporter_series 0.0\n" in standby
            names = {line.split("{")[0].split(" ")[0] for line in standby.splitlines()} - {"#"}
            assert not [name for name in names if "_vault_" in name or "_target_" in name]
            assert "kraken_custody_exporter_active 1.0\n" in exposed(a.exporter)
            assert b.exporter.is_ready
            assert b.exporter.trouble() is None
            assert {sent.process for sent in a.api.sent} == {"a"}

    logs = play(scene)
    assert events(logs, "lease_acquired", "lease_held") == [
        ("lease_acquired", "a"),
        ("lease_held", "a"),
    ]


def test_a_standby_shows_which_process_is_active_since_when() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(10.0)
            since = a.shelf.written[-1].acquired
            assert since == pytest.approx(BEGINNING, abs=0.5)
            name = "kraken-custody-exporter"
            assert b.exporter.look()().exporter.lease == LeaseView(
                name, me="b", is_active=False, holder="a", since=since, standby="", problem=""
            )
            assert a.exporter.look()().exporter.lease == LeaseView(
                name, me="a", is_active=True, holder="a", since=since, standby="b", problem=""
            )
            assert b'"holder":"a"' in b"".join(targets_json(b.exporter.look()(), View()))

    play(scene)


def test_a_standby_is_ready_and_healthy_and_says_that_it_waits() -> None:
    async def scene() -> None:
        async with company("a", "b") as processes:
            await asyncio.sleep(10.0)
            texts = []
            for each in processes:
                transport = httpx.ASGITransport(Site(each.exporter, "/metrics").app())
                async with httpx.AsyncClient(
                    transport=transport, base_url="http://127.0.0.1"
                ) as client:
                    for path in ("/-/ready", "/-/healthy"):
                        response = await client.get(path)
                        texts.append((response.status_code, response.text))
            assert texts == [
                (200, "Ready: polling has begun.\n"),
                (200, "Healthy: polling is in progress.\n"),
                (200, "Ready: standby, waiting for the lease.\n"),
                (200, "Healthy: standby, waiting for the lease.\n"),
            ]

    play(scene)


def test_a_poll_on_demand_at_a_standby_says_that_it_is_one() -> None:
    async def scene() -> None:
        async with company("a", "b") as (_, b):
            asked = await b.exporter.poll_now([])
            assert asked
            assert asked.is_in_vain
            assert list(asked.lines()) == ["Not polled, this process is a standby: 3 targets."]

    play(scene)


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -3600.0])
def test_a_killed_holder_is_followed_in_time_whatever_the_clocks_show(ahead: float) -> None:
    async def scene() -> None:
        async with company("a", "b", aheads=[ahead]) as (a, b):
            await asyncio.sleep(20.0)
            last = a.shelf.written[-1]
            assert last.holder == "a"
            await a.kill()
            # At worst it has just renewed.
            await until(b.exporter.parts.may_send, BOUND)
            await until(lambda: any(it.process == "b" for it in b.api.sent), 3 * GAP)
            await asyncio.sleep(60.0)
            is_orderly(a.api)

    assert events(play(scene), "lease_acquired") == [
        ("lease_acquired", "a"),
        ("lease_acquired", "b"),
    ]


@pytest.mark.no_cover
def test_clean_takeovers_in_a_row_each_take_three_seconds() -> None:
    async def scene() -> None:
        api, shelf = Api(), Shelf()
        async with company("p0", shelf=shelf) as (first,):
            first.api, holder = api, first
            for number in range(1, 9):
                successor = process(f"p{number}", api, shelf, ahead=(-1) ** number * 3600.0)
                await successor.start()
                await asyncio.sleep(20.0)
                assert (holder.is_active, successor.is_active) == (True, False)
                await holder.stop()
                assert shelf.record
                assert shelf.record.holder == ""
                await until(successor.exporter.parts.may_send, 3.0)
                holder = successor
            await asyncio.sleep(20.0)
            await holder.stop()
        is_orderly(api)
        assert {sent.process for sent in api.sent} == {f"p{number}" for number in range(9)}

    play(scene)


def test_a_clean_stop_gives_up_the_lease_though_others_write_in_between() -> None:
    async def scene() -> None:
        async with company("a") as (a,):
            a.shelf.conflicts = 2
            await a.stop()
            assert a.shelf.record
            assert a.shelf.record.holder == ""
            assert a.hung_up == 1

    play(scene)


def test_of_two_processes_that_start_at_the_same_moment_without_a_record_one_polls() -> None:
    async def scene() -> None:
        api, shelf = Api(), Shelf()
        a, b = process("a", api, shelf), process("b", api, shelf)
        try:
            await asyncio.gather(a.start(), b.start())
            await asyncio.sleep(DURATION - 1.0)
            assert api.sent == []
            assert shelf.written == []
            await asyncio.sleep(20.0)
            assert a.is_active != b.is_active
            is_orderly(api)
        finally:
            await a.kill()
            await b.kill()

    play(scene)


@pytest.mark.no_cover
@pytest.mark.parametrize("seconds", [1.0, 60.0, 600.0])
def test_an_engine_that_is_gone_for_a_while_makes_the_holder_pause_until_it_is_back(
    seconds: float,
) -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            a.shelf.is_away = True
            await asyncio.sleep(seconds)
            if seconds < DURATION - TIMEOUT - DURATION / 5:
                assert a.exporter.parts.may_send()
            else:
                assert (a.is_active, b.is_active, a.targets()) == (False, False, 0)
                assert a.exporter.trouble() is None
                # Its own record has expired, and its current content is unknown.
                lease = a.exporter.look()().exporter.lease
                assert lease
                assert (lease.holder, lease.since, lease.problem) == (
                    "",
                    None,
                    "the engine is away",
                )
            a.shelf.is_away = False
            await until(lambda: a.exporter.parts.may_send() or b.exporter.parts.may_send(), 3.0)
            await asyncio.sleep(60.0)
            assert a.is_active != b.is_active
            is_orderly(a.api)

    logs = play(scene)
    # Each of the two logs it once, however long it lasts.
    said = [it for it in logs if it.get("problem") == "the engine is away"]
    assert len(said) == len(events(logs, "lease_reachable")) <= 2


def test_an_engine_that_loses_its_data_gets_the_record_again_and_no_other_process_polls() -> None:
    async def scene() -> None:
        async with company("a", "b", aheads=[3600.0]) as (a, b):
            await asyncio.sleep(20.0)
            ceiling = a.shelf.written[-1].ceiling
            a.shelf.lose()
            await asyncio.sleep(10.0)
            assert a.shelf.record
            assert (a.shelf.record.holder, a.shelf.record.ceiling >= ceiling) == ("a", True)
            await asyncio.sleep(60.0)
            assert (a.is_active, b.is_active) == (True, False)
            is_orderly(a.api)

    play(scene)


def test_a_holder_that_the_engine_cannot_see_is_followed_and_drops_its_balances() -> None:
    async def scene() -> None:
        async with company("a", "b", aheads=[0.0, -3600.0]) as (a, b):
            await asyncio.sleep(20.0)
            a.cut_from_engine_until = now() + 120.0
            await until(lambda: b.is_active, BOUND)
            assert (a.is_active, a.targets()) == (False, 0)
            await asyncio.sleep(120.0)
            assert (a.is_active, b.is_active) == (False, True)
            is_orderly(a.api)

    assert ("lease_lost", "a") in events(play(scene), "lease_lost")


@pytest.mark.parametrize("later", [2.0, 5.0])
def test_the_last_request_of_a_holder_has_ended_when_its_successor_begins(later: float) -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            a.cut_from_engine_until = now() + 200.0
            await asyncio.sleep(later)
            # From here on each of its requests takes as long as possible.
            a.cut_from_api_until = now() + 200.0
            await until(lambda: any(it.process == "b" for it in b.api.sent), BOUND + 3 * GAP)
            last = max(it.ended or math.inf for it in a.api.sent if it.process == "a")
            assert last <= min(it.checked for it in b.api.sent if it.process == "b")
            is_orderly(a.api)

    play(scene)


def test_a_holder_that_was_stopped_finds_that_it_is_none_before_it_sends_anything() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            stopped_at = now()
            a.stopped_until = now() + 100.0
            await until(lambda: b.is_active, BOUND)
            await asyncio.sleep(100.0)
            assert (a.is_active, b.is_active, a.targets()) == (False, True, 0)
            assert not [it for it in a.api.sent if it.process == "a" and it.checked > stopped_at]
            is_orderly(a.api)

    play(scene)


def test_a_virtual_machine_that_stood_still_and_knows_nothing_of_it_costs_one_refused_nonce() -> (
    None
):
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            a.stopped_until = now() + 100.0
            a.missed = 100.0
            await until(lambda: b.is_active, BOUND)
            await asyncio.sleep(100.0)
            refused = [it for it in a.api.sent if it.is_refused]
            assert {it.process for it in refused} <= {"a"}
            assert len(refused) <= 1
            assert (a.is_active, b.is_active, a.targets()) == (False, True, 0)
            # No process can have reserved a slot for it.
            assert a.api.fullest_window() <= LIMIT + 1

    play(scene)


def test_a_process_that_lost_the_lease_and_took_it_again_unnoticed_begins_as_after_a_restart() -> (
    None
):
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            a.stopped_until = now() + 65.0
            # Nothing checks the lease meanwhile, as its next read of the record is in progress.
            before = a.exporter._tenure
            await until(lambda: b.is_active, BOUND)
            await asyncio.sleep(25.0)
            await b.stop()
            await until(a.exporter.parts.may_send, 20.0)
            assert a.exporter._tenure != before
            await asyncio.sleep(60.0)
            is_orderly(a.api)

    play(scene)


def test_nothing_from_before_is_shown_or_sent_while_a_process_forgets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (schedule, store):
        monkeypatch.setattr(module, "AT_ONCE", 1)

    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            assert a.targets() == 3
            a.cut_from_engine_until = now() + 60.0
            await until(lambda: not a.is_active, BOUND)
            # The first look makes it forget, one target in each round.
            assert a.targets() == 0
            assert any(state.polls for state in a.exporter.store.states())
            for _ in range(10):
                await asyncio.sleep(0)
                assert a.targets() == 0
            assert not any(state.polls for state in a.exporter.store.states())
            await until(lambda: b.is_active, BOUND)
            await asyncio.sleep(40.0)
            await b.stop()
            await until(lambda: a.targets() == 3, 20.0)
            is_orderly(a.api)

    play(scene)


@pytest.mark.parametrize("seconds", [60.0, 300.0])
def test_a_pause_requested_by_the_api_outlasts_a_lease_that_no_other_process_took(
    seconds: float,
) -> None:
    async def scene() -> None:
        async with company("a") as (a,):
            await asyncio.sleep(10.0)
            pauses = a.exporter.parts.pause_of_all, a.exporter.parts.credentials["main"].pause
            until_then = now() + 200.0
            pauses[0].begin(Cause("http/429", "", 429), now(), now(), 200.0)
            lockout = Cause("EGeneral:Temporary lockout", "", 200, is_lockout=True)
            pauses[1].begin(lockout, now(), now())
            a.shelf.is_away = True
            await asyncio.sleep(seconds)
            assert not a.is_active
            assert not any(pause.is_active for pause in pauses)
            a.shelf.is_away = False
            sent = len(a.api.sent)
            await until(lambda: a.is_active, 5.0)
            assert pauses[0].is_active == (seconds < 200.0)
            assert not pauses[0].is_active or pauses[0].ends_at() == pytest.approx(until_then)
            assert pauses[1].is_lockout
            await asyncio.sleep(60.0)
            assert len(a.api.sent) == sent

    play(scene)


REFUSED = Cause("EAPI:Invalid key", "", 401)
LOCKED_OUT = Cause("EGeneral:Temporary lockout", "", 200, is_lockout=True)


@pytest.mark.parametrize(
    ("cause", "timeout", "is_paused"),
    [
        (REFUSED, TIMEOUT, True),
        (REFUSED, TIMEOUT - 1.0, False),
        # It belongs to the key, whatever else changes.
        (LOCKED_OUT, TIMEOUT - 1.0, True),
    ],
    ids=["nothing changes", "another way to the API", "another way, but a lockout"],
)
def test_a_pause_that_waits_for_the_lease_ends_at_a_reload_that_renews_its_credential(
    cause: Cause,
    timeout: float,
    is_paused: bool,  # noqa: FBT001 - a column of the table
) -> None:
    async def scene() -> None:
        async with company("a") as (a,):
            await asyncio.sleep(10.0)
            pause = a.exporter.parts.credentials["main"].pause
            pause.begin(cause, now(), now())
            pause.begin(cause, now(), now())
            a.shelf.is_away = True
            await until(lambda: not a.is_active, BOUND)
            assert not pause.is_active
            lease = {"kind": "kubernetes", "duration": f"{DURATION:g}s"}
            await reload(a, lease, timeout=f"{timeout:g}s")
            a.shelf.is_away = False
            await until(lambda: a.is_active, 5.0)
            assert a.exporter.parts.credentials["main"].pause.is_active == is_paused

    play(scene)


def test_a_pause_ends_with_a_lease_that_another_process_held_meanwhile() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(10.0)
            pause = a.exporter.parts.pause_of_all
            pause.begin(Cause("http/429", "", 429), now(), now(), 600.0)
            a.cut_from_engine_until = now() + 60.0
            await until(lambda: b.is_active, 60.0)
            await asyncio.sleep(60.0)
            await b.stop()
            await until(lambda: a.is_active, 5.0)
            assert not pause.is_active

    play(scene)


def test_a_stop_between_check_and_send_costs_one_refused_nonce_and_no_more() -> None:
    async def scene() -> None:
        async with company("a", "b", aheads=[0.0, -3600.0]) as (a, b):
            await asyncio.sleep(20.0)
            a.stops_before_sending = 100.0
            await until(lambda: b.is_active, BOUND + 3 * GAP)
            await asyncio.sleep(150.0)
            refused = [it for it in a.api.sent if it.is_refused]
            assert [(it.process, it.was_stopped) for it in refused] == [("a", True)]
            assert (a.is_active, b.is_active) == (False, True)

    play(scene)


def test_a_holder_reads_the_record_after_a_refused_nonce_before_it_tries_again() -> None:
    async def scene() -> None:
        async with company("a") as (a,):
            await asyncio.sleep(19.0)
            a.api.refuses = 1
            a.shelf.is_away = True
            await until(lambda: a.api.sent[-1].is_refused, 2 * GAP)
            await asyncio.sleep(1.0)
            reads, number = a.shelf.reads, len(a.api.sent)
            assert not a.exporter.parts.may_send()
            await asyncio.sleep(5.0)
            assert len(a.api.sent) == number
            a.shelf.is_away = False
            await until(lambda: len(a.api.sent) > number, 3.0)
            assert a.shelf.reads > reads
            assert a.is_active

    play(scene)


def test_without_a_standby_a_holder_that_is_cut_off_from_the_api_keeps_the_lease() -> None:
    async def scene() -> None:
        async with company("a") as (a,):
            await asyncio.sleep(20.0)
            a.cut_from_api_until = now() + 150.0
            await asyncio.sleep(149.0)
            assert a.is_active
            await asyncio.sleep(60.0)
            assert [it for it in a.api.sent if it.arrived and it.arrived > now() - 30.0]

    assert events(play(scene), "lease_lost") == []


def test_a_standby_that_reaches_the_api_takes_over_from_a_holder_that_does_not() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            a.cut_from_api_until = now() + 2000.0
            await until(lambda: b.is_active, 3 * DURATION + 3 * TIMEOUT + 10.0)
            await asyncio.sleep(60.0)
            assert (a.is_active, b.is_active) == (False, True)
            is_orderly(a.api)

    logs = play(scene)
    assert [it["problem"] for it in logs if it["event"] == "lease_lost"] == [
        "given up: the API does not answer here, and a standby waits"
    ]


@pytest.mark.no_cover
def test_two_processes_cut_off_from_the_api_do_not_pass_the_lease_back_and_forth() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            for it in (a, b):
                it.cut_from_api_until = now() + 900.0
            await asyncio.sleep(900.0)
            assert a.is_active or b.is_active

    # Each releases it once, and again after ten minutes.
    assert 3 <= len(events(play(scene), "lease_acquired")) <= 5


def test_a_rolling_update_of_two_hands_the_lease_on_twice_at_the_most() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(20.0)
            c = process("c", a.api, a.shelf, ahead=120.0)
            await c.start()
            await asyncio.sleep(5.0)
            await a.stop()
            await asyncio.sleep(5.0)
            d = process("d", a.api, a.shelf, ahead=-120.0)
            await d.start()
            await asyncio.sleep(5.0)
            await b.stop()
            await until(lambda: c.exporter.parts.may_send() or d.exporter.parts.may_send(), 3.0)
            await asyncio.sleep(60.0)
            is_orderly(a.api)
            await c.kill()
            await d.kill()

    assert len(events(play(scene), "lease_acquired")) <= 3


def test_a_record_that_would_use_up_the_nonces_of_a_key_is_not_followed() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await a.stop()
            a.shelf.restore(Record("", 99, int((BEGINNING + 400 * 86_400) * 1e9), 30, 0.0))
            await asyncio.sleep(2 * DURATION)
            assert not b.is_active
            lease = b.exporter.look()().exporter.lease
            assert lease
            assert "is more than a year ahead of this machine's clock" in lease.problem

    play(scene)


def test_with_a_lease_a_metric_says_whether_the_record_can_be_read() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            up = 'kraken_custody_exporter_lease_up{lease="kraken-custody-exporter"}'
            assert f"{up} 1.0\n" in exposed(a.exporter)
            b.cut_from_engine_until = now() + 60.0
            await asyncio.sleep(10.0)
            assert f"{up} 0.0\n" in exposed(b.exporter)
            assert up not in exposed(process("c", a.api, a.shelf, has_lease=False).exporter)

    play(scene)


# Reloads.


async def reload(of: Process, lease: dict[str, Any], **api: Any) -> None:
    await of.exporter.reload(settings(lease, **api))


def test_a_reload_with_the_same_lease_keeps_it_and_its_new_duration_holds_from_the_next_renewal() -> (
    None
):
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(10.0)
            await reload(a, {"kind": "kubernetes", "duration": "60s"})
            assert a.is_active
            await asyncio.sleep(10.0)
            assert a.shelf.record
            assert a.shelf.record.duration == 60
            await a.kill()
            await asyncio.sleep(45.0)
            assert not b.is_active
            await until(lambda: b.is_active, 18.0)
            is_orderly(a.api)

    play(scene)


@pytest.mark.parametrize("timeout", ["10s", "1s"])
def test_a_reload_to_another_lease_waits_for_that_and_gives_up_the_old_one(timeout: str) -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(10.0)
            await reload(a, {"kind": "kubernetes", "name": "other"}, timeout=timeout)
            assert (a.is_active, a.targets()) == (False, 0)
            # Requests in flight with the old one end first.
            assert await until(lambda: b.is_active, TIMEOUT + 3.0) >= TIMEOUT - 1.0
            assert a.hung_up == 1

    logs = play(scene)
    assert [it["problem"] for it in logs if it["event"] == "lease_lost"][:1] == ["given up"]


def test_a_reload_cannot_remove_the_lease_as_two_processes_would_poll() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(10.0)
            for it in (a, b):
                without = replace(settings(timeout="1s"), lease=None)
                with pytest.raises(ConfigError) as refused:
                    await it.exporter.reload(without)
                assert str(refused.value) == (
                    "configuration: lease: cannot be removed by a reload: a process that waits for it would poll "
                    "beside this one. To go on without it, stop all of these processes and start one"
                )
            await asyncio.sleep(60.0)
            assert (a.is_active, b.is_active) == (True, False)
            assert {it.process for it in a.api.sent} == {"a"}
            is_orderly(a.api)

    play(scene)


def test_a_reload_that_adds_a_lease_polls_no_more_before_it_is_held() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            await asyncio.sleep(10.0)
            await b.kill()
            c = process("c", a.api, a.shelf, has_lease=False)
            await a.stop()
            await c.start()
            await asyncio.sleep(20.0)
            assert c.is_active
            assert c.exporter.look()().exporter.lease is None
            assert c.targets() > 0
            await reload(c, {"kind": "kubernetes"})
            assert (c.is_active, c.targets()) == (False, 0)
            await until(lambda: c.is_active, BOUND)
            await c.kill()

    play(scene)


# Polling once.


async def once(of: Process) -> int:
    """Poll once, and return how many targets are exposed."""
    async with of.exporter.holding_lease():
        await of.exporter.poller.run_once(lambda _polled, _targets: None)
        assert of.is_active
        return of.targets()


def test_polling_once_gives_up_the_lease_that_it_took() -> None:
    async def scene() -> None:
        shelf = Shelf()
        only = process("once", Api(), shelf)
        assert await once(only) == 3
        assert DURATION <= now() <= 2 * DURATION
        assert shelf.record
        assert shelf.record.holder == ""
        assert not only.is_active

    play(scene)


def test_polling_once_does_not_begin_while_another_process_polls() -> None:
    async def scene() -> None:
        async with company("a") as (a,):
            with pytest.raises(
                LeaseHeldError, match=r"^a holds the lease kraken-custody-exporter: "
            ):
                await once(process("once", a.api, a.shelf))
            assert now() < DURATION
            assert a.is_active

    play(scene)


def test_polling_once_follows_a_holder_that_is_gone() -> None:
    async def scene() -> None:
        async with company("a") as (a,):
            await a.kill()
            assert await once(process("once", a.api, a.shelf)) == 3
            is_orderly(a.api)

    play(scene)


@pytest.mark.parametrize("is_away", [False, True], ids=["taken", "not renewed"])
def test_polling_once_ends_when_the_lease_is_lost_meanwhile(*, is_away: bool) -> None:
    async def scene() -> None:
        shelf = Shelf()
        shelf.record = Record("", 0, 0, int(DURATION), 0.0)
        only = process("once", Api(), shelf)

        async def lose() -> None:
            await until(lambda: bool(only.api.sent), BOUND)
            only.cut_from_api_until = math.inf
            shelf.is_away = is_away
            if not is_away:
                assert shelf.put(Found(shelf.record, shelf.version), Record("b", 9, 0, 30, 0.0))

        losing = asyncio.create_task(lose())
        with pytest.raises(LeaseHeldError, match=r"^the lease kraken-custody-exporter was lost "):
            async with asyncio.timeout(10 * DURATION):
                await once(only)
        await losing
        assert now() < 2 * DURATION

    play(scene)


def test_polling_once_says_when_the_lease_cannot_be_read() -> None:
    async def scene() -> None:
        shelf = Shelf()
        shelf.is_away = True
        with pytest.raises(LeaseHeldError, match="cannot be read: the engine is away"):
            await once(process("once", Api(), shelf))
        assert now() == pytest.approx(DURATION, abs=3.0)

    play(scene)


# Defects.


def test_a_defect_is_logged_and_the_lease_is_waited_for_again() -> None:
    async def scene() -> None:
        async with company("a", "b") as (a, b):
            a.shelf.defects = 2
            await asyncio.sleep(20.0)
            assert (a.is_active, b.is_active) == (True, False)

    with capture_logs() as logs:
        run(scene())
    assert len(events([dict(it) for it in logs], "lease_crashed")) == 2


def test_a_loop_that_is_stuck_is_trouble() -> None:
    async def scene() -> None:
        async with company("a") as (a,):
            keeper = a.exporter._coordinator._keeper
            assert keeper
            assert a.exporter._coordinator.trouble() is None
            keeper._turned_at = now() - 2 * DURATION - 31.0
            trouble = a.exporter._coordinator.trouble()
            assert trouble == "the loop that keeps the lease has been stuck for 91 s"

    play(scene)
