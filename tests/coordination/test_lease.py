"""Who polls: tables of what each process finds, and when."""

import math

import pytest

from exporter.coordination.engine import Found, Record
from exporter.coordination.lease import (
    BETWEEN_GIVING_UP_SECONDS,
    DRIFT,
    GIVEN_UP,
    SILENT_DURATIONS,
    Lease,
    Terms,
)
from tests.coordination.shelf import DURATION, NOON, TERMS, TIMEOUT, Process, Shelf, holder

END = DURATION * (1 - DRIFT)


def test_a_process_that_has_not_looked_holds_nothing() -> None:
    lease = Lease("a", TERMS)
    assert not lease.holds(0.0)
    assert not lease.may_send(0.0)


def test_a_process_that_finds_no_record_waits_a_whole_duration_before_writing_one() -> None:
    shelf = Shelf()
    a = Process(shelf, "a")
    a.turns(100.0, 100.0 + DURATION - 1)
    assert shelf.written == []
    assert a.turn(100.0 + DURATION) == Record(
        holder="a",
        renewals=1,
        ceiling=int((NOON + 130.0) * 1e9) + TERMS.nonces,
        duration=30,
        acquired=NOON + 130.0,
    )
    assert a.lease.may_send(130.0)


def test_of_two_processes_that_find_no_record_at_the_same_moment_one_writes_it() -> None:
    shelf = Shelf()
    a, b = Process(shelf, "a"), Process(shelf, "b")
    for process in (a, b):
        process.turn(0.0)
    found = shelf.found()
    records = [it.lease.decide(found, DURATION, NOON, 0) for it in (a, b)]
    assert all(records)
    assert [shelf.put(found, record) for record in records if record] == [True, False]


def test_a_lease_that_was_given_up_is_taken_at_once() -> None:
    shelf = Shelf()
    shelf.record = Record("", 7, 5, 30, 0.0)
    record = Process(shelf, "b").turn(0.0)
    assert record
    assert (record.holder, record.renewals) == ("b", 8)


def test_a_holder_renews_every_fifth_of_the_duration() -> None:
    shelf = Shelf()
    a = holder(shelf)
    a.keep(6.0, 60.0)
    assert [record.renewals for record in shelf.written] == list(range(1, 12))


def test_a_standby_and_a_holder_that_could_not_renew_look_again_after_a_second() -> None:
    shelf = Shelf()
    a, b = holder(shelf), Process(shelf, "b")
    b.turn(0.0)
    assert b.lease.next_turn(0.5) == 1.5
    assert a.lease.next_turn(0.0) == DURATION / 5
    assert a.lease.next_turn(DURATION / 5 + 2) == DURATION / 5 + 3


def test_a_holder_wakes_when_its_lease_ends() -> None:
    assert holder(Shelf()).lease.next_turn(END - 0.5) == END


@pytest.mark.parametrize(
    ("now", "may_send", "holds"),
    [
        (0.0, True, True),
        (END - TIMEOUT - 0.001, True, True),
        # From here on its last request could still be in flight when a successor begins.
        (END - TIMEOUT, False, True),
        (END - 0.001, False, True),
        (END, False, False),
        (math.inf, False, False),
    ],
)
def test_a_holder_that_does_not_renew_stops_sending_before_its_lease_ends(
    now: float,
    may_send: bool,  # noqa: FBT001 - a column of the table
    holds: bool,  # noqa: FBT001 - likewise
) -> None:
    lease = holder(Shelf()).lease
    assert (lease.may_send(now), lease.holds(now)) == (may_send, holds)


def test_a_renewal_counts_from_before_it_was_sent() -> None:
    shelf = Shelf()
    a = holder(shelf)
    found = shelf.found()
    record = a.lease.decide(found, 6.0, NOON, 0)
    assert record
    a.lease.wrote(Found(record), 11.0, 7.0)
    assert a.lease.holds(7.0 + END - 0.001)
    assert not a.lease.holds(7.0 + END)


def test_a_standby_takes_over_what_has_not_changed_for_a_duration() -> None:
    shelf = Shelf()
    holder(shelf)
    b = Process(shelf, "b")
    b.turns(0.4, 29.4)
    assert not b.lease.holds(29.4)
    b.turn(30.4)
    assert b.lease.may_send(30.4)
    assert [record.holder for record in shelf.written] == ["a", "a", "b"]


def test_a_standby_counts_from_the_last_renewal_that_it_has_seen() -> None:
    shelf = Shelf()
    a, b = holder(shelf), Process(shelf, "b")
    b.turns(0.5, 5.5)
    a.turn(6.0)
    b.turns(6.5, 35.5)
    assert not b.lease.holds(35.5)
    b.turn(36.5)
    assert b.lease.holds(36.5)


def test_the_holders_duration_counts_even_if_another_is_configured() -> None:
    shelf = Shelf()
    holder(shelf)
    b = Process(shelf, "b", terms=Terms(20.0, 10.0))
    b.turns(0.5, 29.5)
    assert not b.lease.holds(29.5)


def test_a_holder_whose_record_is_gone_writes_it_again_ceiling_included() -> None:
    shelf = Shelf()
    a = holder(shelf, ahead=3600.0)
    before = shelf.record
    assert before
    shelf.lose()
    a.ahead = 0.0
    after = a.turn(6.0)
    assert after
    assert (after.holder, after.acquired) == ("a", before.acquired)
    assert after.ceiling >= before.ceiling
    assert a.lease.may_send(6.0)


def test_a_holder_whose_lease_has_ended_does_not_write_a_record_that_is_gone() -> None:
    shelf = Shelf()
    a = holder(shelf)
    shelf.lose()
    assert a.turn(DURATION) is None


def test_a_holder_that_was_cut_off_takes_up_its_own_record_at_once() -> None:
    shelf = Shelf()
    a = holder(shelf)
    assert not a.lease.holds(60.0)
    a.turn(60.0)
    assert a.lease.may_send(60.0)
    # Although no other process had it, code that depends on its previous state must know.
    assert a.lease.acquisitions == 2


def test_an_older_record_that_an_engine_brings_back_is_unheld_until_a_duration_has_passed() -> None:
    shelf = Shelf()
    a = holder(shelf)
    old = shelf.record
    b = Process(shelf, "b")
    b.turns(0.5, 31.5)
    assert b.lease.holds(31.5)
    shelf.restore(old)
    # It does not know what followed its record, and must not believe it.
    a.turns(32.0, 32.0 + DURATION - 1)
    assert not a.lease.holds(32.0 + DURATION - 1)
    a.turn(32.0 + DURATION)
    assert a.lease.holds(32.0 + DURATION)


def test_a_lease_that_an_engine_brings_back_as_given_up_is_not_taken_at_once() -> None:
    shelf = Shelf()
    a = holder(shelf)
    c = Process(shelf, "c")
    c.turn(1.0)
    shelf.restore(Record("", 0, 0, 30, 0.0))
    assert c.turn(2.0) is None
    assert not c.lease.holds(2.0)
    assert a.lease.holds(2.0)


def test_a_holder_that_finds_another_in_its_place_holds_nothing_any_more() -> None:
    shelf = Shelf()
    a = holder(shelf)
    shelf.record = Record("b", 9, 0, 30, 0.0, "c")
    a.turn(1.0)
    assert not a.lease.holds(1.0)
    assert a.lease.loss == "taken by b"


def test_a_standby_marks_the_record_once_and_a_renewal_takes_the_mark_off() -> None:
    shelf = Shelf()
    a, b, c = holder(shelf), Process(shelf, "b"), Process(shelf, "c")
    marked = b.turn(1.0)
    assert marked
    assert marked.standby == "b"
    assert c.turn(1.0) is None
    renewed = a.turn(6.0)
    assert renewed
    assert renewed.standby == ""


def test_the_name_of_a_standby_is_not_a_sign_of_life() -> None:
    shelf = Shelf()
    holder(shelf)
    b, c = Process(shelf, "b"), Process(shelf, "c")
    b.turn(0.5)
    c.turns(15.0, 16.0)
    b.turn(30.5)
    assert b.lease.holds(30.5)


# Nonces.


def test_no_nonce_may_be_above_the_ceiling_and_renewals_move_it_up() -> None:
    shelf = Shelf()
    a = holder(shelf)
    assert a.lease.up_to == int(NOON * 1e9) + TERMS.nonces
    a.turn(6.0)
    assert a.lease.up_to == int((NOON + 6.0) * 1e9) + TERMS.nonces


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_successor_begins_above_the_ceiling_however_far_its_clock_is_off(ahead: float) -> None:
    shelf = Shelf()
    a = holder(shelf, ahead=ahead)
    b = Process(shelf, "b")
    b.turns(0.5, 30.5)
    assert b.lease.above == a.lease.up_to
    assert b.lease.up_to >= a.lease.up_to + TERMS.nonces


def test_the_ceiling_follows_the_nonces_that_are_used_where_the_clock_is_behind_them() -> None:
    shelf = Shelf()
    a = holder(shelf)
    a.nonce = int((NOON + 7200.0) * 1e9)
    a.turn(6.0)
    assert a.lease.up_to == a.nonce + TERMS.nonces


def test_the_ceiling_does_not_run_away_from_the_clock() -> None:
    shelf = Shelf()
    a = holder(shelf)
    a.keep(6.0, 6000.0)
    assert a.lease.up_to == int((NOON + 6000.0) * 1e9) + TERMS.nonces


def test_a_standby_writes_the_highest_ceiling_it_has_seen_into_an_older_record() -> None:
    shelf = Shelf()
    a = holder(shelf)
    old = shelf.record
    b = Process(shelf, "b", ahead=3600.0)
    b.turns(0.5, 31.5)
    high = b.lease.up_to
    shelf.restore(old)
    b.turn(32.0)
    a.turns(32.5, 32.5 + DURATION)
    assert a.lease.above >= high


def test_after_a_refused_nonce_nothing_is_sent_until_the_record_was_read_again() -> None:
    shelf = Shelf()
    a = holder(shelf)
    a.lease.require_read(1.0)
    assert not a.lease.may_send(1.0)
    assert a.lease.holds(1.0)
    a.turn(1.5)
    assert a.lease.may_send(1.5)


def test_a_renewal_in_flight_when_a_nonce_was_refused_says_nothing() -> None:
    shelf = Shelf()
    a = holder(shelf)
    record = a.lease.decide(shelf.found(), 6.0, NOON, 0)
    assert record
    a.lease.require_read(7.0)
    a.lease.wrote(Found(record), 8.0, 6.0)
    assert not a.lease.may_send(8.0)
    assert a.lease.next_turn(8.0) == 9.0


# An API that does not answer.


def cut_off(shelf: Shelf, since: float, until: float) -> Process:
    """Return a holder that has had no answer from the API since then, and has renewed its lease meanwhile."""
    a = holder(shelf)
    a.lease.unanswered(since)
    a.keep(6.0, until)
    return a


def waiting(shelf: Shelf) -> None:
    """Let a standby mark the record, as each does within a second of a renewal."""
    assert shelf.record
    if not shelf.record.standby:
        Process(shelf, "b").turn(0.0)


def test_without_a_standby_a_holder_keeps_the_lease_however_long_the_api_is_silent() -> None:
    shelf = Shelf()
    a = cut_off(shelf, 1.0, 3600.0)
    assert a.lease.may_send(3600.0)


def test_a_silent_api_makes_a_holder_give_up_the_lease_to_a_standby_once_its_last_request_ended() -> (
    None
):
    shelf = Shelf()
    a = cut_off(shelf, 1.0, 85.0)
    waiting(shelf)
    a.turn(1.0 + SILENT_DURATIONS * DURATION)
    assert not a.lease.may_send(91.0)
    assert a.lease.holds(91.0)
    assert a.lease.next_turn(96.9) <= 101.0
    a.turn(91.0 + TIMEOUT)
    assert shelf.record
    assert shelf.record.holder == ""
    assert not a.lease.holds(101.0)
    assert a.lease.loss != GIVEN_UP


def test_an_answer_that_comes_in_time_keeps_the_lease() -> None:
    shelf = Shelf()
    a = cut_off(shelf, 1.0, 85.0)
    waiting(shelf)
    a.turn(91.0)
    a.lease.answered()
    a.turn(101.0)
    assert a.lease.may_send(101.0)


def test_a_holder_that_gave_up_leaves_others_a_duration_before_it_takes_the_lease_again() -> None:
    shelf = Shelf()
    a = cut_off(shelf, 1.0, 85.0)
    waiting(shelf)
    a.turn(91.0)
    a.turn(101.0)
    assert a.turn(102.0) is None
    a.turn(101.0 + DURATION)
    assert a.lease.holds(101.0 + DURATION)


def test_a_holder_gives_up_at_most_once_in_ten_minutes() -> None:
    shelf = Shelf()
    a = cut_off(shelf, 1.0, 85.0)
    waiting(shelf)
    a.turn(91.0)
    a.turn(101.0)
    a.turn(131.0)
    a.lease.unanswered(132.0)
    now, given_up = 132.0, math.inf
    while now < 1000.0:
        waiting(shelf)
        a.turn(now)
        if not a.lease.holds(now):
            given_up = now
            break
        now += 5.0
    assert 101.0 + BETWEEN_GIVING_UP_SECONDS + TIMEOUT <= given_up < 101.0 + 700.0


# Releasing the lease.


def test_a_clean_stop_releases_the_record_of_this_process() -> None:
    shelf = Shelf()
    a = holder(shelf)
    record = a.lease.release(shelf.found())
    assert record
    assert (record.holder, record.renewals, record.ceiling) == ("", 2, a.lease.up_to)


def test_a_clean_stop_leaves_the_record_of_another_holder() -> None:
    shelf = Shelf()
    holder(shelf)
    assert Lease("b", TERMS).release(shelf.found()) is None
    assert Lease("b", TERMS).release(Found(None)) is None


# A process that looks only once.


def test_another_holder_is_known_to_live_once_its_record_has_changed() -> None:
    shelf = Shelf()
    a, b = holder(shelf), Process(shelf, "b")
    b.turns(0.5, 5.5)
    assert b.lease.rival is None
    a.turn(6.0)
    b.turn(6.5)
    assert b.lease.rival
    assert b.lease.rival.holder == "a"


def test_the_limits_are_those_that_are_documented() -> None:
    assert (SILENT_DURATIONS, BETWEEN_GIVING_UP_SECONDS) == (3, 600.0)
    # A ceiling is far enough ahead that it does not delay a holder whose clock is a little fast.
    assert TERMS.nonces == 60_000_000_000


def test_a_holder_whose_engine_restarts_with_its_data_goes_on() -> None:
    shelf = Shelf()
    a = holder(shelf)
    shelf.restore(shelf.record)
    renewed = a.turn(6.0)
    assert renewed
    assert renewed.renewals == 2
    assert (a.lease.may_send(6.0), a.lease.acquisitions) == (True, 1)


def test_a_holder_knows_who_waits() -> None:
    shelf = Shelf()
    a = holder(shelf)
    assert a.lease.standby == ""
    Process(shelf, "b").turn(1.0)
    a.turn(6.0)
    assert a.lease.standby == "b"
    a.turn(12.0)
    assert a.lease.standby == ""


def test_a_short_silence_of_the_api_does_not_release_the_lease() -> None:
    shelf = Shelf()
    a = cut_off(shelf, 1.0, 85.0)
    waiting(shelf)
    a.turn(0.9 + SILENT_DURATIONS * DURATION)
    assert a.lease.may_send(0.9 + SILENT_DURATIONS * DURATION)


def test_a_lost_lease_has_its_reason() -> None:
    shelf = Shelf()
    a = holder(shelf)
    shelf.record = Record("", 9, 0, 30, 0.0)
    # Taken again at once, because no other process has it.
    a.turn(1.0)
    assert (a.lease.loss, a.lease.holds(1.0)) == ("the record was emptied", True)
    found = shelf.found()
    given_up = a.lease.release(found)
    assert given_up
    a.lease.wrote(Found(given_up), 2.0, 2.0)
    assert (a.lease.loss, a.lease.holds(2.0)) == (GIVEN_UP, False)


def test_a_holder_that_gave_up_because_of_the_api_says_so() -> None:
    shelf = Shelf()
    a = cut_off(shelf, 1.0, 85.0)
    waiting(shelf)
    a.turn(91.0)
    a.turn(101.0)
    assert a.lease.loss == "given up: the API does not answer here, and a standby waits"
