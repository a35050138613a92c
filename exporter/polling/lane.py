"""A credential's way to the API: its client, its pauses, its own rate limit, and how many requests it may have out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exporter.config import CredentialSource, SecretError, Secrets
from exporter.custody.client import CustodyClient
from exporter.logs import get_logger
from exporter.polling.budget import Budget
from exporter.polling.gate import Gate
from exporter.polling.schedule import Entry

log = get_logger()

SLOW_SECONDS: Final = 1.0
SLOW_SHARE: Final = 0.1


@dataclass(slots=True, eq=False)
class Lane:
    """The state of one credential.

    own_budget: the limit of the key's own, besides the common one, if it has any. slow_turn_at: when targets that are
    slow to fail have their turn again, whoever else wants it, in monotonic seconds. generation: counts the secrets and
    API settings it has had.
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

    def ready_at(self, now: float) -> float:
        """Return when a request may go: infinity where that takes an answer first."""
        if self.in_flight >= self.source.max_in_flight:
            return math.inf
        own = self.own_budget.ready_at(now) if self.own_budget else now
        return max(own, self.gate.ready_at())

    def mind_slowness(self, entry: Entry, sent_at: float, now: float) -> None:
        """Let a target that took long to fail give way to the others of its key.

        A nonce must arrive before the next one is sent, so a request that runs into its deadline keeps all others of
        its key waiting. Those that fail in this way get the time that nobody else wants, and at least a tenth of it.
        """
        lost = now - sent_at
        entry.is_slow = lost > SLOW_SECONDS
        if entry.is_slow:
            self.slow_turn_at = now + lost * (1 / SLOW_SHARE - 1)

    def become(self, other: "Lane", now: float, *, is_renewed: bool) -> None:
        """Go on as `other`, which was built for the same credential after a reload.

        What is under way stays counted. A pause goes on, unless what it was about is not what it was.
        """
        if is_renewed:
            self.gate = other.gate
            self.generation += 1
        if self.own_budget and other.own_budget:
            self.own_budget.change(other.own_budget.requests, other.own_budget.window, now)
        else:
            self.own_budget = other.own_budget
        self.name = other.name
        self.source, self.secrets = other.source, other.secrets
        self.connect, self.client = other.connect, other.client

    async def read_secrets_again(self) -> None:
        """Use what the secret files hold now: they may have been put right since the API refused what they held.

        Files that cannot be used leave everything as it is.
        """
        try:
            secrets = self.source.read()
        except SecretError as error:
            log.error("secrets_unusable", credential=self.name, problem=str(error))  # noqa: TRY400 - an expected fault: its message says it all
            return
        if secrets != self.secrets:
            old, self.secrets, self.client = self.client, secrets, self.connect(secrets)
            self.generation += 1
            await old.close()
            log.info("secrets_changed", credential=self.name)
