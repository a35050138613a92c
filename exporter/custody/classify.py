"""Tells what an answer of the API says went wrong: problem document, legacy envelope, or a bare status."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from exporter.custody.errors import (
    DOCUMENTED_PROBLEMS,
    OTHER,
    BoundedNames,
    CustodyError,
    reaction_to,
)
from exporter.custody.http_date import unix_time

PROBLEM_TAG: Final = re.compile(r"tag:kraken\.com,\d{4}:(.+)", re.DOTALL)
THROTTLED_UNTIL: Final = re.compile(r"^(EService:\s*Throttled):\s*(\d{9,11})$")
"""`EService: Throttled: <unix time>`: Kraken's guide "Spot REST rate limits"."""
NAME_LENGTH: Final = 100
MESSAGE_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for the document of an answer that has none.

    type: of the error that this is where nothing else is wrong. problem: what is wrong with the answer.
    """

    type: str
    problem: str


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


class Classifier:
    """Names the failures of the answers to all clients of the process, so that the number of names stays bounded."""

    def __init__(self) -> None:
        self._type_names = BoundedNames(known=tuple(name for _, name in DOCUMENTED_PROBLEMS))
        self._core_errors = BoundedNames()

    def failure(self, answer: Answer, clean: Callable[[str, int], str]) -> CustodyError | None:
        """Return what `answer` says went wrong, None where it succeeded.

        A document counts before the status: the legacy envelope carries errors with status 200 too.
        """
        found = _problem(answer) or _legacy(answer) or _bare_status(answer)
        if found is None:
            return None
        # Statuses are three digits; the names that the API gives are without end.
        name = clean(found.name, NAME_LENGTH) or OTHER
        type_ = name if found.is_status else self._type_names(name)
        core_error = found.core_error and self._core_errors(
            clean(found.core_error, NAME_LENGTH) or OTHER
        )
        retry_after = _retry_after(answer) if found.retry_after is None else found.retry_after
        return CustodyError(
            type_,
            status=answer.status,
            # By the name before it was bounded: a rate limit is one even when it is the 65th name.
            reaction=reaction_to(answer.status, name),
            message=clean(found.words, MESSAGE_LENGTH),
            retry_after=retry_after,
            core_error=core_error,
        )


@dataclass(frozen=True, slots=True)
class _Finding:
    """A failure as the answer puts it, before it is cleaned."""

    name: str
    words: str
    core_error: str | None = None
    retry_after: float | None = None
    is_status: bool = False


def _problem(answer: Answer) -> _Finding | None:
    """Kraken2025 problem document (RFC 7807), whatever the status."""
    match answer.document:
        case {"type": str(uri), **members} if tag := PROBLEM_TAG.fullmatch(uri):
            data = members.get("data")
            core_error = data.get("core_error") if isinstance(data, dict) else None
            return _Finding(
                name=tag[1],
                words=_words(members),
                core_error=core_error if isinstance(core_error, str) and core_error else None,
            )
    return None


def _words(members: Mapping[object, object]) -> str:
    """Return what says most about the failure, for people."""
    data = members.get("data")
    message = data.get("message") if isinstance(data, dict) else None
    candidates = (members.get("detail"), message, members.get("title"))
    return next((text for text in candidates if isinstance(text, str) and text), "")


def _legacy(answer: Answer) -> _Finding | None:
    """The envelope `{"error": [...]}`; entries that begin with `W` are warnings and no failure.

    The older custody API has objects for entries, under `error` or `errors`.
    """
    if not isinstance(answer.document, dict):
        return None
    for member in ("error", "errors"):
        entries = answer.document.get(member)
        texts = [_entry(entry) for entry in entries] if isinstance(entries, list) else []
        failures = [text for text in texts if not text.startswith("W")]
        if failures:
            name = failures[0]
            if until := THROTTLED_UNTIL.match(name):
                wait = max(0.0, int(until[2]) - answer.received_at)
                return _Finding(until[1], "; ".join(failures), retry_after=wait)
            return _Finding(name, "; ".join(failures))
    return None


def _entry(entry: object) -> str:
    """Return what an entry says, nothing where its form is unknown; it is a failure then, too."""
    match entry:
        case str(text):
            return text
        case {"severity": str(severity), "errorClass": str(class_), "type": str(type_)}:
            return f"{severity[:1].upper()}{class_}:{type_}"
    return ""


def _bare_status(answer: Answer) -> _Finding | None:
    if answer.status == 200:
        return None
    if 300 <= answer.status < 400:
        words = f"redirects are not followed: {answer.headers.get('location', '')}"
    else:
        words = _words(answer.document) if isinstance(answer.document, dict) else ""
    return _Finding(f"http/{answer.status}", words, is_status=True)


def _retry_after(answer: Answer) -> float | None:
    """Return the seconds of `Retry-After` (RFC 9110, 10.2.3): a number or a date; None for anything else."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    moment = unix_time(text)
    if moment is None:
        return None
    # By the clock that wrote it: one that is an hour off must not make a pause of a second an hour long.
    written_at = unix_time(answer.headers.get("date", ""))
    return max(0.0, moment - (answer.received_at if written_at is None else written_at))
