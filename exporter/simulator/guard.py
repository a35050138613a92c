"""What Kraken checks before it answers: rate limit, key, address, signature, one-time password, nonce.

Written from Kraken's guides without the exporter's own signing code, so that the two check each other. All of it is
arithmetic over a given `now`.
"""

import hashlib
import hmac
import math
from base64 import b64decode, b64encode
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto


class Refusal(Enum):
    """Why a request is not answered."""

    OVER_LIMIT = auto()
    INVALID_KEY = auto()
    ADDRESS_NOT_ALLOWED = auto()
    INVALID_SIGNATURE = auto()
    INVALID_OTP = auto()
    INVALID_NONCE = auto()


class Guard:
    """The checks, the memory they need, and counts of what they saw.

    `secrets` maps each known api-key to its secret in base64. More than `limit` arrivals from one
    address in any `window` of seconds are refused (Kraken: 200 requests per 30 seconds per IP).
    `otp`, if not None, is what `api-otp` must be. `addresses` maps an api-key to the only addresses that
    may use it. `nonce_window`, in the unit of the nonces, is how far an unused nonce may be below the
    largest one of its key (Kraken: What is a nonce window?).

    Counts for tests and benchmarks:

    - `arrivals`: requests that came, refused or not
    - `largest_window`: the largest number of arrivals from one address in any sliding window
    - `refusals`: refused requests by reason
    - `polls`: arrivals by path, without the query
    - `largest_in_flight`: the largest number of simultaneous requests, by api-key
    """

    def __init__(
        self, secrets: Mapping[str, str], limit: int, window: float, otp: str | None = None
    ) -> None:
        self.secrets = dict(secrets)
        self.limit = limit
        self.window = window
        self.otp = otp
        self.nonce_window = 0
        self.addresses: dict[str, Collection[str]] = {}
        self.arrivals = 0
        self.largest_window = 0
        self.refusals: Counter[Refusal] = Counter()
        self.polls: Counter[str] = Counter()
        self.largest_in_flight: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)
        self._nonces: defaultdict[str, _Nonces] = defaultdict(_Nonces)

    @contextmanager
    def in_flight(self, api_key: str) -> Iterator[None]:
        """Count one request of `api_key` as in flight while the context lasts."""
        self._in_flight[api_key] += 1
        self.largest_in_flight[api_key] = max(
            self.largest_in_flight[api_key], self._in_flight[api_key]
        )
        try:
            yield
        finally:
            self._in_flight[api_key] -= 1

    def count(self, address: str, path: str, now: float) -> Refusal | None:
        """Count an arrival at `now` (monotonic seconds), and refuse it if it exceeds the limit.

        Two arrivals that are exactly `window` apart do not share a window. A refused request counts as well: a client
        that continues stays refused (Kraken: REST rate limits).
        """
        self.arrivals += 1
        self.polls[path] += 1
        recent = self._recent[address]
        recent.append(now)
        while recent[0] <= now - self.window:
            recent.popleft()
        self.largest_window = max(self.largest_window, len(recent))
        return self._noted(Refusal.OVER_LIMIT if len(recent) > self.limit else None)

    def retry_after(self, address: str, now: float) -> int:
        """Return the whole seconds after which `address` may call again, if it is silent until then."""
        recent = self._recent[address]
        if len(recent) < self.limit:
            return 0
        return max(0, math.ceil(recent[-self.limit] + self.window - now))

    def use_nonce(self, api_key: str, nonce: int) -> None:
        """Record that another program has used a nonce of `api_key`."""
        self._nonces[api_key].use(nonce, self.nonce_window)

    def authenticate(
        self, target: bytes, headers: Mapping[str, str], body: bytes, address: str = ""
    ) -> Refusal | None:
        """Authenticate the caller. A nonce counts as used only if everything else about its request is right.

        `target` is the path and query exactly as received, undecoded. `headers` are looked up by
        lower-case name.
        """
        return self._noted(self._refusal(target, headers, body, address))

    def _refusal(
        self, target: bytes, headers: Mapping[str, str], body: bytes, address: str
    ) -> Refusal | None:
        api_key = headers.get("api-key", "")
        nonce = headers.get("api-nonce", "")
        if api_key not in self.secrets:
            return Refusal.INVALID_KEY
        if address not in self.addresses.get(api_key, (address,)):
            return Refusal.ADDRESS_NOT_ALLOWED
        expected = signature(self.secrets[api_key], target, nonce, body)
        if not _same(headers.get("api-sign", ""), expected):
            return Refusal.INVALID_SIGNATURE
        if self.otp is not None and not _same(headers.get("api-otp", ""), self.otp):
            return Refusal.INVALID_OTP
        number = _unsigned_64_bit(nonce)
        nonces = self._nonces[api_key]
        if number is None or not nonces.allow(number, self.nonce_window):
            return Refusal.INVALID_NONCE
        nonces.use(number, self.nonce_window)
        return None

    def _noted(self, refusal: Refusal | None) -> Refusal | None:
        if refusal is not None:
            self.refusals[refusal] += 1
        return refusal


class _Nonces:
    """The nonces of a key that were used: the largest, and those within a window below it."""

    def __init__(self) -> None:
        self._largest = -1
        self._used: set[int] = set()

    def allow(self, nonce: int, window: int) -> bool:
        """Return whether `nonce` may be used now."""
        return nonce > self._largest - window and nonce not in self._used

    def use(self, nonce: int, window: int) -> None:
        self._largest = max(self._largest, nonce)
        self._used = {used for used in (*self._used, nonce) if used > self._largest - window}


def signature(secret: str, target: bytes, nonce: str, body: bytes = b"") -> str:
    """Return `api-sign` for a request (Kraken: Custody REST authentication).

    `secret` is base64 text; raises `binascii.Error` if it is not.
    """
    digest = hashlib.sha256(nonce.encode("latin-1") + body).digest()
    key = b64decode(secret, validate=True)
    return b64encode(hmac.digest(key, target + digest, "sha512")).decode("ascii")


def _same(given: str, expected: str) -> bool:
    # as bytes: compare_digest refuses text outside ASCII, which a header may carry
    return hmac.compare_digest(given.encode("latin-1"), expected.encode("latin-1"))


def _unsigned_64_bit(text: str) -> int | None:
    # isdigit alone would let other scripts' digits pass, int alone signs, blanks and underscores
    if not (text.isascii() and text.isdigit()):
        return None
    # the length first: int() of a very long text raises ValueError
    number = int(text) if len(text) <= 20 else 2**64
    return number if number < 2**64 else None
