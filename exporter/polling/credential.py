"""A credential at run time: its client, pause, own rate limit and requests in flight."""

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Final

from msgspec import Struct, field

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


class Credential(Struct, eq=False):
    """A credential at run time.

    own_budget: the key's own rate limit in addition to the common one, or None.
    slow_turn_at: monotonic seconds after which slow targets have a turn again even if others wait.
    generation: incremented when its secrets or API settings change.
    secrets_problem: why its secrets could not be reloaded; empty if they could.
    nonce_watch: evidence of nonce conflicts with the current secrets.
    silence: its latest requests without a response.
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

    @property
    def origin(self) -> Hashable:
        """What a list is of: another key may see another one, and it is known by the credential's name."""
        return self, self.name, self.generation

    def ready_at(self, now: float) -> float:
        """Return when a request may be sent; infinity if it needs a response first."""
        # One at a time while nothing is answered.
        most = 1 if self.silence.is_total else self.settings.max_in_flight
        if self.in_flight >= most:
            return math.inf
        own = self.own_budget.ready_at(now) if self.own_budget else now
        return max(own, self.pause.ends_at())

    def deprioritise_slow(self, sent_at: float, now: float) -> bool:
        """Return whether a request took so long to fail that its target yields to others of its key.

        A nonce must arrive before the next one is sent, so a request that times out blocks all others of its key.
        Targets that fail this way get the time that no other target needs, and at least a tenth of all time.
        """
        lost = now - sent_at
        if lost <= SLOW_SECONDS:
            return False
        self.slow_turn_at = now + lost * (1 / SLOW_SHARE - 1)
        return True

    def check_nonce_conflict(self, error: CustodyError, watch: NonceWatch, now: float) -> None:
        """Log that another program uses the key, or that our nonces are too small, once `error` completes the evidence.

        watch: the one from before the request. With several requests in flight, a later one may overtake it.
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
        """Adopt the settings of `new`, the same credential after a reload.

        Requests in flight stay counted. A pause continues unless its cause may have changed.
        """
        if change.ends_pause(is_lockout=self.pause.is_lockout):
            self.pause = new.pause
        if change.is_renewed:
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
        """Reload the secret files, which may have been corrected since the API refused the old secrets.

        If they cannot be used, the old secrets stay in use.
        """
        settings = self.settings
        try:
            secrets = await asyncio.to_thread(settings.read)
        except (SecretError, ConfigError) as error:
            # Called at every refusal; the same problem is logged once.
            if str(error) != self.secrets_problem:
                log.error("secrets_unusable", credential=self.name, problem=str(error))  # noqa: TRY400 - an expected fault: its message says it all
            self.secrets_problem = str(error)
            return
        self.secrets_problem = ""
        # A configuration reload may have replaced them in the meantime.
        if settings is self.settings and secrets != self.secrets:
            old, self.secrets, self.client = self.client, secrets, self.connect(secrets)
            self.generation += 1
            self.nonce_watch = NonceWatch()
            await old.close()
            log.info("secrets_changed", credential=self.name)
            warn_of_unusual_secret(self.name, secrets)


def warn_of_unusual_secret(name: str, secrets: Secrets) -> None:
    """Log that a secret does not look like one of Kraken's, without showing any of it."""
    if problem := unusual(secrets):
        log.warning("secret_unusual", credential=name, problem=f"the API secret {problem}")


def warn_of_open_files(name: str, settings: CredentialSettings) -> None:
    """Log secret files that every user of this machine can read."""
    for field_, file in settings.files_open_to_all().items():
        log.warning(
            "secret_file_readable",
            credential=name,
            field=field_,
            file=str(file),
            problem="every user of this machine can read it: chmod 600, or 640 with the exporter's group",
        )
