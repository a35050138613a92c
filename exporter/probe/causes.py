"""Why a request was refused: a table of what was seen, what it points to, and how to tell.

It tells apart key, secret, nonce, one-time password, rights and address list, and what is not the API's. What the API
says of a refused key is documented nowhere, so a row is looked for by the words of an error's type first and by its
status last; each row names what else it may be, the likeliest first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exporter.custody.errors import BLOCKED_TYPE, CustodyError, letters
from exporter.probe.known import CLOCK_TOLERANCE_SECONDS, Known, Reply


@dataclass(frozen=True, slots=True)
class Seen:
    """A failed request, and what is known besides."""

    error: CustodyError
    known: Known

    @property
    def type_words(self) -> str:
        """The error's type in letters."""
        return letters(self.error.type)

    @property
    def text(self) -> str:
        """All that the API says."""
        return f"{self.error.type} {self.error.message}"


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that may be wrong. name: stable. fits: whether it is what was seen.

    meaning: what it is. advice: how to tell, and what to do.
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
        "The API has locked this key, or this address, after too many refused requests.",
        "Stop everything that uses the key and wait 15 minutes: each further try begins the lockout anew. Then run "
        "the probe once.",
    ),
    Cause(
        "nonce_unit_coarse",
        _both(_nonce, _unit_is_coarse),
        "The API has seen a larger nonce from this key. The configured unit is coarser than nanoseconds, so the "
        "key was "
        "probably used with a finer one before, by a try-out or by another program.",
        "Remove `nonce` from this credential: nanoseconds are larger than any other unit. If that is refused as "
        "well, "
        "another program uses the key: create one for the exporter alone.",
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
        "elsewhere, "
        "or a clock was ahead when it was used before.",
        "Stop every other user of the key and run the probe again. If it is still refused, create a new key for the "
        "exporter alone: a nonce can never go back.",
    ),
    Cause(
        "otp_missing",
        _both(_otp, _otp_is("none")),
        "The key is protected by two-factor authentication, and no one-time password is configured.",
        "Best create a key without two-factor authentication, as nobody is there to type one. Or give the seed "
        "of its "
        "passwords in `totp_secret_file`, or its static password in `otp_file`.",
    ),
    Cause(
        "otp_wrong",
        _both(_otp, _otp_is("timed")),
        "The one-time password was refused: the seed in `totp_secret_file` belongs to another key, or a clock is "
        "wrong.",
        "See the step about the clock. If it is ok, set up two-factor authentication of the key anew and copy "
        "its seed: "
        "the text in base32, not the six digits. Or create a key without it.",
    ),
    Cause(
        "otp_wrong_static",
        _otp,
        "The static one-time password in `otp_file` was refused.",
        "Check that the key's second factor is a static password, and which. For one that changes every 30 "
        "seconds, use "
        "`totp_secret_file`. Or create a key without two-factor authentication.",
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
        "The signature is wrong because the secret is: it is not one of Kraken's, see the step about secrets.",
        "Copy the whole secret again, 88 characters on one line. If it is lost, create a new key: Kraken shows a "
        "secret "
        "only once.",
    ),
    Cause(
        "secret_wrong",
        _signature,
        "The API knows the key, but the signature is wrong: the secret belongs to another key.",
        "Compare key and secret with where they were copied from: both were shown together, once. If in doubt, "
        "create a "
        "new key. A proxy that rewrites paths breaks signatures too.",
    ),
    Cause(
        "key_damaged",
        _both(_key, _secret_is_unusual),
        "The API does not know the key, and the secret is not one of Kraken's: maybe they were confused, or both are "
        "incomplete. See the step about secrets.",
        "Put the key, which is the shorter one, where `api_key` is configured and the secret, 88 characters, where "
        "`api_secret` is. Then run the probe again.",
    ),
    Cause(
        "key_wrong",
        _key,
        "The API does not know the key.",
        "Check in Kraken's custody interface (Settings, Users, API users) that the key exists, was approved by the "
        "quorum and is not revoked, that it is a key for custody and not for trading, and that it was copied "
        "whole. Some "
        "APIs answer the same to an address that is not on the key's list, or to a one-time password that is "
        "missing or "
        "not wanted.",
    ),
    Cause(
        "refused",
        lambda seen: seen.error.status == 401,
        "The API refuses who asked, and does not say which of key, secret, one-time password and address is wrong.",
        "In this order: is the key the whole one, approved and not revoked; does the secret belong to it; does "
        "it have "
        "two-factor authentication; is this address on its list.",
    ),
    Cause(
        "challenge",
        _has_type(letters(BLOCKED_TYPE)),
        "A gateway or firewall in front of the API refused the request, before the key was looked at.",
        "The key is not the problem. Ask whoever runs the network or the proxy whether this machine may reach "
        "the API; "
        "if nothing in between is yours, ask Kraken's support to let this address through.",
    ),
    Cause(
        "rate_limited",
        lambda seen: seen.error.status == 429 or _rate_limit(seen),
        "More requests were sent from this address than the API allows.",
        "Others use the same address, or the exporter runs already. Wait a minute and run the probe again; then "
        "lower "
        "`api.rate_limit.share` to what is left for the exporter.",
    ),
    Cause(
        "denied",
        lambda seen: seen.error.status == 403 or "permission" in seen.type_words,
        "The API accepts the key, and denies it this.",
        "Give the API user the right to view this in Kraken's custody interface.",
    ),
    Cause(
        "parameters",
        lambda seen: seen.error.status == 400,
        "The API does not take these parameters.",
        "If the words above do not say why, paste the shape report into an issue.",
    ),
    Cause(
        "no_such_path",
        lambda seen: seen.error.status == 404 or "unknownmethod" in seen.type_words,
        "The API does not know this path: another revision of it, or a gateway that answers in its place.",
        "Check `api.base_url`. If it is right, paste the shape report into an issue.",
    ),
    Cause(
        "not_understood",
        _has_type("responseinvalid", "responsetoolarge"),
        "The answer is not what the API documents.",
        "If a proxy or portal is in between, look at who answered. Otherwise the API has changed: paste the "
        "shape report "
        "into an issue.",
    ),
    Cause(
        "tls",
        _has_type("transporttls"),
        "The connection could not be encrypted.",
        "See the step about TLS.",
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
"""The first that fits counts."""


def diagnose(reply: Reply, known: Known) -> Cause:
    """Return the likeliest cause of a reply that has an error."""
    assert reply.error is not None  # noqa: S101 - the caller asks about failures only
    seen = Seen(reply.error, known)
    return next(cause for cause in CAUSES if cause.fits(seen))
