"""Tells what an answer of the API says went wrong: problem document, legacy envelope, or a bare status.

And what somebody else says: much stands between this machine and the API, and each writes errors in a form of its own.
"""

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

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
"""`PermissionDenied`, `gateway/ReadUpstream`: what the API writes after its tag."""
ABSOLUTE_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
HTML_BEGINS: Final = re.compile(rb"\s*(?:<!doctype html|<html|<head|<body)\b", re.IGNORECASE)
# No `<` within: each look ends at the next tag, so that no page takes longer than its length.
HTML_TITLE: Final = re.compile(rb"<title(?:\s[^<>]*)?>([^<]*)", re.IGNORECASE)
MOST_ENTRIES: Final = 1000
"""Of an envelope's errors; no honest answer has more than a few."""
NAME_LENGTH: Final = 100
MESSAGE_LENGTH: Final = 200
PAGE_LENGTH: Final = 16 * 1024
"""Bytes of a page that are looked at; its title is at the top."""
LONGEST_WAIT_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for the document of an answer that has none.

    type: of the error that this is where nothing else is wrong. problem: what is wrong with the answer.
    page: the beginning of its body, at least PAGE_LENGTH bytes where it has so many; empty where it cannot be decoded.
    """

    type: str
    problem: str
    page: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    headers: names in lower case.
    document: the body's JSON value, or Unreadable.
    received_at: when its head came, in Unix seconds.
    """

    status: int
    headers: Mapping[str, str]
    document: object
    received_at: float

    @property
    def sent_at(self) -> float:
        """When it was sent, in Unix seconds, by the clock of whoever sent it; by our own where it does not say.

        What a server writes of times is meant by its own clock. One that is an hour off must not make a pause of a
        second an hour long.
        """
        sent_at = unix_time(self.headers.get("date", ""))
        return self.received_at if sent_at is None else sent_at

    @property
    def is_html(self) -> bool:
        """Whether it is a page for people, which the API never sends."""
        if not isinstance(self.document, Unreadable):
            return False
        media_type = self._media_type
        return media_type in ("text/html", "application/xhtml+xml") or bool(
            HTML_BEGINS.match(self.document.page.removeprefix(b"\xef\xbb\xbf"))
        )

    @property
    def is_from_api(self) -> bool:
        """Whether the API may have written it, as far as one can tell: it answers in JSON, and signs its problems."""
        match self.document:
            case Unreadable():
                return False
            case {"type": str(uri)} if ABSOLUTE_URI.fullmatch(uri):
                return bool(PROBLEM_TAG.fullmatch(uri)) or uri == "about:blank"
        return True

    @property
    def is_blocked(self) -> bool:
        """Whether something in front of the API refused the request."""
        # Rate limits and outages of a gateway are what they are for the API, whatever their page looks like.
        if self.status in (429, 503):
            return False
        # Cloudflare marks its challenges with this header.
        if "cf-mitigated" in self.headers:
            return True
        is_somebody_elses = not isinstance(self.document, Unreadable) and not self.is_from_api
        return self.status == 403 and (self.is_html or is_somebody_elses)

    @property
    def text(self) -> str:
        """What a body that is not JSON says: the title of a page, or plain text; else nothing."""
        if not isinstance(self.document, Unreadable):
            return ""
        page = self.document.page[:PAGE_LENGTH]
        if self.is_html:
            title = HTML_TITLE.search(page)
            return html.unescape(title[1].decode(errors="replace")) if title else ""
        if self._media_type in ("", "text/plain"):
            # What is no text is left out, but for the character that the page was cut in.
            text = page.decode(errors="ignore")
            return text if len(text.encode()) > len(page) - 4 else ""
        return ""

    @property
    def _media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Classifier:
    """Names the failures of the answers to all clients of the process, so that the number of names stays bounded."""

    def __init__(self) -> None:
        self._type_names = BoundedNames(
            known=(*(name for _, name in DOCUMENTED_PROBLEMS), *DOCUMENTED_LEGACY)
        )
        self._core_errors = BoundedNames()

    def failure(self, answer: Answer, clean: Callable[[str, int], str]) -> CustodyError | None:
        """Return what `answer` says went wrong, None where it succeeded.

        A document counts before the status: the legacy envelope carries errors with status 200 too.
        """
        found = _block(answer) or _problem(answer) or _envelope(answer) or _bare_status(answer)
        if found is None:
            return None
        # Those that are not the API's are a few; the names that the API gives are without end.
        name = clean(found.name, NAME_LENGTH) or OTHER
        type_ = name if found.is_ours else self._type_names(name)
        core_error = found.core_error and self._core_errors(
            clean(found.core_error, NAME_LENGTH) or OTHER
        )
        return CustodyError(
            type_,
            status=answer.status,
            # By the name before it was bounded: a rate limit is one even when it is the 65th name.
            reaction=reaction_to(answer.status, name, is_from_api=answer.is_from_api),
            message=clean(found.words, MESSAGE_LENGTH),
            retry_after=_retry_after(answer) if found.retry_after is None else found.retry_after,
            core_error=core_error,
        )


@dataclass(frozen=True, slots=True)
class _Finding:
    """A failure as the answer puts it, before it is cleaned.

    is_ours: whether the name is one that this exporter gives, not the API.
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
    """The envelope `{"error": [...]}`; entries that begin with `W` are warnings and no failure.

    The older custody API has objects for entries, under `error` or `errors`. Gateways have a text or an object in place
    of the array. An error without a name of the API's form is named by the status, where that says that it is one.
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
    """One error of an envelope. name: where it has one of the API's form, else empty. words: for people."""

    name: str
    words: str


def _entries(value: object) -> list[_Entry]:
    if isinstance(value, list):
        entries = [_entry(entry) for entry in value[:MOST_ENTRIES]]
        # The others are not looked at, and may be failures.
        return entries if len(value) <= MOST_ENTRIES else [*entries, _Entry("", "")]
    return [_entry(value)] if isinstance(value, (str, dict)) and value else []


def _entry(entry: object) -> _Entry:
    """Return what an entry says, nothing where its form is unknown; it is a failure then, too."""
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
    """Return the name of an error where `value` has the form of one of the API's, else nothing."""
    if not isinstance(value, str):
        return ""
    if tag := PROBLEM_TAG.fullmatch(value):
        return tag[1]
    return value if LEGACY_NAME.fullmatch(value) or PROBLEM_NAME.fullmatch(value) else ""


def _told(document: object, depth: int = 3) -> str:
    """Return what a document that is not the API's says went wrong, for people: headline, code and detail."""
    match document:
        case str(text):
            return text
        case [first, *_] if depth:
            return _told(first, depth - 1)
        case dict() if depth:
            parts = [_first_text(document, members) for members in TELLING_MEMBERS]
            # Many say the same in several places.
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
"""Where gateways put their headline, code and detail; the first of each that there is counts. Members are looked for
in lower case with a capital first letter as well: `Message` is AWS's."""
INNER_MEMBERS: Final = ("error", "errors", "fault", "data", "detail")
"""Where they put them one level further in."""


def _first_text(document: Mapping[object, object], members: Iterable[str]) -> str:
    for member in members:
        for key in (member, member.capitalize()):
            value = document.get(key)
            # A number is the bytes it is written in (`values.parse_json`).
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
    """Return the seconds for which the answer asks to be left alone, None where it does not say.

    `Retry-After` (RFC 9110, 10.2.3) is a number or a date; some gateways write the number into the body, as
    `retry_after`.
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


def unix_time(date: str) -> float | None:
    """Return the Unix seconds of an HTTP date (RFC 9110, 5.6.7), None for anything else."""
    try:
        moment = parsedate_to_datetime(date)
        # One without a zone would count as this machine's local time.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
