"""A credential's way to the API: its client, its pauses, its own rate limit, and how many requests it may have out."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from exporter.config import ConfigError, CredentialSource, SecretError, Secrets
from exporter.config.secret_text import unusual
from exporter.custody.client import CustodyClient
from exporter.custody.errors import CustodyError
from exporter.logs import get_logger
from exporter.polling.budget import Budget
from exporter.polling.gate import Gate
from exporter.polling.nonce_watch import NonceWatch
from exporter.polling.schedule import Entry
from exporter.polling.silence import Silence

log = get_logger()

SLOW_SECONDS: Final = 1.0
SLOW_SHARE: Final = 0.1


@dataclass(slots=True, eq=False)
class Lane:
    """The state of one credential.

    own_budget: the limit of the key's own, besides the common one, if it has any. slow_turn_at: when targets that are
    slow to fail have their turn again, whoever else wants it, in monotonic seconds. generation: counts the secrets and
    API settings it has had. secrets_problem: why its secrets could not be read again, if so. nonce_watch: of these
    secrets. silence: what of its requests had no answer.
    """

    name: str
    source: CredentialSource
    secrets: Secrets
    connect: Callable[[Secrets], CustodyClient]
    client: CustodyClient
    gate: Gate
    own_budget: Budget | None
    in_flight: int = 0
    slow_turn_at: float = 0.0
    generation: int = 0
    secrets_problem: str = ""
    nonce_watch: NonceWatch = field(default_factory=NonceWatch)
    silence: Silence = field(default_factory=Silence)

    def ready_at(self, now: float) -> float:
        """Return when a request may go: infinity where that takes an answer first."""
        # One after the other while nothing is answered, until something is.
        most = 1 if self.silence.is_total else self.source.max_in_flight
        if self.in_flight >= most:
            return math.inf
        own = self.own_budget.ready_at(now) if self.own_budget else now
        return max(own, self.gate.ready_at())

    def deprioritise_slow(self, entry: Entry, sent_at: float, now: float) -> None:
        """Let a target that took long to fail give way to the others of its key.

        A nonce must arrive before the next one is sent, so a request that runs into its deadline keeps all others of
        its key waiting. Those that fail in this way get the time that nobody else wants, and at least a tenth of it.
        """
        lost = now - sent_at
        entry.is_slow = lost > SLOW_SECONDS
        if entry.is_slow:
            self.slow_turn_at = now + lost * (1 / SLOW_SHARE - 1)

    def check_nonce_conflict(self, error: CustodyError, watch: NonceWatch, now: float) -> None:
        """Log that somebody else uses the key, or that our nonces are behind, where `error` completes the evidence.

        watch: the one from before the request. Of several requests under way, a later one may overtake.
        """
        if not error.refuses_nonce or (watch.has_accepted and self.source.max_in_flight > 1):
            return
        if not watch.refused(now):
            return
        if watch.has_accepted:
            log.warning(
                "key_shared",
                credential=self.name,
                type=error.type,
                problem="the API has seen larger nonces from this key than this exporter has sent: another program "
                "uses it; give the exporter a key of its own",
            )
        else:
            log.warning(
                "nonce_behind",
                credential=self.name,
                type=error.type,
                problem="the API has refused every nonce since the start: it has seen larger ones from this key, sent "
                "by a clock that was ahead, in a finer unit, or by another program. Compare the clock with "
                "the API's and the unit with `nonce` in the configuration; if both are right, wait until the clock "
                "shows what it showed when it was ahead, or create a new key",
            )

    def become(self, other: "Lane", now: float, *, is_renewed: bool) -> None:
        """Go on as `other`, which was built for the same credential after a reload.

        What is under way stays counted. A pause goes on, unless what it was about is not what it was. A lockout is
        about the key, whatever its secret.
        """
        if is_renewed:
            if not self.gate.is_locked_out or self.secrets.api_key != other.secrets.api_key:
                self.gate = other.gate
            self.nonce_watch = other.nonce_watch
            self.silence = other.silence
            self.generation += 1
        if self.own_budget and other.own_budget:
            self.own_budget.change(other.own_budget.requests, other.own_budget.window, now)
        else:
            self.own_budget = other.own_budget
        self.name = other.name
        self.source, self.secrets, self.secrets_problem = other.source, other.secrets, ""
        self.connect, self.client = other.connect, other.client

    async def read_secrets_again(self) -> None:
        """Use what the secret files hold now: they may have been put right since the API refused what they held.

        Files that cannot be used leave everything as it is.
        """
        source = self.source
        try:
            secrets = await asyncio.to_thread(source.read)
        except (SecretError, ConfigError) as error:
            # Asked at each refusal: said once for as long as it is the same.
            if str(error) != self.secrets_problem:
                log.error("secrets_unusable", credential=self.name, problem=str(error))  # noqa: TRY400 - an expected fault: its message says it all
            self.secrets_problem = str(error)
            return
        self.secrets_problem = ""
        # A reload may have read them meanwhile, from elsewhere.
        if source is self.source and secrets != self.secrets:
            old, self.secrets, self.client = self.client, secrets, self.connect(secrets)
            self.generation += 1
            self.nonce_watch = NonceWatch()
            await old.close()
            log.info("secrets_changed", credential=self.name)
            warn_of_unusual_secret(self.name, secrets)


def lanes_that_stay(old: Mapping[str, Lane], new: Mapping[str, Lane]) -> dict[str, Lane]:
    """Return the lanes of `old` that go on where a reload wants those of `new`, by the name that each has there.

    All keys come before any name: where an old name goes to a new key, the old key may have a name of its own, and
    what is under way with it must stay counted there.
    """
    by_key = {lane.secrets.api_key: lane for lane in old.values()}
    going = {
        name: by_key.pop(key)
        for name, lane in new.items()
        if (key := lane.secrets.api_key) in by_key
    }
    for name, lane in old.items():
        if lane not in going.values():
            going.setdefault(name, lane)
    return going


def warn_of_unusual_secret(credential: str, secrets: Secrets) -> None:
    """Log that a secret cannot be one of Kraken's, and nothing of it."""
    if problem := unusual(secrets):
        log.warning("secret_unusual", credential=credential, problem=f"the API secret {problem}")


def warn_of_open_files(credential: str, source: CredentialSource) -> None:
    """Log which secret files every user of this machine can read."""
    for field_, file in source.files_open_to_all().items():
        log.warning(
            "secret_file_readable",
            credential=credential,
            field=field_,
            file=str(file),
            problem="every user of this machine can read it: chmod 600, or 640 with the exporter's group",
        )
