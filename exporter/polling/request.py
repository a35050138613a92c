"""One request and its outcome: publishes the answer or handles the failure, then releases its place and slots."""

import asyncio
import math
from collections.abc import Callable, Hashable

from msgspec.structs import replace

from exporter.custody.errors import INTERNAL_TYPE, CustodyError, Delivery, MayNotSendError
from exporter.logs import get_logger
from exporter.polling.budget import Budget
from exporter.polling.credential import Credential
from exporter.polling.parts import Parts
from exporter.polling.pausing import Pauses, cause_of
from exporter.polling.retry import Poll, refusals_after, retry_bounds
from exporter.polling.schedule import Entry
from exporter.resources.resource import Answer, Part
from exporter.turns import in_turns

log = get_logger()


class Requests:
    """The requests in flight, and the targets whose last answer is in doubt.

    changed: called when further requests may be sent, or the same ones earlier.
    is_single_round: whether each target is polled once only.
    """

    def __init__(self, parts: Parts, changed: Callable[[], None]) -> None:
        self._parts = parts
        self._changed = changed
        self.is_single_round = False
        self._deadlines: dict[asyncio.Task[None], float] = {}
        # Targets whose balances may belong to another, and until when they are still shown.
        self._suspects: dict[Entry, float] = {}
        self._pauses = Pauses(parts)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of the requests in flight, or None."""
        return min(self._deadlines.values(), default=None)

    def suspect(self, key: Hashable) -> None:
        """Poll a target again at once, because its last answer may belong to another; withdraw it if that fails."""
        now, entry = self._parts.monotonic(), self._parts.schedule.get(key)
        if entry is None:
            return
        entry.move(entry.place.first(now))
        if entry.place.poll:
            entry.place.poll.begin_anew()
        # After a failed poll, what is shown is from an earlier answer.
        if not entry.place.is_failing:
            self._suspects[entry] = now + self._credential(entry).client.timeout

    def withdraw_suspects(self, now: float) -> None:
        """Withdraw the balances that have been in doubt for too long."""
        for entry in [entry for entry, until in self._suspects.items() if now >= until]:
            self._withdraw_suspect(entry)

    def _withdraw_suspect(self, entry: Entry) -> None:
        if self._suspects.pop(entry, None) is not None and not entry.is_dropped:
            self._parts.results.withdraw(entry.target)

    def _credential(self, entry: Entry) -> Credential:
        return self._parts.credentials[entry.target.credential]

    def send(self, entry: Entry, now: float) -> None:
        """Send the next request for a target."""
        credential = self._credential(entry)
        entry.move(entry.place.begun(lambda: Poll(self._parts.chance), now))
        credential.in_flight += 1
        self._pauses.request_sent(credential)
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
        """Make one request and handle its outcome; its slots and place are always released."""
        # Assumed if the request ends with an unexpected exception.
        delivery = Delivery.UNANSWERED
        try:
            delivery = await self._ask(entry, credential, sent_at)
        except MayNotSendError:
            # Nothing was sent; the target is due as before.
            delivery = Delivery.NEVER_SENT
            self._pauses.unanswered(credential, sent_at)
            entry.move(entry.place.retried(self._parts.monotonic()))
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
            self._changed()

    def _crashed(
        self, entry: Entry, credential: Credential, error: Exception, sent_at: float
    ) -> None:
        """Fail a poll because of a defect of this exporter, even if showing failures is what is broken."""
        words = f"a defect of this exporter ({type(error).__name__}): its log has the traceback"
        defect = CustodyError(INTERNAL_TYPE, message=words)
        self._pauses.unanswered(credential, sent_at)
        try:
            self._parts.results.request_failed(entry.target, defect)
            self._failed(entry, defect, credential, sent_at)
        except Exception:
            log.exception("request_crashed", target=entry.target.id)
        if entry.place.is_sending:
            entry.move(entry.place.finished(failed=True))
            self._retire(entry)

    async def _ask(self, entry: Entry, credential: Credential, sent_at: float) -> Delivery:
        parts = self._parts
        if credential.pause.is_active:
            await self._read_secrets_again(credential)
        suspected_until = self._suspects.get(entry)
        origin, generation, nonce_watch, silence = (
            credential.origin,
            credential.generation,
            credential.nonce_watch,
            credential.silence,
        )

        async def succeeded(answer: Answer) -> None:
            nonce_watch.accepted()
            silence.answered()
            self._pauses.answered(credential, sent_at)
            await self._publish(entry, answer)

        ask, poll = parts.requesters[entry.target.kind], entry.place.poll
        assert poll is not None  # noqa: S101 - a request is sent in a poll
        request = poll.request(lambda: ask(entry.target), origin)
        try:
            answer = await credential.client.ask(request, succeeded)
            # A doubt that arose meanwhile may concern this very answer.
            if self._suspects.get(entry) == suspected_until:
                self._suspects.pop(entry, None)
        except CustodyError as error:
            self._withdraw_suspect(entry)
            parts.results.request_failed(entry.target, error)
            if error.may_be_mended_by_secrets and credential.generation == generation:
                await self._read_secrets_again(credential)
            if error.delivery is Delivery.ANSWERED:
                silence.answered()
            else:
                silence.unanswered(cause_of(error), sent_at, is_news=not entry.place.is_silent)
            self._pauses.failed(entry.target, credential, error, sent_at, generation)
            is_slow = credential.deprioritise_slow(sent_at, parts.monotonic())
            entry.move(replace(entry.place, is_slow=is_slow))
            credential.check_nonce_conflict(error, nonce_watch, parts.monotonic())
            excuse = request.excuse(error)
            if credential.generation != generation:
                # The request used secrets or an address that have been replaced.
                entry.move(entry.place.retried(parts.monotonic()))
            elif excuse is None:
                self._failed(entry, error, credential, sent_at)
            else:
                await self._excused(entry, excuse, credential, sent_at)
            return error.delivery
        await self._answered(entry, poll, answer, origin)
        return Delivery.ANSWERED

    async def _excused(
        self, entry: Entry, answer: Answer, credential: Credential, sent_at: float
    ) -> None:
        """End a poll whose failure means `answer`, for whose series there may be no room."""
        try:
            await self._publish(entry, answer)
        except CustodyError as error:
            self._parts.results.request_failed(entry.target, error)
            self._failed(entry, error, credential, sent_at)
        else:
            self._succeeded(entry)

    async def _answered(self, entry: Entry, poll: Poll, answer: Answer, origin: Hashable) -> None:
        """End a poll whose answer is complete, or continue with the rest of it. origin: what was asked."""
        if isinstance(answer, Part):
            poll.go_on(answer.next, origin)
            self._go_on(entry)
        elif await self._parts.on_answer(answer, lambda: self._is_from(entry, origin)):
            self._succeeded(entry)
        else:
            entry.move(entry.place.retried(self._parts.monotonic()))

    def _is_from(self, entry: Entry, origin: Hashable) -> bool:
        """Whether a target is still polled from this origin."""
        return not entry.is_dropped and self._credential(entry).origin == origin

    def _go_on(self, entry: Entry) -> None:
        """Schedule the request for the next part of an answer."""
        now = self._parts.monotonic()
        entry.move(entry.place.partly(now))
        # In a single round lists go first, so that what they find is polled in it too.
        if self.is_single_round:
            entry.move(entry.place.first(now))

    def _succeeded(self, entry: Entry) -> None:
        """End a poll that succeeded."""
        entry.move(entry.place.finished())
        self._retire(entry)
        if entry in self._suspects:
            entry.move(entry.place.first(self._parts.monotonic()))

    async def _read_secrets_again(self, credential: Credential) -> None:
        """Reload the secret files; if they changed, retry at once what failed with the old ones."""
        generation = credential.generation
        await credential.read_secrets_again()
        if credential.generation != generation:
            now = self._parts.monotonic()
            await in_turns(self._parts.schedule.renew({credential.name}, now))

    async def _publish(self, entry: Entry, answer: Answer) -> None:
        """Publish a complete answer, unless its target is gone.

        Raises CustodyError if there is no room for its series.
        """
        if isinstance(answer, Part):
            return
        read_at, target = self._parts.moment().boottime, None
        # Rendering yields to other tasks; a reload may rename the target meanwhile.
        while not entry.is_dropped and target != entry.target:
            target = entry.target
            balances = await in_turns(self._parts.results.exposed(target, answer))
        if not entry.is_dropped:
            self._parts.results.poll_succeeded(
                entry.target,
                balances,
                read_at=read_at,
                refresh_interval=entry.place.refresh_interval,
            )

    def _retire(self, entry: Entry) -> None:
        """Keep a target from being polled again in a single round."""
        if self.is_single_round:
            entry.move(replace(entry.place, ready_at=math.inf))

    def _failed(
        self, entry: Entry, error: CustodyError, credential: Credential, sent_at: float
    ) -> None:
        """Schedule a retry of the poll, or end it."""
        now = self._parts.monotonic()
        is_unanswered = error.delivery is not Delivery.ANSWERED
        seconds = entry.place.poll.retry_in(error) if entry.place.poll else None
        # While nothing is answered each target has one try, so that all failures show soon.
        if seconds is not None and not (is_unanswered and credential.silence.is_total):
            entry.move(entry.place.retried(now + seconds))
            if not entry.is_dropped:
                self._parts.results.try_failed(entry.target, error, began=sent_at)
            return
        # A poll that caused a pause is retried after it, even if its interval is a day.
        pause_ends = max(self._parts.pause_of_all.ends_at(), credential.pause.ends_at())
        earliest, latest = retry_bounds(error, now, was_failing=entry.place.is_failing)
        ended = entry.place.finished(
            failed=True,
            silent=is_unanswered,
            refusals=refusals_after(error, entry.place.refusals),
            no_earlier_than=earliest,
            no_later_than=min(latest, pause_ends if pause_ends > now else math.inf),
        )
        entry.move(ended)
        self._retire(entry)
        if not entry.is_dropped:
            self._parts.results.poll_failed(
                entry.target, error, refresh_interval=entry.place.refresh_interval
            )

    async def close(self) -> None:
        """Cancel the requests in flight and close the connections."""
        tasks = list(self._deadlines)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(
            *(credential.client.close() for credential in self._parts.credentials.values())
        )
