"""The report of the probe: a table for people, or one JSON document for programs.

`exporter/web/static/probe.schema.json` describes the document.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from exporter import __version__
from exporter.probe.contact import Contact
from exporter.probe.findings import Finding, Step, Verdict, words
from exporter.probe.known import Known, Reply
from exporter.probe.questions import QUESTIONS
from exporter.report import new_table, painted, without_padding
from exporter.terminal import without_controls

COLOURS: Final[dict[Verdict, str]] = {
    "ok": "green",
    "notice": "yellow",
    "failed": "red",
    "skipped": "",
}


def text_report(contact: Contact, console: Console) -> str:
    """Return the report for people."""
    with console.capture() as printed:
        console.print(f"First contact with {contact.api}, kraken-custody-exporter {__version__}")
        for credential, steps in groupby(contact.steps, lambda step: step.credential):
            console.print()
            if credential is not None:
                console.print(painted(f"credential {without_controls(credential)}", "bold"))
            _print_steps(steps, console)
        if contact.suggestion:
            console.print()
            console.print(
                painted("Suggested configuration", "bold"),
                "(names of files and variables, no secrets)",
            )
            console.print()
            _print_block(contact.suggestion.splitlines(), console)
        if lines := shape_lines(contact):
            console.print()
            console.print(
                painted("Shape report", "bold"), "(without any value: safe to paste into an issue)"
            )
            console.print()
            _print_block(lines, console)
        console.print()
        console.print(_conclusion(contact))
    return without_padding(printed.get())


def _print_steps(steps: Iterable[Step], console: Console) -> None:
    table = new_table("step", "result", "what was seen, what it means, what to do")
    for step in steps:
        finding = step.finding
        # Skipped questions are listed once, with the reason.
        if finding.verdict == "skipped" and step.name != "left_out":
            continue
        table.add_row(
            step.title, painted(finding.verdict, COLOURS[finding.verdict]), _told(finding)
        )
    console.print(table)


def _told(finding: Finding) -> Text:
    lines = [Text(without_controls(text)) for text in finding.evidence]
    if finding.meaning:
        lines.append(Text(without_controls(finding.meaning)))
    if finding.advice:
        lines.append(Text.assemble((f"To do: {without_controls(finding.advice)}", "bold")))
    return Text("\n").join(lines)


def _print_block(lines: list[str], console: Console) -> None:
    # Text to copy is not wrapped, whatever the width.
    for line in lines:
        console.print(Text(without_controls(line)), soft_wrap=True)


def _conclusion(contact: Contact) -> Text:
    failed = [step for step in contact.steps if step.finding.verdict == "failed"]
    if not failed:
        return painted("Everything needed works.", "green")
    titles = ", ".join(dict.fromkeys(step.title for step in failed))
    return Text("\n").join(
        (painted(f"Does not work: {titles}.", "red"), Text(f"First: {failed[0].finding.advice}"))
    )


def shape_lines(contact: Contact) -> list[str]:
    """Return the shape of every answer, without any value, to be pasted into an issue; empty without an answer."""
    names: dict[tuple[str, ...], list[str]] = {}
    for _, name, reply in _replies(contact):
        status = f"HTTP {reply.status}" if reply.status else "no answer"
        names.setdefault((status, *reply.shape), []).append(name)
    lines = []
    for (status, *shape), alike in names.items():
        lines += ["", f"{', '.join(alike)}: {status}", *(f"  {line}" for line in shape)]
    return [f"kraken-custody-exporter {__version__}", *lines] if lines else []


def _replies(contact: Contact) -> Iterator[tuple[Known | None, str, Reply]]:
    if contact.time:
        yield None, "time", contact.time
    for known in contact.credentials:
        for name, reply in known.replies.items():
            yield known, name, reply


def json_report(contact: Contact) -> str:
    """Return the report for programs, as one JSON document."""
    titles = {question.name: question.title for question in QUESTIONS}
    document = {
        "version": __version__,
        "api": contact.api,
        "succeeded": contact.succeeded,
        "steps": [
            {
                "credential": step.credential,
                "name": step.name,
                "title": step.title,
                "verdict": step.finding.verdict,
                "cause": step.finding.cause or None,
                "evidence": list(step.finding.evidence),
                "meaning": step.finding.meaning or None,
                "advice": step.finding.advice or None,
            }
            for step in contact.steps
        ],
        "requests": [
            {
                "credential": known.subject.credential if known else None,
                "name": name,
                "title": titles.get(name, "time of the API"),
                "result": words(reply),
                "status": reply.status,
                "error": reply.error.type if reply.error else None,
                "seconds": None if reply.seconds is None else round(reply.seconds, 4),
            }
            for known, name, reply in _replies(contact)
        ],
        "not_asked": [
            {
                "credential": known.subject.credential,
                "name": name,
                "title": titles[name],
                "reason": reason,
            }
            for known in contact.credentials
            for name, reason in known.omitted.items()
        ],
        "suggested_configuration": contact.suggestion or None,
        "shape_report": [
            {"name": name, "status": reply.status, "shape": list(reply.shape)}
            for _, name, reply in _replies(contact)
        ],
    }
    return f"{json.dumps(document, indent=2)}\n"
