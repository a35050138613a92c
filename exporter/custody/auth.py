"""Signs requests to Kraken's custody API with nonce, signature and one-time password.

Kraken documents the formula with header nonces for the sibling APIs on the same gateway (Funding, Affiliate,
Embed); the custody pages name the headers.
"""

import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Callable

import httpx
import pyotp
from msgspec import Struct

from exporter.config import Secrets
from exporter.custody.errors import MayNotSendError
from exporter.custody.secret_forms import hide
from exporter.secret import Secret

SENT_OF_LATE = 16
"""Signatures and one-time passwords kept; more than are normally in flight."""
SHORTEST_SEED_BYTES = 20
NANOSECONDS_IN = {"nanoseconds": 1, "microseconds": 1_000, "milliseconds": 1_000_000}


def sign(secret: bytes, target: bytes, nonce: str, body: bytes = b"") -> str:
    """Return base64(HMAC-SHA512(secret, target + SHA256(nonce + body))).

    `secret` is the decoded API secret. `target` is the request target as sent: the percent-encoded path and, if there
    is a query, `?` and the query.
    """
    digest = hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(hmac.digest(secret, target + digest, "sha512")).decode()


class NonceBounds(Struct):
    """The range that nonces of every key must be in, in nanoseconds.

    above: a previous process may have used any nonce up to this one.
    up_to: the maximum, above which a later process starts; None without a limit.
    highest: the highest nonce used.
    """

    above: int = 0
    up_to: int | None = None
    highest: int = 0


class Nonce:
    """The strictly increasing number that Kraken requires in each request of a key.

    It follows the wall clock, and increases by one when the clock stops or goes back.
    """

    def __init__(
        self,
        unit: str,
        wall_ns: Callable[[], int],
        last: "_Last | None" = None,
        bounds: NonceBounds | None = None,
    ) -> None:
        self._divisor = NANOSECONDS_IN[unit]
        self._wall_ns = wall_ns
        self._last = last or _Last()
        self._bounds = bounds or NonceBounds()

    def next(self) -> str:
        """Return a number larger than any before, in decimal. Raises MayNotSendError if no nonce may be used."""
        bounds, divisor = self._bounds, self._divisor
        least = max(self._last.number, bounds.above // divisor) + 1
        number = max(least, self._wall_ns() // divisor)
        if bounds.up_to is not None and number > bounds.up_to // divisor:
            # The wall clock was set forward: increase by one until the bound has caught up.
            number = least
            if number > bounds.up_to // divisor:
                raise MayNotSendError
        self._last.number = number
        bounds.highest = max(bounds.highest, number * divisor)
        return str(number)


class _Last(Struct):
    """The last nonce of a key."""

    number: int = 0


class Nonces:
    """The nonces of every key that this process has used; Kraken never accepts a smaller one again.

    bounds: for all keys; may change at any time.
    """

    def __init__(self, wall_ns: Callable[[], int], bounds: NonceBounds | None = None) -> None:
        self.bounds = bounds or NonceBounds()
        self._wall_ns = wall_ns
        self._last: dict[Secret[str], _Last] = {}

    def of(self, api_key: Secret[str], unit: str) -> Nonce:
        """Return a source of nonces for `api_key` in `unit`, larger than any used before."""
        last = self._last.setdefault(api_key, _Last())
        return Nonce(unit, self._wall_ns, last, self.bounds)


class KeyAuth:
    """Adds Kraken's headers to requests."""

    def __init__(self, secrets: Secrets, nonce: Nonce, wall: Callable[[], float]) -> None:
        self._secrets = secrets
        self._nonce = nonce
        self._wall = wall
        self._sent_of_late: deque[str] = deque(maxlen=SENT_OF_LATE)

    def sign(self, request: httpx.Request) -> None:
        """Add what Kraken requires to a request that is final and sent next. Raises MayNotSendError."""
        nonce = self._nonce.next()
        secret = self._secrets.api_secret.get_secret_value()
        request.headers["api-key"] = self._secrets.api_key.get_secret_value()
        request.headers["api-nonce"] = nonce
        request.headers["api-sign"] = signature = sign(secret, request.url.raw_path, nonce)
        self._sent_of_late.append(signature)
        if otp := self._one_time_password():
            request.headers["api-otp"] = otp
            self._sent_of_late.append(otp)

    def without_sent(self, text: str) -> str:
        """Return `text` without the signatures and one-time passwords of recent requests, which it may quote."""
        return hide(text, sorted(self._sent_of_late, key=len, reverse=True))

    def _one_time_password(self) -> str | None:
        if self._secrets.totp_seed is not None:
            # pyotp refuses seeds of less than 112 bits, but many in use have 80. HMAC pads short keys with zeros. Bits
            # of the last letter beyond the last whole byte are not part of the key.
            written = self._secrets.totp_seed.get_secret_value()
            key = base64.b32decode(written + "=" * (-len(written) % 8)).ljust(
                SHORTEST_SEED_BYTES, b"\0"
            )
            return pyotp.TOTP(base64.b32encode(key).decode()).at(int(self._wall()))
        if self._secrets.otp is not None:
            return self._secrets.otp.get_secret_value()
        return None


def secret_texts(secrets: Secrets) -> tuple[str, ...]:
    """Return every text that must not be shown, to be removed from what the API says."""
    optional = (secrets.otp, secrets.totp_seed)
    return (
        secrets.api_key.get_secret_value(),
        base64.b64encode(secrets.api_secret.get_secret_value()).decode(),
        *(secret.get_secret_value() for secret in optional if secret is not None),
    )
