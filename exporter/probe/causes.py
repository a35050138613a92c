"""Why a request was refused: a table of observations, their likely causes, and how to tell.

It distinguishes key, secret, nonce, one-time password, rights and address list, and failures that are not the API's.
The API's answers to a refused key are not documented, so rows match the words of an error's type first and its status
last; each row names the alternatives, the likeliest first.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from exporter.custody.errors import BLOCKED_TYPE, CustodyError, letters
from exporter.probe.known import CLOCK_TOLERANCE_SECONDS, Known, Reply


class Seen(Struct, frozen=True):
    """A failed request, and everything else that is known."""

    error: CustodyError
    known: Known

    @property
    def type_words(self) -> str:
        """The letters of the error's type."""
        return letters(self.error.type)

    @property
    def text(self) -> str:
        """The API's whole message."""
        return f"{self.error.type} {self.error.message}"


class Cause(Struct, frozen=True):
    """A possible cause.

    name: stable.
    fits: whether it explains what was seen.
    meaning: what is wrong.
    advice: how to tell, and what to do.
    """

    name: str
    fits: Callable[[Seen], bool]
    meaning: str
    advice: str


def _says(pattern: str) -> Callable[[Seen], bool]:
    found = re.compile(pattern, re.IGNORECASE)
    return lambda seen: bool(found.search(seen.text))


def _has_type(*words: str) -> Callable[[Seen], bool]:
    return lambda seen: any(word in seen.type_words for word in words)


def _both(*conditions: Callable[[Seen], bool]) -> Callable[[Seen], bool]:
    return lambda seen: all(condition(seen) for condition in conditions)


def _secret_is_unusual(seen: Seen) -> bool:
    return seen.known.subject.secret_problem is not None


def _unit_is_coarse(seen: Seen) -> bool:
    return seen.known.subject.nonce != "nanoseconds"


def _clock_is_behind(seen: Seen) -> bool:
    skew = seen.known.time.clock_skew
    return skew is not None and skew < -CLOCK_TOLERANCE_SECONDS


def _otp_is(kind: str) -> Callable[[Seen], bool]:
    return lambda seen: seen.known.subject.otp == kind


_nonce: Final = _has_type("nonce")
_otp: Final = _says(r"\b(invalid|missing|wrong)?otp\b|one.?time.?pass|(two|second).?factor|\b2fa\b")
_signature: Final = _has_type("signature")
_key: Final = _has_type("invalidkey", "unauthenticated", "unauthorized")
_address: Final = _says(r"\bip\b|ip.?address|address.{0,20}allowed|(white|allow).?list")
_rate_limit: Final = _has_type("ratelimit", "toomanyrequests", "throttled")

CAUSES: Final = (
    Cause(
        "locked_out",
        _has_type("lockout"),
        "The API has locked out this key, or this address, after too many refused requests.",
        "Stop everything that uses the key and wait 15 minutes: each further try restarts the lockout. Then run "
        "the probe once.",
    ),
    Cause(
        "nonce_unit_coarse",
        _both(_nonce, _unit_is_coarse),
        "The API has seen a larger nonce from this key. The configured unit is coarser than nanoseconds, so the "
        "key was probably used with a finer one before, in a trial or by another program.",
        "Remove `nonce` from this credential: nanoseconds are larger than any other unit. If they are refused "
        "too, another program uses the key: create one for the exporter alone.",
    ),
    Cause(
        "clock_behind",
        _both(_nonce, _clock_is_behind),
        "The API has seen a larger nonce from this key, and this machine's clock is behind the API's.",
        "Correct the clock (chronyc tracking, timedatectl) and run the probe again.",
    ),
    Cause(
        "nonce_behind",
        _nonce,
        "The API has seen a larger nonce from this key: another program uses it, this exporter runs with it "
        "elsewhere, or a clock was ahead when the key was used before.",
        "Stop every other user of the key and run the probe again. If it is still refused, create a new key for "
        "the exporter alone: a nonce can never go back.",
    ),
    Cause(
        "otp_missing",
        _both(_otp, _otp_is("none")),
        "The key is protected by two-factor authentication, and no one-time password is configured.",
        "Preferably create a key without two-factor authentication, since the exporter runs unattended. Or set "
        "`totp_secret_file` to a file with the seed of its passwords, or `otp_file` to one with its static "
        "password.",
    ),
    Cause(
        "otp_wrong",
        _both(_otp, _otp_is("timed")),
        "The one-time password was refused: the seed in `totp_secret_file` belongs to another key, or a clock is "
        "wrong.",
        "See the clock step. If the clock is right, set up two-factor authentication of the key again and copy "
        "its seed: the base32 text, not the six digits. Or create a key without it.",
    ),
    Cause(
        "otp_wrong_static",
        _otp,
        "The static one-time password in `otp_file` was refused.",
        "Check that the key's second factor is a static password, and which one. For one that changes every 30 "
        "seconds, use `totp_secret_file`. Or create a key without two-factor authentication.",
    ),
    Cause(
        "address_not_allowed",
        _address,
        "The key may not be used from this address.",
        "Add the address from which this machine, or its proxy or NAT, reaches the API to the key's address list.",
    ),
    Cause(
        "secret_damaged",
        _both(_signature, _secret_is_unusual),
        "The signature is wrong because the secret is not one of Kraken's: see the secrets step.",
        "Copy the whole secret again, 88 characters on one line. If it is lost, create a new key: Kraken shows a "
        "secret only once.",
    ),
    Cause(
        "secret_wrong",
        _signature,
        "The API knows the key, but the signature is wrong: the secret belongs to another key.",
        "Compare key and secret with their source: Kraken showed both together, once. If in doubt, create a new "
        "key. A proxy that rewrites paths breaks signatures too.",
    ),
    Cause(
        "key_damaged",
        _both(_key, _secret_is_unusual),
        "The API does not know the key, and the secret is not one of Kraken's: they may be swapped or incomplete."
        " See the secrets step.",
        "Put the key, which is the shorter one, where `api_key` is configured, and the secret, 88 characters, "
        "where `api_secret` is. Then run the probe again.",
    ),
    Cause(
        "key_wrong",
        _key,
        "The API does not know the key.",
        "Check in Kraken's custody interface (Settings, Users, API users) that the key exists, was approved by "
        "the quorum and is not revoked, that it is a key for custody and not for trading, and that all of it was "
        "copied. Some APIs answer the same if the address is not on the key's list, or if a one-time password is "
        "missing or not expected.",
    ),
    Cause(
        "refused",
        lambda seen: seen.error.status == 401,
        "The API refuses the request, and does not say whether key, secret, one-time password or address is "
        "wrong.",
        "Check in this order: is the key complete, approved and not revoked; does the secret belong to it; does "
        "it have two-factor authentication; is this address on its list.",
    ),
    Cause(
        "challenge",
        _has_type(letters(BLOCKED_TYPE)),
        "A gateway or firewall in front of the API refused the request before the key was checked.",
        "The key is not the problem. Ask whoever runs the network or the proxy whether this machine may reach the"
        " API. If nothing in between is yours, ask Kraken's support to let this address through.",
    ),
    Cause(
        "rate_limited",
        lambda seen: seen.error.status == 429 or _rate_limit(seen),
        "More requests were sent from this address than the API allows.",
        "Other programs use the same address, or the exporter is already running. Wait a minute and run the probe"
        " again; then lower `api.rate_limit.share` to what is left for the exporter.",
    ),
    Cause(
        "denied",
        lambda seen: seen.error.status == 403 or "permission" in seen.type_words,
        "The API accepts the key but denies it this.",
        "Give the API user the right to view this in Kraken's custody interface.",
    ),
    Cause(
        "parameters",
        lambda seen: seen.error.status == 400,
        "The API does not accept these parameters.",
        "If the message above does not say why, paste the shape report into an issue.",
    ),
    Cause(
        "no_such_path",
        lambda seen: seen.error.status == 404 or "unknownmethod" in seen.type_words,
        "The API does not know this path: it is another revision, or a gateway answers in its place.",
        "Check `api.base_url`. If it is right, paste the shape report into an issue.",
    ),
    Cause(
        "not_understood",
        _has_type("responseinvalid", "responsetoolarge"),
        "The answer is not what the API documents.",
        "If there is a proxy or portal in between, find out who answered. Otherwise the API has changed: paste "
        "the shape report into an issue.",
    ),
    Cause(
        "tls",
        _has_type("transporttls"),
        "The connection could not be encrypted.",
        "See the TLS step.",
    ),
    Cause(
        "no_answer",
        _has_type("transport"),
        "No answer came.",
        "Check firewall and proxy (HTTPS_PROXY, NO_PROXY) between this machine and the API.",
    ),
    Cause(
        "failure",
        lambda _: True,
        "The API or a gateway in front of it has failed or is under maintenance.",
        "Look at status.kraken.com and run the probe again later.",
    ),
)
"""The first one that fits is reported."""


def diagnose(reply: Reply, known: Known) -> Cause:
    """Return the likeliest cause of a reply that has an error."""
    assert reply.error is not None  # noqa: S101 - the caller asks about failures only
    seen = Seen(reply.error, known)
    return next(cause for cause in CAUSES if cause.fits(seen))
