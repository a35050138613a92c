"""The parts that take the loop's decisions, which it shares with its requests and with whoever shows its status."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from exporter.clocks import ClockWatch, Moment
from exporter.polling.budget import Budget, Usage
from exporter.polling.credential import Credential
from exporter.polling.pause import Pause
from exporter.polling.results import Results
from exporter.polling.schedule import Schedule
from exporter.resources.resource import Ask, Exposable


@dataclass(frozen=True, slots=True)
class Parts:
    """What a poller is made of.

    may_send: whether a request may go now, as far as other processes go. nonce_refused: told that the API has seen a
    larger nonce.
    credentials: by name. asking: by the kind of target. pause_of_all: of every credential at once. waited: told the
    seconds in which a request waited for the budget alone. heard: told each answer once it is published, as it may say
    what else there is to poll.
    monotonic: the event loop's own clock, in seconds. moment: all clocks; clocks: what they tell together. chance: a
    number from 0 up to 1, anew at each call.
    """

    may_send: Callable[[], bool]
    nonce_refused: Callable[[], None]
    schedule: Schedule
    credentials: Mapping[str, Credential]
    asking: Mapping[str, Ask]
    budget: Budget
    pause_of_all: Pause
    usage: Usage
    results: Results
    heard: Callable[[Exposable], Awaitable[None]]
    waited: Callable[[float], None]
    monotonic: Callable[[], float]
    moment: Callable[[], Moment]
    clocks: ClockWatch
    chance: Callable[[], float]
