"""Pending tasks and whitelisted addresses: pure functions of a seed and a time.

Names, addresses and descriptions are personal data, which must not reach a monitoring system. Each contains `MARKER`,
so that tests can search for it.

Source: Kraken, "List tasks" and "List whitelist addresses".
"""

from base64 import b32encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Final
from uuid import UUID

from exporter.simulator.portfolio import Organization, Vault
from exporter.simulator.wander import DAY, HOUR, MINUTE

MARKER: Final = "PERSONALDATA"
ADDRESS_OF_INITIATOR: Final = "203.0.113.77"
"""A documentation address (RFC 5737), which also serves as a marker."""

_PERIOD: Final = 20 * MINUTE
_LASTS: Final = 2 * HOUR
_HISTORY: Final = 2 * DAY
_OF_VAULTS: Final = ("request_withdrawal", "add_whitelist_address", "change_vault_policy")
_OF_ORGANIZATIONS: Final = ("create_vault", "invite_user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task. Times are Unix seconds.

    vault: None for a task of the organization.
    approvals: when each was given.
    ended: when it left `pending` for `outcome`, before `expires`; None if it is never decided.
    """

    id: str
    type: str
    vault: Vault | None
    created: float
    expires: float
    required: int
    approvals: tuple[float, ...] = ()
    ended: float | None = None
    outcome: str = "executed"

    def state(self, now: float) -> str:
        """Return its state at `now`."""
        if self.ended is not None and self.ended <= now:
            return self.outcome
        return "expired" if self.expires <= now else "pending"

    def row(self, now: float, *, rfc3339: bool) -> dict[str, object]:
        """Return its JSON at `now`, with times in RFC 3339 or as text of Unix seconds."""

        def moment(seconds: float) -> str:
            if rfc3339:
                return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
            return str(int(seconds))

        approved = [given for given in self.approvals if given <= now]
        changes = (self.created, *approved, *((self.ended,) if self.ended else ()))
        label = self.type.replace("_", " ").capitalize()
        vault = self.vault
        return {
            "id": self.id,
            "type": self.type,
            "type_label": label,
            "state": self.state(now),
            "created_at": moment(self.created),
            "updated_at": moment(max(it for it in changes if it <= now)),
            "expires_at": moment(self.expires),
            "initiator": {
                "full_name": f"{MARKER} Jo Doe",
                "email": f"{MARKER}@example.com",
                "role": "initiator",
                "ip_address": ADDRESS_OF_INITIATOR,
                "iiban": f"{MARKER} iiban",
            },
            "quorum_type": "vault" if vault else "domain",
            "can_review": False,
            "current_user_decision": None,
            "description": f"{label} for {MARKER}",
            "reviewer_statistics_label": f"{MARKER}: {len(approved)} of {self.required}",
            "instruction_types": [self.type],
            "approval_id": str(UUID(int=Random(self.id).getrandbits(128), version=4)),
            "reviewer_statistics": {
                "approved": len(approved),
                "denied": 0,
                "undecided": self.required - len(approved),
                "current_count": len(approved),
                "required_quorum": self.required,
            },
            "vault_info": vault
            and {
                "id": vault.id,
                "name": vault.name_at(now),
                "status": vault.status,
                "subquorum_config": {"members": [f"{MARKER} Jo Doe"]},
            },
            "subquorum_snapshot": {"members": [f"{MARKER} Jo Doe"]} if vault else None,
        }


def tasks_of(organization: Organization, now: float) -> list[Task]:
    """Return the tasks of the last two days, the newest first.

    One begins every 20 minutes and expires after 2 hours. Most are approved and executed within half an hour, some are
    rejected, and every fifth or so waits until it expires.
    """
    last = int(now // _PERIOD)
    turns = range(last, last - int(_HISTORY // _PERIOD), -1)
    tasks = (_task(organization, turn) for turn in turns)
    return [task for task in tasks if task.created <= now]


def _task(organization: Organization, turn: int) -> Task:
    chance = Random(f"{organization.id}/task/{turn}")
    created = turn * _PERIOD + chance.uniform(0, 5 * MINUTE)
    is_of_vault = chance.random() < 0.8
    required = chance.choice((2, 3))
    luck = chance.random()
    given = sorted(created + chance.uniform(MINUTE, 30 * MINUTE) for _ in range(required))
    if luck < 0.2:
        # The last approval is never given.
        given, ended, outcome = given[:-1], None, ""
    elif luck < 0.3:
        given, ended, outcome = given[:1], given[1], "rejected"
    else:
        ended, outcome = given[-1], "executed"
    return Task(
        id="T" + _base32(chance, 13),
        type=chance.choice(_OF_VAULTS if is_of_vault else _OF_ORGANIZATIONS),
        vault=chance.choice(organization.vaults) if is_of_vault else None,
        created=created,
        expires=created + _LASTS,
        required=required,
        approvals=tuple(given),
        ended=ended,
        outcome=outcome,
    )


def whitelist_of(vault: Vault, now: float) -> list[dict[str, object]]:
    """Return the addresses to which a vault may send at `now` (Unix seconds).

    Each asset on a chain has 1 to 4. Now and then, by chance every few hours to every few days, one is added and the
    oldest removed.
    """
    return [
        row
        for holding in vault.holdings
        if holding.asset.virtual
        for row in _rows(
            f"{vault.id}/{holding.asset.asset}", holding.asset.asset, holding.asset.asset_class, now
        )
    ]


def _rows(key: str, asset: str, asset_class: str, now: float) -> Iterator[dict[str, object]]:
    chance = Random(f"{key}/whitelist")
    number, period = chance.randint(1, 4), chance.uniform(3 * HOUR, 3 * DAY)
    last = int(now // period)
    for turn in range(last, last - number, -1):
        yield {
            "asset": asset,
            "asset_class": asset_class,
            "address_name": f"{MARKER} wallet {turn}",
            "address": f"{MARKER}{_base32(Random(f'{key}/{turn}'), 26)}",
            "tag": f"{MARKER} tag",
            "description": f"of {MARKER}",
            "beneficiary": {"full_name": f"{MARKER} Jo Doe", "country": f"{MARKER} country"},
        }


def _base32(chance: Random, length: int) -> str:
    return b32encode(chance.randbytes(20)).decode()[:length]
