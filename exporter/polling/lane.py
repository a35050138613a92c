"""A credential's way to the API: its client, its pauses, its own rate limit, and how many requests it may have out."""

import math
from collections.abc import Callable, Iterable
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
FAILING_SHARE: Final = 0.1


@dataclass(slots=True, eq=False)
class Lane:
    """The state of one credential.

    own_budget: the limit of the key's own, besides the common one, if it has any. failing_wait_until: when its failing
    targets may have their turn again, in monotonic seconds.
    """

    name: str
    source: CredentialSource
    secrets: Secrets
    connect: Callable[[Secrets], CustodyClient]
    client: CustodyClient
    gate: Gate
    own_budget: Budget | None
    in_flight: int = 0
    failing_wait_until: float = 0.0

    def ready_at(self, entry: Entry, now: float) -> float:
        """Return when a request of `entry` may go: infinity where that takes an answer first."""
        if self.in_flight >= self.source.max_in_flight:
            return math.inf
        own = self.own_budget.ready_at(now) if self.own_budget else now
        turn = self.failing_wait_until if entry.is_failing else now
        return max(own, turn, self.gate.ready_at())

    def mind_slowness(self, entries: Iterable[Entry], sent_at: float, now: float) -> None:
        """Let targets that are failing wait after a request that took long to fail, for the others' sake.

        A nonce must arrive before the next one is sent, so a request that runs into its deadline keeps all others of
        its key waiting. Those that fail in this way get a tenth of the key's time, as long as there are others.
        """
        lost = now - sent_at
        if lost > SLOW_SECONDS and any(self._is_well(entry) for entry in entries):
            self.failing_wait_until = now + lost * (1 / FAILING_SHARE - 1)

    def _is_well(self, entry: Entry) -> bool:
        return entry.target.credential == self.name and entry.is_polled and not entry.is_failing

    def become(self, other: "Lane") -> CustodyClient:
        """Go on as `other`, which was built for the same credential after a reload; return the client to be closed.

        What is under way stays counted. A pause goes on, unless the secrets changed: it was about the old ones.
        """
        old = self.client
        if other.secrets != self.secrets:
            self.gate = other.gate
        if self.own_budget and other.own_budget:
            self.own_budget.change(other.own_budget.requests, other.own_budget.window)
        else:
            self.own_budget = other.own_budget
        self.source, self.secrets = other.source, other.secrets
        self.connect, self.client = other.connect, other.client
        return old

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
            await old.close()
            log.info("secrets_changed", credential=self.name)
