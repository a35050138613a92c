"""A credential's way to the API: its client, its pauses, its own rate limit, and how many requests it may have out."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from exporter.config import CredentialSource, SecretError, Secrets
from exporter.custody.client import CustodyClient
from exporter.logs import get_logger
from exporter.polling.budget import Budget
from exporter.polling.gate import Gate

log = get_logger()


@dataclass(slots=True, eq=False)
class Lane:
    """The state of one credential. own_budget: the limit of the key's own, besides the common one, if it has any."""

    name: str
    source: CredentialSource
    secrets: Secrets
    connect: Callable[[Secrets], CustodyClient]
    client: CustodyClient
    gate: Gate
    own_budget: Budget | None
    in_flight: int = 0

    def ready_at(self, now: float) -> float:
        """Return when the next request may go: infinity where that takes an answer first."""
        if self.in_flight >= self.source.max_in_flight:
            return math.inf
        own = self.own_budget.ready_at(now) if self.own_budget else now
        return max(own, self.gate.ready_at())

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
