"""The contents of the report: a finding is a verdict with evidence, meaning and advice; a step is a named finding."""

from typing import Final, Literal

from msgspec import Struct

from exporter.probe.causes import diagnose
from exporter.probe.known import Known, Reply

Verdict = Literal["ok", "notice", "failed", "skipped"]
VERDICTS: Final[tuple[Verdict, ...]] = ("ok", "notice", "failed", "skipped")


class Finding(Struct, frozen=True, kw_only=True):
    """The result of one part of the probe.

    verdict: failed if something that the exporter needs does not work, notice if something needs a look, skipped if
        nothing is known.
    evidence: what was seen.
    meaning: what that means.
    advice: what to do.
    cause: the name of the diagnosis, empty if there is none.
    """

    verdict: Verdict
    evidence: tuple[str, ...] = ()
    meaning: str = ""
    advice: str = ""
    cause: str = ""


class Step(Struct, frozen=True):
    """A finding with a stable name and a title.

    credential: the credential that it concerns, None for all.
    """

    name: str
    title: str
    finding: Finding
    credential: str | None = None


def ok(*evidence: str, meaning: str = "") -> Finding:
    """Return a finding that all is well."""
    return Finding(verdict="ok", evidence=evidence, meaning=meaning)


def notice(*evidence: str, meaning: str, advice: str = "", cause: str = "") -> Finding:
    """Return a finding that needs a look."""
    return Finding(verdict="notice", evidence=evidence, meaning=meaning, advice=advice, cause=cause)


def failed(*evidence: str, meaning: str, advice: str, cause: str) -> Finding:
    """Return a finding that something needed does not work."""
    return Finding(verdict="failed", evidence=evidence, meaning=meaning, advice=advice, cause=cause)


def skipped(*reasons: str) -> Finding:
    """Return a finding that nothing is known, and why."""
    return Finding(verdict="skipped", evidence=reasons)


def diagnosed(reply: Reply, known: Known, verdict: Verdict = "failed") -> Finding:
    """Return a finding with the likeliest cause of a failed request."""
    cause = diagnose(reply, known)
    return Finding(
        verdict=verdict,
        evidence=(words(reply),),
        meaning=cause.meaning,
        advice=cause.advice,
        cause=cause.name,
    )


def not_asked(known: Known, *questions: str) -> Finding:
    """Return a finding that nothing is known because these questions were not asked, and why."""
    return skipped(*dict.fromkeys(known.omitted[it] for it in questions if it in known.omitted))


def words(reply: Reply) -> str:
    """Return the outcome of a request in one line."""
    if reply.error is None:
        return f"HTTP {reply.status}"
    status = f"HTTP {reply.status} " if reply.status else ""
    message = reply.error.message
    said = f": {message}" if message and message != reply.error.type else ""
    return f"{status}{reply.error.type}{said}"
