"""The loop that joins schedule, budget, pauses and clients: sends each request when it may go, and handles the outcome.

Those parts take every decision; the loop asks them, and reports to them what happened.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Container, Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from exporter.clocks import BELIEVED_AFTER_TIMEOUTS, ClockWatch, Moment
from exporter.config import ALL_CREDENTIALS
from exporter.custody.errors import (
    BLOCKED_TYPE,
    INTERNAL_TYPE,
    CustodyError,
    Delivery,
    Reaction,
)
from exporter.logs import get_logger
from exporter.polling.budget import Budget, Usage
from exporter.polling.credential import Credential
from exporter.polling.on_demand import OnDemand, poll_on_demand
from exporter.polling.pause import Cause, Pause
from exporter.polling.results import Results
from exporter.polling.retry import Poll, asked_for, refusals_after
from exporter.polling.schedule import Entry, Schedule, Turn
from exporter.resources.resource import Ask, Exposable
from exporter.resources.target import Key, Target, listed, organizations_of
from exporter.turns import in_turns

log = get_logger()

HEARTBEAT_SECONDS: Final = 1.0
"""The loop comes round at least this often, so that its silence can be told from its patience."""
STUCK_AFTER_SECONDS: Final = 30.0
RESTART_SECONDS: Final = 1.0
SHOWN_AFTER_SECONDS: Final = 5.0
"""How long after its deadline a failed try shows, and a target that waits for its turn while nothing is answered."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a poller is made of.

    credentials: by name. asking: by the kind of target. pause_of_all: of every credential at once. waited: told the
    seconds in which a request waited for the budget alone.
    monotonic: the event loop's own clock, in seconds. moment: all clocks; clocks: what they tell together. chance: a
    number from 0 up to 1, anew at each call.
    """

    schedule: Schedule
    credentials: Mapping[str, Credential]
    asking: Mapping[str, Ask]
    budget: Budget
    pause_of_all: Pause
    usage: Usage
    results: Results
    waited: Callable[[float], None]
    monotonic: Callable[[], float]
    moment: Callable[[], Moment]
    clocks: ClockWatch
    chance: Callable[[], float]


class Poller:
    """Polls all targets for as long as it runs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._deadlines: dict[asyncio.Task[None], float] = {}
        # Targets whose balances may be another's, and until when they are shown nevertheless.
        self._doubtful: dict[Entry, float] = {}
        self._changed = asyncio.Event()
        self._waiting_since: float | None = None
        self._heartbeat: float | None = None
        self._looked_at = -math.inf
        # The target whose request a gateway refused, where that is the last that is known of the way to the API.
        self._last_blocked: Target | None = None
        self._once = False

    async def run(self) -> None:
        """Poll until cancelled. Whatever goes wrong in here is logged, and polling goes on."""
        try:
            while True:
                try:
                    await self._step()
                except Exception:
                    log.exception("poller_crashed")
                    await asyncio.sleep(RESTART_SECONDS)
        finally:
            await self._let_go()

    async def run_once(self, progress: Callable[[int], object]) -> None:
        """Poll every target once, telling `progress` how many are done; give up where the API says to pause."""
        self._once = True
        try:
            while self._deadlines or not self._is_done():
                await self._step()
                progress(sum(entry.is_polled for entry in self._parts.schedule.entries))
            self.bring_up_to_date()
        finally:
            await self._let_go()

    def trouble(self) -> str | None:
        """Return why the poller makes no progress; None while it does, whatever the API answers."""
        now = self._parts.monotonic()
        if self._heartbeat is None:
            return "polling has not begun"
        if (silence := now - self._heartbeat) > STUCK_AFTER_SECONDS:
            return f"the polling loop has been stuck for {silence:.0f} s"
        overdue = now - min(self._deadlines.values(), default=now)
        if overdue > STUCK_AFTER_SECONDS:
            return f"a request is still in progress {overdue:.0f} s after its deadline"
        pauses = (
            self._parts.pause_of_all,
            *(credential.pause for credential in self._parts.credentials.values()),
        )
        if not self._deadlines and any(pause.ends_at() == math.inf for pause in pauses):
            return "a pause waits for a request that is never sent"
        return None

    def poll_now(self, keys: Container[Key]) -> OnDemand:
        """Poll the targets with these keys as soon as may be; return which are, and which are not and why."""
        parts = self._parts
        entries = [entry for entry in parts.schedule.entries if entry.target.key in keys]
        asked = poll_on_demand(entries, parts.credentials, parts.pause_of_all, parts.moment())
        if asked.polled:
            log.info("poll_requested", targets=len(asked.polled))
        self.reconsider()
        return asked

    def reconsider(self) -> None:
        """Look again at what may go: the parts are not what they were."""
        self._changed.set()

    def doubt(self, key: Hashable) -> None:
        """Poll a target again at once, as its last answer may have been another's, and withdraw it if that fails."""
        now = self._parts.monotonic()
        for entry in self._parts.schedule.entries:
            if entry.target.key == key:
                entry.go_first(now)
                # What a failed poll left is of an answer from before.
                if not entry.is_failing:
                    self._doubtful[entry] = now + self._credential(entry).client.timeout
        self.reconsider()

    def _withdraw_doubtful(self, entry: Entry) -> None:
        if self._doubtful.pop(entry, None) is not None and not entry.is_dropped:
            self._parts.results.withdraw(entry.target)

    def bring_up_to_date(self) -> None:
        """Change what time alone changes: balances that are too old are withdrawn, and failures shown when it is time.

        For whoever shows the states to call first, as this loop may have died.
        """
        self._looked_at = now = self._parts.monotonic()
        self._look_at_clocks()
        for entry in [entry for entry, until in self._doubtful.items() if now >= until]:
            self._withdraw_doubtful(entry)
        self._parts.results.show_overdue_tries(now - self._patience())
        self._show_blocked(now)

    def _look_at_clocks(self) -> None:
        now, clocks = self._parts.moment(), self._parts.clocks
        timeout = max(credential.client.timeout for credential in self._parts.credentials.values())
        if jump := clocks.look(now, BELIEVED_AFTER_TIMEOUTS * timeout):
            if jump.slept:
                log.info("machine_slept", seconds=round(jump.slept, 1))
            if jump.stepped:
                log.warning("wall_clock_stepped", seconds=round(jump.stepped))
            if not self._once:
                self._parts.schedule.hurry(now.monotonic)
                self._changed.set()
        self._parts.results.withdraw_stale(now.boottime, clocks.believed_lead)

    def _patience(self) -> float:
        timeouts = (credential.client.timeout for credential in self._parts.credentials.values())
        return max(timeouts) + SHOWN_AFTER_SECONDS

    def _show_blocked(self, now: float) -> None:
        """Let targets that are due and cannot be polled fail with what keeps them from it."""
        paused, blocked = set(), {}
        for name, credential in self._parts.credentials.items():
            if cause := self._parts.pause_of_all.cause or credential.pause.cause:
                paused.add(name)
                blocked[name] = (cause, now)
            elif credential.silence.is_total and credential.silence.cause:
                # Who has its turn soon is not blocked: some targets that fail at once must not make all others fail.
                blocked[name] = (credential.silence.cause, now - self._patience())
        self._parts.results.paused(frozenset(paused))
        if not blocked:
            return
        for entry in self._parts.schedule.entries:
            cause, due_by = blocked.get(entry.target.credential, (None, -math.inf))
            if cause and entry.due <= due_by and not entry.is_sending:
                self._parts.results.blocked(entry.target, cause)

    @property
    def has_begun(self) -> bool:
        """Whether polling has begun."""
        return self._heartbeat is not None

    async def _step(self) -> None:
        """Send what may go now, then wait until something else may."""
        self._heartbeat = now = self._parts.monotonic()
        self._parts.usage.note(self._parts.budget.used(now), now)
        if now - self._looked_at >= HEARTBEAT_SECONDS:
            self.bring_up_to_date()
        self._changed.clear()
        patience = min(self._send_ready(now) - now, HEARTBEAT_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._changed.wait()

    def _send_ready(self, now: float) -> float:
        """Send every request that may go at `now`; return when to look again."""
        parts = self._parts
        while True:
            entry, look_again_at = parts.schedule.next(now, self._turns(now))
            if entry is None:
                self._waiting_since = None
                return look_again_at
            if (slot_at := parts.budget.ready_at(now)) > now:
                if self._waiting_since is None:
                    self._waiting_since = now
                return slot_at
            if self._waiting_since is not None:
                parts.waited(now - self._waiting_since)
                self._waiting_since = None
            self._send(entry, now)

    def _turns(self, now: float) -> dict[str, Turn]:
        pause_ends = self._parts.pause_of_all.ends_at()
        return {
            name: Turn(max(credential.ready_at(now), pause_ends), credential.slow_turn_at)
            for name, credential in self._parts.credentials.items()
        }

    def _credential(self, entry: Entry) -> Credential:
        return self._parts.credentials[entry.target.credential]

    def _is_done(self) -> bool:
        """Whether `run_once` can do no more: every target was polled, or is paused."""
        return all(
            (entry.is_polled and entry not in self._doubtful)
            or self._parts.pause_of_all.is_active
            or self._credential(entry).pause.is_active
            for entry in self._parts.schedule.entries
        )

    def _send(self, entry: Entry, now: float) -> None:
        credential = self._credential(entry)
        entry.begin(lambda: Poll(self._parts.chance), now)
        credential.in_flight += 1
        for pause in (self._parts.pause_of_all, credential.pause):
            pause.request_sent()
        budgets = (
            (self._parts.budget, credential.own_budget)
            if credential.own_budget
            else (self._parts.budget,)
        )
        for budget in budgets:
            budget.take(now)
        task = asyncio.create_task(self._request(entry, credential, budgets, now))
        self._deadlines[task] = now + credential.client.timeout

    async def _request(
        self, entry: Entry, credential: Credential, budgets: tuple[Budget, ...], sent_at: float
    ) -> None:
        """Make one request and handle its outcome; whatever happens, its slots and its place are given back."""
        # What is known of a request that ends in a way nobody foresaw.
        delivery = Delivery.UNANSWERED
        try:
            delivery = await self._ask(entry, credential, sent_at)
        except Exception as error:
            log.exception("request_crashed", target=entry.target.id)
            self._crashed(entry, credential, error, sent_at)
        finally:
            now = self._parts.monotonic()
            for budget in budgets:
                budget.give_back(delivery, now)
            credential.in_flight -= 1
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a coroutine that runs has a task
            self._deadlines.pop(task, None)
            self._changed.set()

    def _crashed(
        self, entry: Entry, credential: Credential, error: Exception, sent_at: float
    ) -> None:
        """Let a poll fail because of a defect of this exporter, also where the defect is in what shows failures."""
        words = f"a defect of this exporter ({type(error).__name__}): its log has the traceback"
        defect = CustodyError(INTERNAL_TYPE, message=words)
        for named_pause in self._pauses(credential):
            self._settle(*named_pause, sent_at, answered=False)
        try:
            self._parts.results.request_failed(entry.target, defect)
            self._failed(entry, defect, credential, sent_at)
        except Exception:
            log.exception("request_crashed", target=entry.target.id)
        if entry.is_sending:
            entry.finish(failed=True)
            self._retire(entry)

    async def _ask(self, entry: Entry, credential: Credential, sent_at: float) -> Delivery:
        parts = self._parts
        if credential.pause.is_active:
            await self._read_secrets_again(credential)
        doubt = self._doubtful.get(entry)
        generation, nonce_watch, silence = (
            credential.generation,
            credential.nonce_watch,
            credential.silence,
        )

        async def succeeded(answer: Exposable) -> None:
            nonce_watch.accepted()
            silence.answered()
            self._last_blocked = None
            for named_pause in self._pauses(credential):
                self._settle(*named_pause, sent_at, answered=True)
            await self._publish(entry, answer)

        try:
            ask = parts.asking[entry.target.kind]
            await credential.client.ask(ask(entry.target), succeeded)
            # A doubt that has come meanwhile may be about this very answer.
            if self._doubtful.get(entry) == doubt:
                self._doubtful.pop(entry, None)
        except CustodyError as error:
            self._withdraw_doubtful(entry)
            parts.results.request_failed(entry.target, error)
            if error.may_be_mended_by_secrets and credential.generation == generation:
                await self._read_secrets_again(credential)
            if error.delivery is Delivery.ANSWERED:
                silence.answered()
            else:
                silence.unanswered(_cause(error), sent_at, is_news=not entry.is_silent)
            self._pause_or_settle(entry, credential, error, sent_at, generation)
            credential.deprioritise_slow(entry, sent_at, parts.monotonic())
            credential.check_nonce_conflict(error, nonce_watch, parts.monotonic())
            if credential.generation == generation:
                self._failed(entry, error, credential, sent_at)
            else:
                # It was about secrets or an address that are not in use any more.
                entry.retry(parts.monotonic())
            return error.delivery
        entry.is_slow = entry.is_silent = False
        entry.finish()
        self._retire(entry)
        if entry in self._doubtful:
            entry.go_first(parts.monotonic())
        return Delivery.ANSWERED

    async def _read_secrets_again(self, credential: Credential) -> None:
        """Use what the secret files hold now; where that is new, what failed with the old ones is tried at once."""
        generation = credential.generation
        await credential.read_secrets_again()
        if credential.generation != generation:
            for entry in self._parts.schedule.entries:
                if self._credential(entry) is credential:
                    entry.keep(entry.target, self._parts.monotonic(), is_renewed=True)

    async def _publish(self, entry: Entry, answer: Exposable) -> None:
        """Publish `answer`, unless its target is gone. Raises CustodyError where there is no room for its series."""
        read_at, target = self._parts.moment().boottime, None
        # Others may come in between, a reload too, after which the target has another name.
        while not entry.is_dropped and target != entry.target:
            target = entry.target
            balances = await in_turns(self._parts.results.exposed(target, answer))
        if not entry.is_dropped:
            self._parts.results.poll_succeeded(
                entry.target,
                balances,
                read_at=read_at,
                refresh_interval=entry.refresh_interval,
            )

    def _retire(self, entry: Entry) -> None:
        """Keep `run_once` from polling a target again."""
        if self._once:
            entry.ready_at = math.inf

    def _failed(
        self, entry: Entry, error: CustodyError, credential: Credential, sent_at: float
    ) -> None:
        """Set the next try of the poll, or end it."""
        now = self._parts.monotonic()
        is_unanswered = error.delivery is not Delivery.ANSWERED
        seconds = entry.poll.retry_in(error) if entry.poll else None
        # While nothing is answered each has one try, so that the failures of all show soon.
        if seconds is not None and not (is_unanswered and credential.silence.is_total):
            entry.retry(now + seconds)
            if not entry.is_dropped:
                self._parts.results.try_failed(entry.target, error, began=sent_at)
            return
        # After the pause that it brought about it is worth a try, even where its interval is a day.
        pause_ends = max(self._parts.pause_of_all.ends_at(), credential.pause.ends_at())
        earliest, latest = asked_for(error, now, was_failing=entry.is_failing)
        entry.finish(
            failed=True,
            refusals=refusals_after(error, entry.refusals),
            no_earlier_than=earliest,
            no_later_than=min(latest, pause_ends if pause_ends > now else math.inf),
        )
        entry.is_silent = is_unanswered
        self._retire(entry)
        if not entry.is_dropped:
            self._parts.results.poll_failed(
                entry.target, error, refresh_interval=entry.refresh_interval
            )

    def _pauses(self, credential: Credential) -> tuple[tuple[Pause, str], tuple[Pause, str]]:
        """Return the pauses that a request with this credential observes, with their names in logs and metrics."""
        return (self._parts.pause_of_all, ALL_CREDENTIALS), (credential.pause, credential.name)

    def _pause_or_settle(
        self,
        entry: Entry,
        credential: Credential,
        error: CustodyError,
        sent_at: float,
        generation: int,
    ) -> None:
        cause = _cause(error)
        everything, own = self._pauses(credential)
        reaction = Reaction.PAUSE_ALL if self._is_all_blocked(entry, error) else error.reaction
        match reaction:
            case Reaction.PAUSE_ALL:
                self._begin_pause(*everything, cause, sent_at, error.retry_after)
                # It says nothing about the key.
                credential.pause.settle(sent_at, answered=False)
            case Reaction.PAUSE_CREDENTIAL | Reaction.LOCK_OUT:
                if credential.generation == generation:
                    self._begin_pause(*own, cause, sent_at)
                else:
                    credential.pause.settle(sent_at, answered=False)
                self._settle(*everything, sent_at, answered=True)
            case _:
                # Whoever blocks a request has not looked at its key.
                answered = error.delivery is Delivery.ANSWERED and error.type != BLOCKED_TYPE
                for named_pause in (everything, own):
                    self._settle(*named_pause, sent_at, answered=answered, cause=cause)

    def _is_all_blocked(self, entry: Entry, error: CustodyError) -> bool:
        """Whether requests for two different targets in a row were blocked, or the trial request of a pause."""
        if error.delivery is not Delivery.ANSWERED:
            return False
        before, self._last_blocked = self._last_blocked, None
        if error.type != BLOCKED_TYPE:
            return False
        self._last_blocked = entry.target
        is_another = before is not None and before.key != entry.target.key
        return is_another or self._parts.pause_of_all.is_active

    def _begin_pause(
        self,
        pause: Pause,
        name: str,
        cause: Cause,
        sent_at: float,
        retry_after: float | None = None,
    ) -> None:
        """Begin `pause`. Only a new pause, or a new reason for one that lasts, is a change worth a warning."""
        now, before = self._parts.monotonic(), pause.cause
        if not pause.begin(cause, sent_at, now, retry_after) or pause.since is None:
            return
        facts: dict[str, str | float] = {
            "credential": name,
            "seconds": round(pause.ends_at() - now, 1),
            "since_seconds": round(now - pause.since, 1),
            "type": cause.type,
            "message": cause.message,
        }
        if name != ALL_CREDENTIALS:
            targets = (entry.target for entry in self._parts.schedule.entries)
            facts["organizations"] = listed(organizations_of(targets).get(name, ()))
        if before is not None and before.type == cause.type:
            log.debug("polling_paused", **facts)
        else:
            log.warning("polling_paused", **facts)

    @staticmethod
    def _settle(
        pause: Pause, name: str, sent_at: float, *, answered: bool, cause: Cause | None = None
    ) -> None:
        if pause.settle(sent_at, answered=answered, cause=cause):
            log.info("polling_resumed", credential=name)

    async def _let_go(self) -> None:
        """End the requests under way and close the connections."""
        tasks = list(self._deadlines)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(
            *(credential.client.close() for credential in self._parts.credentials.values())
        )


def _cause(error: CustodyError) -> Cause:
    is_lockout = error.reaction is Reaction.LOCK_OUT
    return Cause(error.type, error.message, error.status, is_lockout)
