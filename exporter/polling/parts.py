"""The parts that take the poller's decisions, shared by its loop, its requests and the status pages."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from exporter.clocks import ClockWatch, Moment
from exporter.polling.budget import Budget, Usage
from exporter.polling.credential import Credential
from exporter.polling.pause import Pause
from exporter.polling.results import Results
from exporter.polling.schedule import Schedule
from exporter.resources.resource import Exposable, MakeRequest


class Parts(Struct, frozen=True):
    """The parts of a poller.

    may_send: returns whether this process, rather than another, may send requests now.
    caught_up: called before each round; returns once what is polled fits whether this process may send.
    nonce_refused: called when the API has seen a larger nonce.
    credentials: by name.
    requesters: by the kind of target.
    pause_of_all: the pause of every credential at once.
    waited: called with the seconds that a request waited for the budget alone.
    on_answer: called with each answer once it is published, as it may list further targets, and with a function that
        returns whether its target is still polled from the same origin (`Credential.origin`); returns whether it was.
    monotonic: the event loop's clock, in seconds.
    moment: reads all clocks.
    clocks: detects jumps between them.
    chance: returns a new random number in [0, 1) at each call.
    """

    may_send: Callable[[], bool]
    caught_up: Callable[[], Awaitable[None]]
    nonce_refused: Callable[[], None]
    schedule: Schedule
    credentials: Mapping[str, Credential]
    requesters: Mapping[str, MakeRequest]
    budget: Budget
    pause_of_all: Pause
    usage: Usage
    results: Results
    on_answer: Callable[[Exposable, Callable[[], bool]], Awaitable[bool]]
    waited: Callable[[float], None]
    monotonic: Callable[[], float]
    moment: Callable[[], Moment]
    clocks: ClockWatch
    chance: Callable[[], float]
