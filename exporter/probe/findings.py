"""What the report says: a finding is a verdict with its evidence, what it means and what to do; a step is a named one.

Findings are read at night by somebody in a hurry: first what was seen, then what it means, then what to do.
"""

from dataclasses import dataclass
from typing import Final, Literal

from exporter.probe.causes import diagnose
from exporter.probe.known import Known, Reply

Verdict = Literal["ok", "notice", "failed", "skipped"]
VERDICTS: Final[tuple[Verdict, ...]] = ("ok", "notice", "failed", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one part of the probe came to.

    verdict: failed where something that the exporter needs does not work, notice where something is to be looked at,
    skipped where nothing could be told. evidence: what was seen. meaning: what that means. advice: what to do. cause:
    the name of the diagnosis, empty where there is none.
    """

    verdict: Verdict
    evidence: tuple[str, ...] = ()
    meaning: str = ""
    advice: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A finding with its name, which is stable, and its title.

    credential: whose it is, None where it is about all.
    """

    name: str
    title: str
    finding: Finding
    credential: str | None = None


def ok(*evidence: str, meaning: str = "") -> Finding:
    """Return that all is well."""
    return Finding(verdict="ok", evidence=evidence, meaning=meaning)


def notice(*evidence: str, meaning: str, advice: str = "", cause: str = "") -> Finding:
    """Return that something is to be looked at."""
    return Finding(verdict="notice", evidence=evidence, meaning=meaning, advice=advice, cause=cause)


def failed(*evidence: str, meaning: str, advice: str, cause: str) -> Finding:
    """Return that something needed does not work."""
    return Finding(verdict="failed", evidence=evidence, meaning=meaning, advice=advice, cause=cause)


def skipped(*reasons: str) -> Finding:
    """Return that nothing can be told."""
    return Finding(verdict="skipped", evidence=reasons)


def diagnosed(reply: Reply, known: Known, verdict: Verdict = "failed") -> Finding:
    """Return what the failure of a request points to."""
    cause = diagnose(reply, known)
    return Finding(
        verdict=verdict,
        evidence=(words(reply),),
        meaning=cause.meaning,
        advice=cause.advice,
        cause=cause.name,
    )


def not_asked(known: Known, *questions: str) -> Finding:
    """Return that nothing can be told, as these were not asked, and why."""
    return skipped(*dict.fromkeys(known.omitted[it] for it in questions if it in known.omitted))


def words(reply: Reply) -> str:
    """Return what came of a request, in a line."""
    if reply.error is None:
        return f"HTTP {reply.status}"
    status = f"HTTP {reply.status} " if reply.status else ""
    message = reply.error.message
    said = f": {message}" if message and message != reply.error.type else ""
    return f"{status}{reply.error.type}{said}"
