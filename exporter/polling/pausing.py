"""What the outcome of a request means for pauses: which one begins or ends, and what is logged."""

from exporter.config import ALL_CREDENTIALS
from exporter.custody.errors import BLOCKED_TYPE, CustodyError, Delivery, Reaction
from exporter.logs import get_logger
from exporter.polling.credential import Credential
from exporter.polling.parts import Parts
from exporter.polling.pause import Cause, Pause
from exporter.resources.target import Target, listed

log = get_logger()


class Pauses:
    """Begins and ends the pause of everything and those of the credentials as requests end."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # The target whose request was blocked, if that was the last outcome on the way to the API.
        self._last_blocked: Target | None = None

    def request_sent(self, credential: Credential) -> None:
        """Record that a request is sent now."""
        for pause, _ in self._observed(credential):
            pause.request_sent()

    def answered(self, credential: Credential, sent_at: float) -> None:
        """Record that a request sent at `sent_at` succeeded."""
        self._last_blocked = None
        self._settle_all(credential, sent_at, answered=True)

    def unanswered(self, credential: Credential, sent_at: float) -> None:
        """Record that a request sent at `sent_at` ended without telling anything about the API."""
        self._settle_all(credential, sent_at, answered=False)

    def failed(
        self,
        target: Target,
        credential: Credential,
        error: CustodyError,
        sent_at: float,
        generation: int,
    ) -> None:
        """Pause what `error` asks for, or end the pauses that a request sent at `sent_at` got through.

        generation: the credential's when it was sent; a refusal of older secrets says nothing about these.
        """
        if error.refuses_nonce:
            self._parts.nonce_refused()
        cause = cause_of(error)
        everything, own = self._observed(credential)
        reaction = Reaction.PAUSE_ALL if self._is_all_blocked(target, error) else error.reaction
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
                # What blocks a request has not checked its key.
                answered = error.delivery is Delivery.ANSWERED and error.type != BLOCKED_TYPE
                self._settle_all(credential, sent_at, answered=answered, cause=cause)

    def _is_all_blocked(self, target: Target, error: CustodyError) -> bool:
        """Whether two requests in a row for different targets were blocked, or the trial request of a pause."""
        if error.delivery is not Delivery.ANSWERED:
            return False
        before, self._last_blocked = self._last_blocked, None
        if error.type != BLOCKED_TYPE:
            return False
        self._last_blocked = target
        is_another = before is not None and before.key != target.key
        return is_another or self._parts.pause_of_all.is_active

    def _begin_pause(
        self,
        pause: Pause,
        name: str,
        cause: Cause,
        sent_at: float,
        retry_after: float | None = None,
    ) -> None:
        """Begin `pause`. Log a warning only for a new pause or a new cause."""
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
            facts["organizations"] = listed(self._parts.schedule.organizations.get(name, ()))
        if before is not None and before.type == cause.type:
            log.debug("polling_paused", **facts)
        else:
            log.warning("polling_paused", **facts)

    def _observed(self, credential: Credential) -> tuple[tuple[Pause, str], tuple[Pause, str]]:
        """Return the pauses that apply to this credential's requests, with their names in logs and metrics."""
        return (self._parts.pause_of_all, ALL_CREDENTIALS), (credential.pause, credential.name)

    def _settle_all(
        self, credential: Credential, sent_at: float, *, answered: bool, cause: Cause | None = None
    ) -> None:
        for pause in self._observed(credential):
            self._settle(*pause, sent_at, answered=answered, cause=cause)

    @staticmethod
    def _settle(
        pause: Pause, name: str, sent_at: float, *, answered: bool, cause: Cause | None = None
    ) -> None:
        if pause.settle(sent_at, answered=answered, cause=cause):
            log.info("polling_resumed", credential=name)


def cause_of(error: CustodyError) -> Cause:
    """Return `error` as the cause of a pause."""
    is_lockout = error.reaction is Reaction.LOCK_OUT
    return Cause(error.type, error.message, error.status, is_lockout)
