"""Signs requests to Kraken's custody API: nonce, signature, one-time password, as one `httpx.Auth`.

Kraken documents the formula with header nonces for the sibling APIs on the same gateway (Funding, Affiliate,
Embed); the custody pages name the headers.
"""

import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass

import httpx
import pyotp
from pydantic import SecretStr

from exporter.config import Secrets
from exporter.custody.errors import MayNotSendError
from exporter.custody.secret_forms import hide

SENT_OF_LATE = 16
"""Signatures and one-time passwords; as many requests are hardly ever under way."""
NANOSECONDS_IN = {"nanoseconds": 1, "microseconds": 1_000, "milliseconds": 1_000_000}


def sign(secret: bytes, target: bytes, nonce: str, body: bytes = b"") -> str:
    """Return base64(HMAC-SHA512(secret, target + SHA256(nonce + body))).

    `secret` is the decoded API secret. `target` is what stands on the request line: the path and, where there is
    one, `?` and the query, with every character encoded as it is sent.
    """
    digest = hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(hmac.digest(secret, target + digest, "sha512")).decode()


@dataclass(slots=True)
class NonceBounds:
    """Between which nonces those of every key have to be, in nanoseconds.

    above: a process before this one may have used any up to it. up_to: the one after it begins above that; None without
    a limit. highest: that was used.
    """

    above: int = 0
    up_to: int | None = None
    highest: int = 0


class Nonce:
    """The strictly increasing number that Kraken wants with each request of a key.

    It follows the wall clock, and steps by one where that stands still or goes back.
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
        """Return the decimal text of a number larger than any before. Raises MayNotSendError where none may be used."""
        bounds, divisor = self._bounds, self._divisor
        least = max(self._last.number, bounds.above // divisor) + 1
        number = max(least, self._wall_ns() // divisor)
        if bounds.up_to is not None and number > bounds.up_to // divisor:
            # The wall clock was set forward: nonces step until the bound has followed it.
            number = least
            if number > bounds.up_to // divisor:
                raise MayNotSendError
        self._last.number = number
        bounds.highest = max(bounds.highest, number * divisor)
        return str(number)


@dataclass(slots=True)
class _Last:
    """The last nonce of a key."""

    number: int = 0


class Nonces:
    """The nonces of every key that this process has used: Kraken never accepts a smaller one again.

    bounds: of all keys; may change at any time.
    """

    def __init__(self, wall_ns: Callable[[], int], bounds: NonceBounds | None = None) -> None:
        self.bounds = bounds or NonceBounds()
        self._wall_ns = wall_ns
        self._last: dict[SecretStr, _Last] = {}

    def of(self, api_key: SecretStr, unit: str) -> Nonce:
        """Return a source of nonces for `api_key` that count in `unit`, beyond any that were taken before."""
        last = self._last.setdefault(api_key, _Last())
        return Nonce(unit, self._wall_ns, last, self.bounds)


class KeyAuth(httpx.Auth):
    """Adds Kraken's headers to each attempt that a client sends.

    httpx asks for them when the request is final and about to be sent, so what is signed is what goes out and
    nonces leave in the order in which they were taken.
    """

    def __init__(self, secrets: Secrets, nonce: Nonce, wall: Callable[[], float]) -> None:
        self._secrets = secrets
        self._nonce = nonce
        self._wall = wall
        self._sent_of_late: deque[str] = deque(maxlen=SENT_OF_LATE)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign `request` and let it go; nothing in the answer makes it go again. Raises MayNotSendError."""
        nonce = self._nonce.next()
        secret = self._secrets.api_secret.get_secret_value()
        request.headers["api-key"] = self._secrets.api_key.get_secret_value()
        request.headers["api-nonce"] = nonce
        request.headers["api-sign"] = sign(secret, request.url.raw_path, nonce)
        self._sent_of_late.append(request.headers["api-sign"])
        if otp := self._one_time_password():
            request.headers["api-otp"] = otp
            self._sent_of_late.append(otp)
        yield request

    def without_sent(self, text: str) -> str:
        """Return `text` without the signatures and one-time passwords of the last requests, which it may repeat."""
        return hide(text, sorted(self._sent_of_late, key=len, reverse=True))

    def _one_time_password(self) -> str | None:
        if self._secrets.totp_seed is not None:
            # pyotp refuses a seed of less than 112 bits, and many in use have 80. HMAC fills a short key up with
            # zeros; that is done here before, in base32.
            seed = self._secrets.totp_seed.get_secret_value().ljust(32, "A")
            return pyotp.TOTP(seed).at(int(self._wall()))
        if self._secrets.otp is not None:
            return self._secrets.otp.get_secret_value()
        return None


def secret_texts(secrets: Secrets) -> tuple[str, ...]:
    """Return every text that must not be shown, so that it can be looked for in what the API says."""
    optional = (secrets.otp, secrets.totp_seed)
    return (
        secrets.api_key.get_secret_value(),
        base64.b64encode(secrets.api_secret.get_secret_value()).decode(),
        *(secret.get_secret_value() for secret in optional if secret is not None),
    )
