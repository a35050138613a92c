"""What each type of error means for an operator, in a sentence, and which runbook has the rest."""

import functools
from typing import Final, NamedTuple


class Advice(NamedTuple):
    """words: what the types that it is for have in them; they begin with `^` and end with `$`. examples: of them.

    runbook: the alert whose runbook has the rest.
    """

    words: tuple[str, ...]
    examples: str
    meaning: str
    runbook: str


ADVICE: Final = (
    Advice(
        ("nonce",),
        "EAPI:Invalid nonce",
        "The API has seen a larger nonce from this key: another program uses it, or the clock was ahead before. "
        "The log says which (key_shared, nonce_behind). Create a key for the exporter alone.",
        "KrakenCustodyNonceTrouble",
    ),
    Advice(
        ("ratelimit", "throttled", "toomanyrequests", "http429"),
        "http/429, EAPI:Rate limit exceeded, EService:Throttled",
        "More requests were sent from this address than the API allows. Polling pauses and resumes automatically; "
        "lower api.rate_limit.share if others share the address.",
        "KrakenCustodyRateLimited",
    ),
    Advice(
        ("lockout",),
        "EGeneral:Temporary lockout",
        "The API has locked the key out for a while, after too many refused requests. Wait: each try prolongs it. "
        "Do not restart the exporter, and stop other programs that use the key.",
        "KrakenCustodyCredentialRefused",
    ),
    Advice(
        ("invalidkey", "signature", "http401"),
        "http/401, InvalidKey, EAPI:Invalid key, EAPI:Invalid signature",
        "The API refuses the key. Check that key and secret belong together and are not revoked. "
        "The secret files are read again after each refusal and before each try.",
        "KrakenCustodyCredentialRefused",
    ),
    Advice(
        ("httpblocked",),
        "http/blocked",
        "A gateway or firewall in front of the API refused the request before the key was checked. "
        "Check that this address may reach the API, and what a proxy in between allows. "
        "If two different targets in a row are blocked, all polling pauses.",
        "KrakenCustodyBlocked",
    ),
    Advice(
        (
            "permissiondenied",
            "badrequest",
            "invalidarguments",
            "unknownmethod",
            "http403",
            "http404",
        ),
        "PermissionDenied, BadRequest, http/403, http/404",
        "The API does not let this key see the organization or vault, or does not know its id. "
        "Check the id in the configuration and the rights of the API user.",
        "KrakenCustodyPermissionDenied",
    ),
    Advice(
        ("transport",),
        "transport/timeout, transport/connect, transport/tls, transport/protocol",
        "The API did not answer. Check name resolution, proxy, certificates and firewalls between "
        "this machine and the API.",
        "KrakenCustodyTargetFailing",
    ),
    Advice(
        ("responseinvalid", "responsetoolarge"),
        "response/invalid, response/too_large",
        "The answer is not what the API documents. A proxy may have sent it; otherwise, the API has changed. "
        "The target's page shows the shape of an invalid answer, for a bug report.",
        "KrakenCustodyTargetFailing",
    ),
    Advice(
        ("limitseries",),
        "limit/series",
        "The target's balances, tasks or whitelist would exceed polling.max_series. Raise that limit, or export "
        "fewer vaults.",
        "KrakenCustodyTooManySeries",
    ),
    Advice(
        ("^internal$",),
        "internal",
        "A defect in this exporter, not in the API. The log has the traceback; please report it.",
        "KrakenCustodyDefect",
    ),
    Advice(
        ("",),
        "gateway/…, Unknown, http/5…, anything else",
        "The API or a gateway in front of it has failed or is under maintenance. Requests are retried automatically; "
        "if this lasts, see status.kraken.com.",
        "KrakenCustodyTargetFailing",
    ),
)
"""The first one that fits is shown."""


# Called for every failing row of a page, mostly with the same arguments.
@functools.lru_cache(maxsize=1024)
def advice(type_: str, status: int | None = None) -> Advice:
    """Return the advice for an error type, or for its HTTP status if the type is unknown."""
    found = _entry_for(type_)
    if found is ADVICE[-1] and status is not None:
        found = _entry_for("BadRequest" if status == 400 else f"http/{status}")
    return found


def _entry_for(type_: str) -> Advice:
    letters = f"^{''.join(filter(str.isalnum, type_.lower()))}$"
    return next(entry for entry in ADVICE if any(word in letters for word in entry.words))
