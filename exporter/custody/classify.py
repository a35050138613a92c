"""Classifies failed responses: problem documents, legacy envelopes and bare statuses of the API.

And what others answer: gateways and proxies between this machine and the API, each with its own form of errors.
"""

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct

from exporter.custody.errors import (
    BLOCKED_TYPE,
    DOCUMENTED_LEGACY,
    DOCUMENTED_PROBLEMS,
    OTHER,
    BoundedNames,
    CustodyError,
    reaction_to,
)

PROBLEM_TAG: Final = re.compile(r"tag:kraken\.com,\d{4}:(.+)", re.DOTALL)
THROTTLED_UNTIL: Final = re.compile(r"^(EService:\s*Throttled):\s*(\d{9,11})$")
"""`EService: Throttled: <unix time>`: Kraken's guide "Spot REST rate limits"."""
LEGACY_NAME: Final = re.compile(r"[EW][A-Z][A-Za-z]*:\s*\S.*", re.DOTALL)
"""`EGeneral:Permission denied`, `WGeneral:Slow`: severity, category, text."""
PROBLEM_NAME: Final = re.compile(r"(?:[a-z]+/)?[A-Z][a-z]+(?:[A-Z][a-z]+)+")
"""`PermissionDenied`, `gateway/ReadUpstream`: what follows the API's tag."""
ABSOLUTE_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
HTML_BEGINS: Final = re.compile(rb"\s*(?:<!doctype html|<html|<head|<body)\b", re.IGNORECASE)
# No `<` within: each attempt ends at the next tag, so that the time is linear in the length of the page.
HTML_TITLE: Final = re.compile(rb"<title(?:\s[^<>]*)?>([^<]*)", re.IGNORECASE)
MOST_ENTRIES: Final = 1000
"""Maximum errors read from an envelope; real ones have a few."""
NAME_LENGTH: Final = 100
MESSAGE_LENGTH: Final = 200
PAGE_LENGTH: Final = 16 * 1024
"""Bytes of a page that are searched for its title."""
LONGEST_WAIT_DIGITS: Final = 10


class Unreadable(Struct, frozen=True):
    """In place of the document of an answer that has none.

    type: of the error, if nothing else is wrong.
    problem: what is wrong with the answer.
    page: the beginning of its body, at least PAGE_LENGTH bytes if it is that long; empty if it cannot be decoded.
    """

    type: str
    problem: str
    page: bytes = b""


class Answer(Struct, frozen=True):
    """A response.

    headers: names in lower case.
    document: the body's JSON value, or Unreadable.
    received_at: when its headers arrived, in Unix seconds.
    """

    status: int
    headers: Mapping[str, str]
    document: object
    received_at: float

    @property
    def sent_at(self) -> float:
        """When it was sent, in Unix seconds by the sender's clock, or by ours if it has no date.

        Times in a response are by the server's clock. If that is an hour off, a pause of a second must not last an
        hour.
        """
        sent_at = unix_time(self.headers.get("date", ""))
        return self.received_at if sent_at is None else sent_at

    @property
    def is_html(self) -> bool:
        """Whether it is an HTML page, which the API never sends."""
        if not isinstance(self.document, Unreadable):
            return False
        media_type = self._media_type
        return media_type in ("text/html", "application/xhtml+xml") or bool(
            HTML_BEGINS.match(self.document.page.removeprefix(b"\xef\xbb\xbf"))
        )

    @property
    def is_from_api(self) -> bool:
        """Whether the API may have sent it, as far as can be told: it answers in JSON, and tags its problems."""
        match self.document:
            case Unreadable():
                return False
            case {"type": str(uri)} if ABSOLUTE_URI.fullmatch(uri):
                return bool(PROBLEM_TAG.fullmatch(uri)) or uri == "about:blank"
        return True

    @property
    def is_blocked(self) -> bool:
        """Whether something in front of the API refused the request."""
        # Rate limits and outages count as the API's, even if a gateway answers with its own page.
        if self.status in (429, 503):
            return False
        # Cloudflare marks its challenges with this header.
        if "cf-mitigated" in self.headers:
            return True
        is_readable = not isinstance(self.document, Unreadable)
        return self.status == 403 and (not self.is_from_api if is_readable else self.is_html)

    @property
    def text(self) -> str:
        """The title of an HTML page or plain text; empty for anything else."""
        if not isinstance(self.document, Unreadable):
            return ""
        page = self.document.page[:PAGE_LENGTH]
        if self.is_html:
            title = HTML_TITLE.search(page)
            return html.unescape(title[1].decode(errors="replace")) if title else ""
        if self._media_type in ("", "text/plain"):
            # Invalid text is left out, except a character cut at the end of the page.
            text = page.decode(errors="ignore")
            return text if len(text.encode()) > len(page) - 4 else ""
        return ""

    @property
    def _media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Classifier:
    """Names the failures of all clients of the process, so that the number of names is bounded."""

    def __init__(self) -> None:
        self._type_names = BoundedNames(
            known=(*(name for _, name in DOCUMENTED_PROBLEMS), *DOCUMENTED_LEGACY)
        )
        self._core_errors = BoundedNames()

    def failure(self, answer: Answer, clean: Callable[[str, int], str]) -> CustodyError | None:
        """Return the failure that `answer` reports, None if it succeeded.

        The document takes precedence over the status: legacy envelopes carry errors with status 200 too.
        """
        found = _block(answer) or _problem(answer) or _envelope(answer) or _bare_status(answer)
        if found is None:
            return None
        # Our own names are few; the API's are unbounded.
        name = clean(found.name, NAME_LENGTH) or OTHER
        type_ = name if found.is_ours else self._type_names(name)
        core_error = found.core_error and self._core_errors(
            clean(found.core_error, NAME_LENGTH) or OTHER
        )
        return CustodyError(
            type_,
            status=answer.status,
            # By the unbounded name: a rate limit is one even if it is the 65th name.
            reaction=reaction_to(answer.status, name, is_from_api=answer.is_from_api),
            message=clean(found.words, MESSAGE_LENGTH),
            retry_after=_retry_after(answer) if found.retry_after is None else found.retry_after,
            core_error=core_error,
        )


class _Finding(Struct, frozen=True):
    """A failure as reported, before it is cleaned.

    is_ours: whether the name is this exporter's, not the API's.
    """

    name: str
    words: str
    core_error: str | None = None
    retry_after: float | None = None
    is_ours: bool = False


def _block(answer: Answer) -> _Finding | None:
    if not answer.is_blocked:
        return None
    return _Finding(BLOCKED_TYPE, answer.text or _told(answer.document), is_ours=True)


def _problem(answer: Answer) -> _Finding | None:
    """Kraken2025 problem document (RFC 7807), whatever the status."""
    match answer.document:
        case {"type": str(uri), **members} if tag := PROBLEM_TAG.fullmatch(uri):
            data = members.get("data")
            core_error = data.get("core_error") if isinstance(data, dict) else None
            message = data.get("message") if isinstance(data, dict) else None
            words = (members.get("detail"), message, members.get("title"))
            return _Finding(
                name=tag[1],
                words=next((text for text in words if isinstance(text, str) and text), ""),
                core_error=core_error if isinstance(core_error, str) and core_error else None,
            )
    return None


def _envelope(answer: Answer) -> _Finding | None:
    """The envelope `{"error": [...]}`; entries that begin with `W` are warnings, not failures.

    The older custody API has objects as entries, under `error` or `errors`. Gateways have a string or an object instead
    of the array. An error without a name in the API's form is named after the status, if that is an error.
    """
    if not isinstance(answer.document, dict):
        return None
    for member in ("error", "errors"):
        entries = _entries(answer.document.get(member))
        failures = [entry for entry in entries if not entry.name.startswith("W")]
        if not failures:
            continue
        name = failures[0].name
        words = "; ".join(filter(None, (entry.words for entry in failures)))
        if until := THROTTLED_UNTIL.match(name):
            wait = max(0.0, int(until[2]) - answer.sent_at)
            return _Finding(until[1], words, retry_after=wait)
        if name or answer.status == 200:
            return _Finding(name or OTHER, words)
    return None


class _Entry(NamedTuple):
    """One error of an envelope. name: if it has the API's form, else empty. words: for people."""

    name: str
    words: str


def _entries(value: object) -> list[_Entry]:
    if isinstance(value, list):
        entries = [_entry(entry) for entry in value[:MOST_ENTRIES]]
        # The rest is not read, and may contain failures.
        return entries if len(value) <= MOST_ENTRIES else [*entries, _Entry("", "")]
    return [_entry(value)] if isinstance(value, (str, dict)) and value else []


def _entry(entry: object) -> _Entry:
    """Return an entry's name and words, both empty if its form is unknown; that is a failure too."""
    match entry:
        case {"severity": str(severity), "errorClass": str(class_), "type": str(type_)}:
            name = f"{severity[:1].upper()}{class_}:{type_}"
            told = _told(entry)
            return _Entry(name, f"{name}: {told}" if told else name)
        case str(text):
            return _Entry(_api_name(text), text)
        case {"code": code}:
            return _Entry(_api_name(code), _told(entry))
    return _Entry("", _told(entry))


def _api_name(value: object) -> str:
    """Return `value` if it has the form of the API's error names, else an empty name."""
    if not isinstance(value, str):
        return ""
    if tag := PROBLEM_TAG.fullmatch(value):
        return tag[1]
    return value if LEGACY_NAME.fullmatch(value) or PROBLEM_NAME.fullmatch(value) else ""


def _told(document: object, depth: int = 3) -> str:
    """Return headline, code and detail of a document that is not the API's, for people."""
    match document:
        case str(text):
            return text
        case [first, *_] if depth:
            return _told(first, depth - 1)
        case dict() if depth:
            parts = [_first_text(document, members) for members in TELLING_MEMBERS]
            # Many repeat the same text in several members.
            if told := ": ".join(dict.fromkeys(filter(None, parts))):
                return told
            inner = (_told(document.get(member), depth - 1) for member in INNER_MEMBERS)
            return next(filter(None, inner), "")
    return ""


TELLING_MEMBERS: Final = (
    ("title", "reason"),
    ("error_code", "errorCode", "errorcode", "code"),
    ("error",),
    ("detail", "message", "errorMessage", "error_description", "description", "msg", "faultstring"),
)
"""Where gateways put headline, code and detail; the first member present of each counts. Members are also matched with
a capital first letter: `Message` is AWS's."""
INNER_MEMBERS: Final = ("error", "errors", "fault", "data", "detail")
"""Where they nest them."""


def _first_text(document: Mapping[object, object], members: Iterable[str]) -> str:
    for member in members:
        for key in (member, member.capitalize()):
            value = document.get(key)
            # A number is parsed as its bytes (`document.parse_json`).
            text = value.decode() if isinstance(value, bytes) else value
            if isinstance(text, str) and text:
                return text
    return ""


def _bare_status(answer: Answer) -> _Finding | None:
    if answer.status == 200:
        return None
    if 300 <= answer.status < 400:
        words = f"redirects are not followed: {answer.headers.get('location', '')}"
    else:
        words = answer.text or _told(answer.document)
    return _Finding(f"http/{answer.status}", words, is_ours=True)


def _retry_after(answer: Answer) -> float | None:
    """Return the seconds until the next request that the answer asks for, None if it does not say.

    `Retry-After` (RFC 9110, 10.2.3) is a number or a date; some gateways have the number in the body, as `retry_after`.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < LONGEST_WAIT_DIGITS:
        return float(text)
    moment = unix_time(text)
    if moment is not None:
        return max(0.0, moment - answer.sent_at)
    if isinstance(answer.document, dict):
        for document in (answer.document, answer.document.get("error")):
            number = document.get("retry_after") if isinstance(document, dict) else None
            seconds = float(number) if isinstance(number, bytes) else math.nan
            if 0 <= seconds < math.inf:
                return seconds
    return None


# Several answers a second have the same date.
@lru_cache(maxsize=8)
def unix_time(date: str) -> float | None:
    """Return the Unix seconds of an HTTP date (RFC 9110, 5.6.7), None for anything else."""
    try:
        moment = parsedate_to_datetime(date)
        # A date without a zone would be taken as local time.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
