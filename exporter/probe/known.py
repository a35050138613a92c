"""The state of the probe: the configuration, and the outcome of each request so far."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.config import OrganizationSettings
from exporter.custody.errors import BLOCKED_TYPE, CustodyError, Reaction, letters
from exporter.discovery import known as discovered
from exporter.discovery.known import Listed, Source
from exporter.resources.fields import InvalidRow
from exporter.resources.vaults import PAGE_ROWS
from exporter.turns import at_once

Scope = Literal["credential", "everything"]

NOT_LET_THROUGH: Final = "the API, or a gateway in front of it, does not let requests through"
TIME_IS_OVER: Final = "there was no time left: a probe takes at most 30 seconds for each credential"
CLOCK_TOLERANCE_SECONDS: Final = 5.0
"""Kraken requires a clock that is accurate to a few seconds."""
CLOCK_LIMIT_SECONDS: Final = 30.0
"""Skew above which nothing is signed: a nonce from a clock that is ahead cannot be taken back, and one-time passwords
change every 30 seconds."""


class Reply(Struct, frozen=True):
    """The outcome of one request.

    status, seconds: None if no answer came.
    clock_skew: seconds by which this machine's clock is ahead, None if unknown.
    limits: rate-limit headers of the answer.
    shape: of its document.
    error: None if it succeeded.
    result: what the question read from the answer.
    """

    status: int | None = None
    seconds: float | None = None
    clock_skew: float | None = None
    limits: Mapping[str, str] = field(default_factory=dict)
    shape: tuple[str, ...] = ()
    error: CustodyError | None = None
    result: object = None

    @property
    def succeeded(self) -> bool:
        """Whether the exporter can use the answer."""
        return self.error is None

    @property
    def is_denied(self) -> bool:
        """Whether the API denied permission; it answers the same for ids that do not exist."""
        return self.error is not None and self.error.denies_permission

    @property
    def is_bad_request(self) -> bool:
        """Whether the API refused the parameters."""
        return (
            self.error is not None
            and self.error.reaction is Reaction.BACK_OFF
            and (self.status == 400 or self._says("invalidarguments"))
        )

    @property
    def is_unknown(self) -> bool:
        """Whether the API does not know the path."""
        return self.error is not None and (self.status == 404 or self._says("unknownmethod"))

    def _says(self, word: str) -> bool:
        return self.error is not None and word in letters(self.error.type)

    @property
    def refuses_key(self) -> bool:
        """Whether the API refused the key, not the request: another try could lock the key out."""
        return self.error is not None and (
            self.error.reaction in (Reaction.PAUSE_CREDENTIAL, Reaction.LOCK_OUT)
            or self.error.refuses_nonce
        )

    @property
    def is_unanswered(self) -> bool:
        """Whether no answer came, or a 5xx status."""
        return self.error is not None and (self.status is None or self.status >= 500)

    @property
    def stops(self) -> Scope | None:
        """What must not be asked any more: anything with this credential, or anything at all; None for neither."""
        if self.error is None:
            return None
        if self.refuses_key:
            return "credential"
        is_of_all = self.error.reaction is Reaction.PAUSE_ALL or self.error.type == BLOCKED_TYPE
        return "everything" if is_of_all else None


class Listing(Struct, frozen=True):
    """The contents of a list, or of its first page.

    total: number of entries of the whole list, None if unknown.
    rejected: rows that could not be read.
    parameter: the list's field name for organization ids.
    form: format of organization ids, empty if there are none.
    """

    found: tuple[Listed, ...]
    total: int | None = None
    rejected: tuple[InvalidRow, ...] = ()
    parameter: str = ""
    form: str = ""


class Subject(Struct, frozen=True):
    """A credential to probe, and its configuration.

    organizations: the configured ones that are polled with it.
    has_discovery: whether what it lists is polled too.
    id_format: configured format of organization ids.
    nonce: unit of nonces.
    otp: kind of one-time password.
    secret_problem: why the secret cannot be one of Kraken's, None if it can.
    open_files: secret files that every user of this machine can read.
    max_in_flight: maximum concurrent requests.
    collect: what is read with it.
    """

    credential: str
    organizations: tuple[OrganizationSettings, ...] = ()
    has_discovery: bool = False
    id_format: Literal["spaced", "compact"] = "spaced"
    nonce: str = "nanoseconds"
    otp: Literal["none", "static", "timed"] = "none"
    secret_problem: str | None = None
    open_files: tuple[str, ...] = ()
    max_in_flight: int = 1
    collect: frozenset[str] = frozenset(("balances",))


class Known(Struct, frozen=True):
    """Everything known so far.

    replies: by question.
    omitted: why a question was not asked, by question.
    time: the reply to the unsigned request.
    stopped: why nothing is asked with this credential, empty if something is.
    """

    subject: Subject
    time: Reply = Reply()
    stopped: str = ""
    replies: Mapping[str, Reply] = field(default_factory=dict)
    omitted: Mapping[str, str] = field(default_factory=dict)

    def having(self, question: str, reply: Reply) -> "Known":
        """Return what is known after the answer to a question."""
        return replace(self, replies={**self.replies, question: reply})

    def without(self, question: str, reason: str) -> "Known":
        """Return what is known after a question was left out."""
        return replace(self, omitted={**self.omitted, question: reason})

    def succeeded(self, question: str) -> bool:
        """Whether a question was asked and answered."""
        return question in self.replies and self.replies[question].succeeded

    def is_denied(self, question: str) -> bool:
        """Whether a question was asked, and the API denied permission."""
        return question in self.replies and self.replies[question].is_denied

    @property
    def refusal(self) -> Reply | None:
        """The answer that refused the key, if one did."""
        return next((it for it in self.replies.values() if it.refuses_key), None)

    @property
    def needs_organizations(self) -> bool:
        """Whether only a list says which organizations to poll."""
        return self.subject.has_discovery and not self.subject.organizations

    @property
    def needs_vaults(self) -> bool:
        """Whether only a list says which vaults of some organization to poll."""
        return self.subject.has_discovery and not (
            self.subject.organizations and all(it.vaults for it in self.subject.organizations)
        )

    @property
    def is_accepted(self) -> bool:
        """Whether the API has accepted the key: it answered a request, or denied only permission."""
        return any(
            it.succeeded or it.is_denied or it.is_bad_request for it in self.replies.values()
        )

    @property
    def reason_to_stop(self) -> str:
        """Why nothing more may be asked with this credential, empty if something may."""
        if self.stopped:
            return self.stopped
        replies = tuple(self.replies.values())
        if self.refusal:
            return "the key was refused, and another try could lock it out"
        if any(it.stops for it in replies):
            return NOT_LET_THROUGH
        if self.is_silent:
            return "two requests in a row had no answer"
        return ""

    @property
    def is_silent(self) -> bool:
        """Whether the last two requests had no answer."""
        last = tuple(self.replies.values())[-2:]
        return len(last) == 2 and all(it.is_unanswered for it in last)

    def listing(self, question: str) -> Listing | None:
        """Return the contents of a list, None if it was not answered."""
        reply = self.replies.get(question)
        return reply.result if reply and isinstance(reply.result, Listing) else None

    @property
    def id_format(self) -> str:
        """The format of organization ids: as configured, unless the API understands only the other one."""
        forms = ("spaced", "compact")
        works = [form for form in forms if self.succeeded(f"organization_{form}")]
        return self.subject.id_format if self.subject.id_format in works or not works else works[0]

    @property
    def organizations(self) -> tuple[Listed, ...]:
        """The organizations that the key lists, or else the configured ones."""
        if (listing := self.listing("organizations")) and listing.found:
            return listing.found
        return tuple(Listed(it.id, it.name) for it in self.subject.organizations)

    @property
    def organization_parameter(self) -> str:
        """The name of the query parameter for an organization, empty if unknown or not needed.

        Without it the API lists the vaults of the organization that the key belongs to.
        """
        listing = self.listing("organizations")
        return listing.parameter if listing and len(listing.found) > 1 else ""

    @property
    def unread_vaults(self) -> int:
        """How many vaults are on further pages of the lists."""
        lists = [listing for name in VAULT_LISTS if (listing := self.listing(name))]
        return sum(max(0, it.total - len(it.found)) for it in lists if it.total is not None)

    @property
    def has_all_vaults(self) -> bool:
        """Whether all lists of vaults were requested, and have no further page."""
        lists = [listing for name in VAULT_LISTS if (listing := self.listing(name))]
        may_go_on = any(it.total is None and len(it.found) >= PAGE_ROWS for it in lists)
        is_asked_for = len(self.organizations) <= len(VAULT_LISTS)
        return is_asked_for and not may_go_on and not self.unread_vaults

    @property
    def listed_vaults(self) -> tuple[Listed, ...]:
        """The vaults that the key lists, of all requested organizations."""
        found = (self.listing(name) for name in VAULT_LISTS)
        return tuple(vault for listing in found if listing for vault in listing.found)

    @property
    def configured_vaults(self) -> tuple[Listed, ...]:
        """The vaults that the configuration names."""
        return tuple(
            Listed(vault.id, vault.name) for it in self.subject.organizations for vault in it.vaults
        )

    @property
    def lists(self) -> discovered.Known:
        """What the key lists, in the form of discovery."""
        lists: discovered.Known = {}
        credential = self.subject.credential
        sources = [(Source(credential), "organizations")]
        if len(self.organizations) == 1 or self.organization_parameter:
            sources += [
                (Source(credential, organization.id), question)
                for organization, question in zip(self.organizations, VAULT_LISTS, strict=False)
            ]
        for source, question in sources:
            if listing := self.listing(question):
                lists = at_once(discovered.with_list(lists, source, listing.found, 0.0))
        return lists


VAULT_LISTS: Final = ("vaults", "vaults_2", "vaults_3")
"""Questions for lists of vaults: of the key's own or the first organization, and of two more."""
