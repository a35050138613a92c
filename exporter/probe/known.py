"""What is known while the probe goes on: what is configured, and what came of each request until now."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

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
"""Kraken asks for a clock that is right to a few seconds."""
CLOCK_LIMIT_SECONDS: Final = 30.0
"""From where on nothing is signed: a nonce from a clock that is ahead cannot be taken back, and one-time passwords
change as often."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request.

    status, seconds: None where no answer came. clock_skew: seconds by which this machine's clock is ahead, None where
    the answer does not say. limits: its headers about the rate limit. shape: of its document. error: None where it
    succeeded. result: what it said then, as the question reads it.
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
        """Whether the answer was one that the exporter can use."""
        return self.error is None

    @property
    def is_denied(self) -> bool:
        """Whether the API answered that the key may not; it says the same of what there is not."""
        return self.error is not None and self.error.denies_permission

    @property
    def is_bad_request(self) -> bool:
        """Whether the API did not like the parameters."""
        return (
            self.error is not None
            and self.error.reaction is Reaction.BACK_OFF
            and (self.status == 400 or self._says("invalidarguments"))
        )

    @property
    def is_unknown(self) -> bool:
        """Whether nobody there knows the path."""
        return self.error is not None and (self.status == 404 or self._says("unknownmethod"))

    def _says(self, word: str) -> bool:
        return self.error is not None and word in letters(self.error.type)

    @property
    def refuses_key(self) -> bool:
        """Whether the API refused who asked, and not what was asked for: the same again could lock the key out."""
        return self.error is not None and (
            self.error.reaction in (Reaction.PAUSE_CREDENTIAL, Reaction.LOCK_OUT)
            or self.error.refuses_nonce
        )

    @property
    def is_unanswered(self) -> bool:
        """Whether nobody answered, or a server said that it had failed."""
        return self.error is not None and (self.status is None or self.status >= 500)

    @property
    def stops(self) -> Scope | None:
        """Return what must not be asked any more: nothing of this credential, nothing at all; None for neither."""
        if self.error is None:
            return None
        if self.refuses_key:
            return "credential"
        is_of_all = self.error.reaction is Reaction.PAUSE_ALL or self.error.type == BLOCKED_TYPE
        return "everything" if is_of_all else None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list, or the first page of one, says.

    total: how many there are in all, None where it does not say. rejected: rows that could not be read. parameter: what
    it calls an id of organizations. form: how they are written there, empty where there are none.
    """

    found: tuple[Listed, ...]
    total: int | None = None
    rejected: tuple[InvalidRow, ...] = ()
    parameter: str = ""
    form: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A credential that is tried, and what the configuration says of it.

    organizations: that are polled with it. has_discovery: whether what it lists is polled too. id_format: how ids of
    organizations are written. nonce: the unit. otp: which one-time password is sent. secret_problem: why the secret
    cannot be one of Kraken's, None where it can. open_files: secret files that every user of this machine can read.
    max_in_flight: requests at once.
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


@dataclass(frozen=True, slots=True)
class Known:
    """Everything until now.

    replies: by the question's name. omitted: why a question was not asked, likewise. time: the unsigned request's.
    stopped: why nothing at all is asked with this credential, empty where something is.
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
        """Whether a question was asked, and the API answered that the key may not."""
        return question in self.replies and self.replies[question].is_denied

    @property
    def refusal(self) -> Reply | None:
        """The answer that refused the key, if one did."""
        return next((it for it in self.replies.values() if it.refuses_key), None)

    @property
    def needs_organizations(self) -> bool:
        """Whether only a list can say which organizations are to be polled."""
        return self.subject.has_discovery and not self.subject.organizations

    @property
    def needs_vaults(self) -> bool:
        """Whether only a list can say which vaults of some organization are to be polled."""
        return self.subject.has_discovery and not (
            self.subject.organizations and all(it.vaults for it in self.subject.organizations)
        )

    @property
    def is_accepted(self) -> bool:
        """Whether the API has shown that it takes the key: it answered a request, or said that the key may not."""
        return any(
            it.succeeded or it.is_denied or it.is_bad_request for it in self.replies.values()
        )

    @property
    def reason_to_stop(self) -> str:
        """Why nothing more may be asked with this credential, empty where something may."""
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
        """Return what a list said, None where it was not answered."""
        reply = self.replies.get(question)
        return reply.result if reply and isinstance(reply.result, Listing) else None

    @property
    def id_format(self) -> str:
        """How ids of organizations are written: as configured, unless the API understands only the other form."""
        forms = ("spaced", "compact")
        works = [form for form in forms if self.succeeded(f"organization_{form}")]
        return self.subject.id_format if self.subject.id_format in works or not works else works[0]

    @property
    def organizations(self) -> tuple[Listed, ...]:
        """The organizations that the key lists, else those that are configured."""
        if (listing := self.listing("organizations")) and listing.found:
            return listing.found
        return tuple(Listed(it.id, it.name) for it in self.subject.organizations)

    @property
    def organization_parameter(self) -> str:
        """What the API calls an organization in a query, empty where that is not known or not needed.

        Without it the API lists the vaults of the organization that the key belongs to, which it does not name.
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
        """Whether all lists of vaults were asked for, and have no further page."""
        lists = [listing for name in VAULT_LISTS if (listing := self.listing(name))]
        may_go_on = any(it.total is None and len(it.found) >= PAGE_ROWS for it in lists)
        is_asked_for = len(self.organizations) <= len(VAULT_LISTS)
        return is_asked_for and not may_go_on and not self.unread_vaults

    @property
    def listed_vaults(self) -> tuple[Listed, ...]:
        """The vaults that the key lists, of all organizations that were asked for."""
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
        """What the key lists, as discovery knows it."""
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
                lists = at_once(discovered.heard(lists, source, listing.found, 0.0))
        return lists


VAULT_LISTS: Final = ("vaults", "vaults_2", "vaults_3")
"""The questions for lists of vaults: of the key's own organization, or the first, and of two more."""
