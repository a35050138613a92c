"""A credential's way to the API: its client, its pauses, its own rate limit, and how many requests it may have out."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from exporter.config import ConfigError, CredentialSettings, SecretError, Secrets
from exporter.config.credentials import unusual
from exporter.custody.client import CustodyClient
from exporter.custody.errors import CustodyError
from exporter.logs import get_logger
from exporter.polling.budget import Budget
from exporter.polling.difference import CredentialChange
from exporter.polling.nonce_watch import NonceWatch
from exporter.polling.pause import Pause
from exporter.polling.silence import Silence

log = get_logger()

SLOW_SECONDS: Final = 1.0
SLOW_SHARE: Final = 0.1


@dataclass(slots=True, eq=False)
class Credential:
    """One credential at work.

    own_budget: the limit of the key's own, besides the common one, if it has any. slow_turn_at: when targets that are
    slow to fail have their turn again, whoever else wants it, in monotonic seconds. generation: counts the secrets and
    API settings it has had. secrets_problem: why its secrets could not be read again, if so. nonce_watch: of these
    secrets. silence: what of its requests had no answer.
    """

    name: str
    settings: CredentialSettings
    secrets: Secrets
    connect: Callable[[Secrets], CustodyClient]
    client: CustodyClient
    pause: Pause
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
        most = 1 if self.silence.is_total else self.settings.max_in_flight
        if self.in_flight >= most:
            return math.inf
        own = self.own_budget.ready_at(now) if self.own_budget else now
        return max(own, self.pause.ends_at())

    def deprioritise_slow(self, sent_at: float, now: float) -> bool:
        """Return whether a request took so long to fail that its target gives way to the others of its key.

        A nonce must arrive before the next one is sent, so a request that runs into its deadline keeps all others of
        its key waiting. Those that fail in this way get the time that nobody else wants, and at least a tenth of it.
        """
        lost = now - sent_at
        if lost <= SLOW_SECONDS:
            return False
        self.slow_turn_at = now + lost * (1 / SLOW_SHARE - 1)
        return True

    def check_nonce_conflict(self, error: CustodyError, watch: NonceWatch, now: float) -> None:
        """Log that somebody else uses the key, or that our nonces are behind, where `error` completes the evidence.

        watch: the one from before the request. Of several requests under way, a later one may overtake.
        """
        if not error.refuses_nonce or (watch.has_accepted and self.settings.max_in_flight > 1):
            return
        if not watch.refused(now):
            return
        if watch.has_accepted:
            log.warning(
                "key_shared",
                credential=self.name,
                type=error.type,
                problem="the API has seen larger nonces from this key than this exporter has sent: another program "
                "uses it; create a key for the exporter alone",
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

    def reload(self, new: "Credential", change: CredentialChange, now: float) -> None:
        """Go on as `new`, which was built for the same credential after a reload.

        What is under way stays counted. A pause goes on, unless what it was about is not what it was. A lockout is
        about the key, whatever its secret.
        """
        if change.is_renewed:
            if not self.pause.is_lockout or change.is_another_key:
                self.pause = new.pause
            self.nonce_watch = new.nonce_watch
            self.silence = new.silence
            self.generation += 1
        if self.own_budget and new.own_budget and change.has_another_limit:
            self.own_budget.change(new.own_budget.requests, new.own_budget.window, now)
        elif change.has_another_limit:
            self.own_budget = new.own_budget
        self.name = new.name
        self.settings, self.secrets, self.secrets_problem = new.settings, new.secrets, ""
        self.connect, self.client = new.connect, new.client

    async def read_secrets_again(self) -> None:
        """Use what the secret files hold now: they may have been put right since the API refused what they held.

        Files that cannot be used leave everything as it is.
        """
        settings = self.settings
        try:
            secrets = await asyncio.to_thread(settings.read)
        except (SecretError, ConfigError) as error:
            # Asked at each refusal: said once for as long as it is the same.
            if str(error) != self.secrets_problem:
                log.error("secrets_unusable", credential=self.name, problem=str(error))  # noqa: TRY400 - an expected fault: its message says it all
            self.secrets_problem = str(error)
            return
        self.secrets_problem = ""
        # A reload may have read them meanwhile, from elsewhere.
        if settings is self.settings and secrets != self.secrets:
            old, self.secrets, self.client = self.client, secrets, self.connect(secrets)
            self.generation += 1
            self.nonce_watch = NonceWatch()
            await old.close()
            log.info("secrets_changed", credential=self.name)
            warn_of_unusual_secret(self.name, secrets)


def warn_of_unusual_secret(name: str, secrets: Secrets) -> None:
    """Log that a secret cannot be one of Kraken's, and nothing of it."""
    if problem := unusual(secrets):
        log.warning("secret_unusual", credential=name, problem=f"the API secret {problem}")


def warn_of_open_files(name: str, settings: CredentialSettings) -> None:
    """Log which secret files every user of this machine can read."""
    for field_, file in settings.files_open_to_all().items():
        log.warning(
            "secret_file_readable",
            credential=name,
            field=field_,
            file=str(file),
            problem="every user of this machine can read it: chmod 600, or 640 with the exporter's group",
        )
