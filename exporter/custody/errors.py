"""What can go wrong with a request, and the one table that says what to do about it.

Every failure of an exchange with the API leaves this package as a `CustodyError`. Its `type` is the label of
`kraken_custody_api_errors_total`; its `reaction` is all that a caller needs to act on:

    BadRequest, PermissionDenied, …   problem+json, by the name after `tag:kraken.com,2025:`
    EAPI:Invalid nonce, …             the legacy envelope, by its first entry
    http/502, …                       an error status without either of them
    http/blocked                      something in front of the API refused the request, not the API
    transport/…                       no answer
    response/…                        an answer that is not what the API documents
    limit/series                      an answer that exceeds `polling.max_series`
    internal                          a defect of this exporter; the log has the traceback
"""

from collections.abc import Container
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from exporter.custody.secret_forms import hide


class Reaction(Enum):
    """What a failed request asks of the poller."""

    RETRY = auto()
    """Try again in the same poll, after a moment."""
    AGAIN = auto()
    """Try again in the same poll, at once, but only once."""
    WAIT = auto()
    """Nothing: the next poll comes when it is due."""
    SLOW_DOWN = auto()
    """Poll this target half as often until it succeeds: the refusal is not the API's, or gives no reason."""
    BACK_OFF = auto()
    """Poll this target less and less often until it succeeds."""
    PAUSE_CREDENTIAL = auto()
    """Send nothing with this credential for a while."""
    LOCK_OUT = auto()
    """Send nothing with this credential for a quarter of an hour, not even on demand: each try would restart the
    lockout."""
    PAUSE_ALL = auto()
    """Send nothing at all for a while."""


class Delivery(Enum):
    """How far a request got, which decides how long it counts against a rate limit."""

    ANSWERED = auto()
    UNANSWERED = auto()
    NEVER_SENT = auto()


class CustodyError(Exception):
    """A request that failed.

    type: the error's name, see above; a small, bounded set.
    status: the HTTP status, None without a response.
    reaction: what the poller should do.
    message: from the API or a library, cleaned and cut, without secrets; may be empty.
    retry_after: seconds until the next request that the API asked for, None if it did not say.
    core_error: `data.core_error` of an `Unknown` problem, None elsewhere.
    delivery: whether the API may have counted the request.
    shape: of an answer not in the documented form (`shape.shape_of`); empty elsewhere.
    """

    def __init__(  # noqa: PLR0913 - a plain record; each field is named where it is made
        self,
        type: str,  # noqa: A002 - the name that the metric's label and the API's problem documents have
        *,
        status: int | None = None,
        reaction: Reaction = Reaction.WAIT,
        message: str = "",
        retry_after: float | None = None,
        core_error: str | None = None,
        delivery: Delivery = Delivery.ANSWERED,
        shape: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type
        self.status = status
        self.reaction = reaction
        self.message = message
        self.retry_after = retry_after
        self.core_error = core_error
        self.delivery = delivery
        self.shape = shape

    @property
    def may_be_mended_by_secrets(self) -> bool:
        """Whether the request could succeed with other secrets: the API refused the key or its permissions."""
        return self.reaction is Reaction.PAUSE_CREDENTIAL or self.denies_permission

    @property
    def denies_permission(self) -> bool:
        """Whether the API itself says that the key lacks the permission."""
        return self.reaction is Reaction.BACK_OFF and (
            self.status == 403 or "permission" in self.type.lower()
        )

    @property
    def refuses_nonce(self) -> bool:
        """Whether the API found the request's nonce too small."""
        return "nonce" in self.type.lower()


class MayNotSendError(Exception):
    """A request was not sent, which is not a failure: another process may be polling instead of this one."""


DOCUMENTED_PROBLEMS: Final = (
    (400, "BadRequest"),
    (403, "PermissionDenied"),
    (500, "gateway/ReadUpstream"),
    (500, "gateway/WriteResponse"),
    (500, "gateway/Connect"),
    (500, "gateway/Fatal"),
    (500, "Unknown"),
    (503, "gateway/Connect"),
)
"""Every (HTTP status, problem) that Kraken's page "List balances" documents."""

DOCUMENTED_LEGACY: Final = (
    "EAPI:Invalid key",
    "EAPI:Invalid nonce",
    "EAPI:Invalid signature",
    "EAPI:Rate limit exceeded",
    "EAuth:Rate limit exceeded",
    "EAuth:Too many requests",
    "EGeneral:Internal error",
    "EGeneral:Invalid arguments",
    "EGeneral:Permission denied",
    "EGeneral:Temporary lockout",
    "EGeneral:Too many requests",
    "EGeneral:Unknown method",
    "EService: Throttled",
    "EService:Busy",
    "EService:Throttled",
    "EService:Unavailable",
)
"""The errors of Kraken's guides "API errors" and "Spot REST rate limits" that a read may meet; they come with 200."""

TRANSPORT_TYPES: Final = (
    "transport/timeout",
    "transport/connect",
    "transport/tls",
    "transport/protocol",
)
RESPONSE_TYPES: Final = ("response/invalid", "response/too_large")
SERIES_LIMIT_TYPE: Final = "limit/series"
BLOCKED_TYPE: Final = "http/blocked"
INTERNAL_TYPE: Final = "internal"

FORESEEN: Final[tuple[tuple[int | None, str], ...]] = (
    *DOCUMENTED_PROBLEMS,
    *((200, type_) for type_ in DOCUMENTED_LEGACY),
    (403, BLOCKED_TYPE),
    *((None, type_) for type_ in TRANSPORT_TYPES),
    *((200, type_) for type_ in (*RESPONSE_TYPES, SERIES_LIMIT_TYPE)),
    (None, INTERNAL_TYPE),
)
"""Every (HTTP status, type) of an error that is known in advance; the status is None without a response."""


class Rule(Struct, frozen=True):
    """One line of the table: it matches an answer with one of the words in its type, or one of the statuses.

    words: lower case, letters only, as `letters` returns them.
    """

    reaction: Reaction
    words: tuple[str, ...] = ()
    statuses: Container[int] = ()


REFUSED_BY_API: Final = Rule(
    Reaction.BACK_OFF,
    ("permissiondenied", "invalidarguments", "unknownmethod"),
    range(400, 500),
)
RULES: Final = (
    Rule(Reaction.PAUSE_ALL, ("ratelimit", "toomanyrequests", "throttled"), (429,)),
    # Before the credential's rule: some gateways send a bad nonce with status 401.
    Rule(Reaction.AGAIN, ("nonce",)),
    Rule(Reaction.LOCK_OUT, ("lockout",)),
    Rule(Reaction.PAUSE_CREDENTIAL, ("invalidkey", "signature"), (401,)),
    # Whatever its status: the same request would be blocked again a second later.
    Rule(Reaction.SLOW_DOWN, ("httpblocked",)),
    Rule(
        Reaction.RETRY,
        ("eservice", "internalerror", "edatabase"),
        # Request Timeout, Misdirected Request, Too Early (RFC 9110 and 8470): the client may retry.
        {408, 421, 425, *range(500, 600)},
    ),
    REFUSED_BY_API,
    # A redirect, a success without balances, an unknown legacy error.
    Rule(Reaction.SLOW_DOWN, (), range(1000)),
)
"""The first matching line decides. The status takes precedence over the type, as `gateway/Connect` comes with both 500
and 503; only words that say more than the status come first."""


def letters(type_: str) -> str:
    """Return the letters of a type in lower case, in which the words of rules are searched."""
    return "".join(filter(str.isalpha, type_.lower()))


def reaction_to(status: int, type_: str, *, is_from_api: bool = True) -> Reaction:
    """Return the reaction to an answer with HTTP `status` that was classified as `type_`.

    is_from_api: whether the API itself sent the answer. A gateway's "not found" says nothing about the target, and may
        be gone in a minute.
    """
    written = letters(type_)
    rule = next(
        rule
        for rule in RULES
        if status in rule.statuses or any(word in written for word in rule.words)
    )
    if rule is REFUSED_BY_API and not is_from_api:
        return Reaction.SLOW_DOWN
    return rule.reaction


OTHER: Final = "other"


class BoundedNames:
    """Passes at most `limit` unknown names; any further one becomes `other`.

    Names come from the API and become label values: a faulty gateway with an id in each error's name would grow the
    exposition without limit.
    """

    def __init__(self, known: tuple[str, ...] = (), limit: int = 64) -> None:
        self._known = frozenset(known)
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return `name`, or `other` after too many unknown names."""
        if name in self._known or name in self._seen:
            return name
        if len(self._seen) >= self._limit:
            return OTHER
        self._seen.add(name)
        return name


LONGEST_TEXT: Final = 10_000
LONGEST_FORM: Final = 12
"""Maximum characters of one escaped character of a secret."""


class Cleaner:
    """Makes text from the API or a library safe for a label, a log line or a page.

    Control characters become spaces, and known secrets are hidden in any form: the API may quote the key that it
    refuses.
    """

    def __init__(self, *secrets: str) -> None:
        self._longest_first: list[str] = []
        self.learn(*secrets)

    def learn(self, *secrets: str) -> None:
        """Hide these as well; no secret is forgotten, since a replaced one may still be quoted."""
        # The longest first: if one is part of another, hiding it would keep the other from being found.
        known = {secret for secret in (*self._longest_first, *secrets) if secret}
        self._longest_first = sorted(known, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return `text` with the secrets hidden."""
        return hide(text, self._longest_first)

    def __call__(self, text: str, length: int) -> str:
        """Return `text` cleaned, in at most `length` characters."""
        # Searching all of a long answer would take seconds.
        is_cut, text = len(text) > LONGEST_TEXT, text[:LONGEST_TEXT]
        text = self.hide(text)
        if is_cut:
            # It may end within a secret.
            longest = max(map(len, self._longest_first), default=0)
            text = text[: max(0, len(text) - longest * LONGEST_FORM)]
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= length else text[: length - 1] + "…"
