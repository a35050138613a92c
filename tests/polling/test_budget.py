"""The budget, against a server that counts requests whenever they arrive."""

import heapq
import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.custody.errors import Delivery
from exporter.polling.budget import UNANSWERED_GRACE_SECONDS, Budget

WINDOW = 30.0


def fresh(requests: int = 100, *, in_flight: int = 0) -> Budget:
    """Return an unused budget, at time 0."""
    return Budget(requests, WINDOW, in_flight=in_flight, now=0.0)


def send_at(budget: Budget, now: float) -> float:
    """Send as soon as the budget allows, at `now` or later, and return when that was."""
    moment = max(now, budget.ready_at(now))
    budget.take(moment)
    return moment


def test_sends_are_paced_evenly_so_that_the_last_of_n_leaves_when_the_window_ends() -> None:
    budget = fresh(4)
    first, *others = [send_at(budget, 0.0) for _ in range(4)]
    assert [moment - first for moment in others] == pytest.approx([10.0, 20.0, 30.0])


@pytest.mark.parametrize(
    ("requests", "gap"), [(1, 30.0), (2, 30.0), (3, 15.0), (4, 10.0), (31, 1.0)]
)
def test_the_gap_spreads_n_requests_over_one_window(requests: int, gap: float) -> None:
    assert fresh(requests).gap == gap


def test_each_request_in_flight_holds_its_own_slot() -> None:
    budget = fresh(3)
    for _ in range(3):
        send_at(budget, 100.0)
    assert budget.used(1000.0) == 3


def test_a_request_without_an_answer_may_arrive_ten_seconds_later() -> None:
    assert UNANSWERED_GRACE_SECONDS == 10.0


def test_a_slot_is_held_until_one_window_after_the_answer() -> None:
    budget = fresh(2)
    send_at(budget, 30.0)
    budget.give_back(Delivery.ANSWERED, 31.0)
    assert budget.used(31.0 + WINDOW - 0.001) == 1
    assert budget.used(31.0 + WINDOW) == 0


def test_a_slot_without_an_answer_is_held_for_a_grace_period_more() -> None:
    budget = fresh(2)
    send_at(budget, 30.0)
    budget.give_back(Delivery.UNANSWERED, 31.0)
    free_at = 31.0 + WINDOW + UNANSWERED_GRACE_SECONDS
    assert budget.used(free_at - 0.001) == 1
    assert budget.used(free_at) == 0


def test_a_slot_is_free_at_once_where_nothing_was_sent() -> None:
    budget = fresh(2)
    send_at(budget, 30.0)
    budget.give_back(Delivery.NEVER_SENT, 31.0)
    assert budget.used(31.0) == 0


def test_a_slot_is_held_for_as_long_as_its_request_is_in_flight() -> None:
    budget = fresh(1)
    send_at(budget, 60.0)
    assert budget.used(10_000.0) == 1
    assert budget.ready_at(10_000.0) == math.inf


def test_the_next_request_waits_for_the_slot_that_is_free_first() -> None:
    budget = fresh(3)
    for moment, ended, delivery in (
        (30.0, 55.0, Delivery.ANSWERED),
        (45.0, 50.0, Delivery.UNANSWERED),
        (60.0, 61.0, Delivery.ANSWERED),
    ):
        send_at(budget, moment)
        budget.give_back(delivery, ended)
    # 55 + 30 comes before 50 + 30 + 10 and 61 + 30.
    assert budget.ready_at(62.0) == 85.0


def test_a_send_that_was_late_by_less_than_a_gap_does_not_delay_those_after_it() -> None:
    budget = fresh(31)
    assert send_at(budget, 1.9) == 1.9
    assert budget.ready_at(1.9) == pytest.approx(2.0)


def test_a_silence_earns_no_burst_beyond_a_single_gap() -> None:
    budget = fresh(31)
    moments = [send_at(budget, 1000.0) for _ in range(4)]
    assert moments == pytest.approx([1000.0, 1000.0, 1001.0, 1002.0])


def test_asking_when_the_next_may_go_costs_nothing() -> None:
    budget = fresh()
    assert {budget.ready_at(5.0) for _ in range(1000)} == {budget.ready_at(5.0)}
    assert budget.used(5.0) == 0


@pytest.mark.parametrize("in_flight", [1, 4])
def test_after_a_start_the_requests_of_a_predecessor_count_until_none_can_arrive(
    in_flight: int,
) -> None:
    budget = fresh(100, in_flight=in_flight)
    assert budget.ready_at(0.0) == pytest.approx((in_flight + 1) * WINDOW / 99)
    assert budget.used(WINDOW + UNANSWERED_GRACE_SECONDS - 0.001) == in_flight
    assert budget.used(WINDOW + UNANSWERED_GRACE_SECONDS) == 0


def test_a_budget_of_one_request_sends_one_in_each_window_after_the_answer() -> None:
    budget = fresh(1)
    first = send_at(budget, 0.0)
    budget.give_back(Delivery.ANSWERED, first + 2)
    assert send_at(budget, first + 2) == first + 2 + WINDOW


@dataclass(frozen=True)
class Fate:
    """The fate of a request. arrives, ends: seconds after it was sent; delivery: what the exporter knows."""

    arrives: float
    ends: float
    delivery: Delivery


@st.composite
def fates(draw: st.DrawFn) -> Fate:
    delivery = draw(st.sampled_from(Delivery))
    # Mostly quick, sometimes as slow as possible.
    ends = draw(st.one_of(st.floats(0, 0.3), st.floats(0, 10)))
    if delivery is Delivery.UNANSWERED:
        return Fate(draw(st.floats(0, ends + UNANSWERED_GRACE_SECONDS)), ends, delivery)
    return Fate(draw(st.floats(0, ends)), ends, delivery)


class Network:
    """Sends as fast as the budget allows, with at most `in_flight` requests under way, and records arrivals."""

    def __init__(self, requests: int, in_flight: int) -> None:
        self._limits = requests, in_flight
        self.now = 0.0
        self.arrivals: list[float] = []
        self._under_way: list[tuple[float, int, Delivery]] = []
        self._sent = 0
        self._budget = Budget(requests, WINDOW, in_flight=in_flight, now=self.now)

    def send(self, fate: Fate) -> None:
        self._wait_for_a_place()
        while (ready_at := self._budget.ready_at(self.now)) > self.now:
            self._wait_until(ready_at)
        self._budget.take(self.now)
        if fate.delivery is not Delivery.NEVER_SENT:
            self.arrivals.append(self.now + fate.arrives)
        self._sent += 1
        heapq.heappush(self._under_way, (self.now + fate.ends, self._sent, fate.delivery))

    def restart(self) -> None:
        """End the process: requests in flight arrive within the grace period, or already have."""
        latest = self.now + UNANSWERED_GRACE_SECONDS
        self.arrivals = [min(arrival, latest) for arrival in self.arrivals]
        self._under_way.clear()
        requests, in_flight = self._limits
        self._budget = Budget(requests, WINDOW, in_flight=in_flight, now=self.now)

    def largest_window(self) -> int:
        arrivals = sorted(self.arrivals)
        # A moment less, because of rounding in sums of floats.
        ends = (start + WINDOW - 1e-6 for start in arrivals)
        return max(
            (
                sum(start <= arrival < end for arrival in arrivals)
                for start, end in zip(arrivals, ends, strict=True)
            ),
            default=0,
        )

    def _wait_for_a_place(self) -> None:
        while len(self._under_way) >= self._limits[1]:
            self._wait_until(math.inf)

    def _wait_until(self, moment: float) -> None:
        """Let time pass until `moment` or the next end of a request."""
        if self._under_way and self._under_way[0][0] <= moment:
            ended, _, delivery = heapq.heappop(self._under_way)
            self.now = max(self.now, ended)
            self._budget.give_back(delivery, self.now)
        else:
            self.now = moment


@given(
    requests=st.integers(1, 12),
    in_flight=st.integers(1, 4),
    course=st.lists(st.tuples(fates(), st.booleans()), max_size=120),
)
def test_no_window_at_the_server_holds_more_than_n_whatever_the_network_does(
    requests: int, in_flight: int, course: list[tuple[Fate, bool]]
) -> None:
    """Also across restarts, which a run of random booleans makes far more often than any crash loop."""
    network = Network(requests, in_flight)
    for number, (fate, restarts) in enumerate(course):
        network.send(fate)
        if restarts and number % 5 == 0:
            network.restart()
    assert network.largest_window() <= requests


def test_a_restart_in_the_middle_of_full_use_stays_within_the_budget() -> None:
    network = Network(100, 1)
    for number in range(600):
        network.send(Fate(0.05, 0.1, Delivery.ANSWERED))
        if number in (150, 151, 300):
            network.restart()
    assert network.largest_window() <= 100


def test_quick_answers_leave_no_more_of_the_budget_unused_than_pacing_costs() -> None:
    network = Network(100, 1)
    for _ in range(1000):
        network.send(Fate(0.05, 0.1, Delivery.ANSWERED))
    sends = sorted(network.arrivals)
    assert len(sends) / (sends[-1] - sends[0]) >= 0.98 * 100 / WINDOW
    assert min(later - earlier for earlier, later in pairwise(sends)) > 0.2


def test_a_new_limit_counts_what_was_sent_under_the_old_one() -> None:
    budget = fresh(100)
    for _ in range(50):
        moment = send_at(budget, 60.0)
        budget.give_back(Delivery.ANSWERED, moment)
    budget.change(50, WINDOW, moment)
    assert budget.used(moment) == 50
    assert budget.gap == WINDOW / 49
    assert budget.ready_at(moment) == 60.0 + WINDOW


def test_a_longer_window_holds_for_what_was_sent_before() -> None:
    budget = fresh(2)
    send_at(budget, 60.0)
    budget.give_back(Delivery.ANSWERED, 61.0)
    budget.change(2, 2 * WINDOW, 61.0)
    assert budget.used(61.0 + 2 * WINDOW - 0.001) == 1
    assert budget.used(61.0 + 2 * WINDOW) == 0


def test_a_shorter_window_frees_what_it_does_not_reach_back_to() -> None:
    budget = fresh(2)
    send_at(budget, 60.0)
    budget.give_back(Delivery.ANSWERED, 61.0)
    budget.change(2, 1.0, 61.0)
    assert budget.used(61.999) == 1
    assert budget.used(62.0) == 0


def test_a_limit_that_was_far_too_small_delays_nothing_once_it_is_corrected() -> None:
    budget = Budget(1, 3600.0, in_flight=1, now=0.0)
    budget.change(200, WINDOW, 60.0)
    assert budget.ready_at(60.0) == pytest.approx(60.0 + WINDOW / 199)


def test_another_limit_right_after_the_start_leaves_places_empty_for_the_process_before() -> None:
    budget = Budget(100, WINDOW, in_flight=5, now=0.0)
    budget.change(100, WINDOW / 2, 0.0)
    assert budget.ready_at(0.0) == pytest.approx(6 * budget.gap)


def test_the_successor_of_another_process_begins_as_after_a_restart() -> None:
    budget = fresh(10)
    for _ in range(3):
        moment = send_at(budget, 60.0)
        budget.give_back(Delivery.ANSWERED, moment)
    budget.follow(2, moment)
    restarted = Budget(10, WINDOW, in_flight=2, now=moment)
    assert budget.ready_at(moment) == restarted.ready_at(moment)
    # This process's own requests count as before.
    assert budget.used(moment) == restarted.used(moment) + 3
