"""What each type of error means for an operator, in a sentence, and which runbook has the rest."""

from typing import Final, NamedTuple

RUNBOOKS: Final = "deploy/runbooks/"
"""Where the source has them; an exporter that runs does not know where its source can be read."""


class Advice(NamedTuple):
    """words: what the types that it is for have in them; they begin with `^` and end with `$`. examples: of them.

    runbook: its path in the source.
    """

    words: tuple[str, ...]
    examples: str
    meaning: str
    runbook: str


ADVICE: Final = (
    Advice(
        ("nonce",),
        "EAPI:Invalid nonce",
        "The API has seen a larger nonce from this key: another program uses it, or the clock was ahead before; the "
        "log says which (key_shared, nonce_behind). Give the exporter a key of its own.",
        f"{RUNBOOKS}KrakenCustodyNonceTrouble.md",
    ),
    Advice(
        ("ratelimit", "throttled", "toomanyrequests", "http429"),
        "http/429, EAPI:Rate limit exceeded, EService:Throttled",
        "More requests were sent from this address than the API allows. Polling pauses by itself; "
        "lower api.rate_limit.share if others share the address.",
        f"{RUNBOOKS}KrakenCustodyRateLimited.md",
    ),
    Advice(
        ("invalidkey", "signature", "lockout", "http401"),
        "http/401, InvalidKey, EAPI:Invalid key, EAPI:Invalid signature, EGeneral:Temporary lockout",
        "The API refuses the key. Check that key and secret belong together and are not revoked; "
        "the secret files are read again at each refusal and before each try.",
        f"{RUNBOOKS}KrakenCustodyCredentialRefused.md",
    ),
    Advice(
        ("httpblocked",),
        "http/blocked",
        "A gateway or firewall in front of the API refused the request: the key was not looked at. "
        "Check that the API may be reached from this address, and what a proxy on the way lets through; "
        "two different targets in a row pause all polling.",
        f"{RUNBOOKS}KrakenCustodyBlocked.md",
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
        f"{RUNBOOKS}KrakenCustodyPermissionDenied.md",
    ),
    Advice(
        ("transport",),
        "transport/timeout, transport/connect, transport/tls, transport/protocol",
        "No answer came. Check name resolution, proxy, certificates and firewall between this machine and the API.",
        f"{RUNBOOKS}KrakenCustodyTargetFailing.md",
    ),
    Advice(
        ("responseinvalid", "responsetoolarge"),
        "response/invalid, response/too_large",
        "The answer is not what the API documents. A proxy may have sent it; otherwise the API has changed.",
        f"{RUNBOOKS}KrakenCustodyTargetFailing.md",
    ),
    Advice(
        ("limitseries",),
        "limit/series",
        "Its balances would exceed polling.max_series. Raise that, or export fewer vaults.",
        f"{RUNBOOKS}KrakenCustodyTargetFailing.md",
    ),
    Advice(
        ("^internal$",),
        "internal",
        "A defect of this exporter, not of the API: its log has the traceback. Please report it.",
        f"{RUNBOOKS}KrakenCustodyDefect.md",
    ),
    Advice(
        ("",),
        "gateway/…, Unknown, http/5…, anything else",
        "The API, or a gateway in front of it, has failed or is under maintenance. It is tried again by itself; "
        "see status.kraken.com if it lasts.",
        f"{RUNBOOKS}KrakenCustodyTargetFailing.md",
    ),
)
"""The first that fits counts."""


def advice(type_: str, status: int | None = None) -> Advice:
    """Return what there is to say about errors of `type_`; where that is unknown, about their HTTP status."""
    found = _entry_for(type_)
    if found is ADVICE[-1] and status is not None:
        found = _entry_for("BadRequest" if status == 400 else f"http/{status}")
    return found


def _entry_for(type_: str) -> Advice:
    letters = f"^{''.join(filter(str.isalnum, type_.lower()))}$"
    return next(entry for entry in ADVICE if any(word in letters for word in entry.words))
