"""Events as rows of their page: when, what, of which target, and the remaining fields of the log."""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from exporter.durations import whole_duration
from exporter.events import Event, Fact
from exporter.resources import RESOURCES, name_of
from exporter.resources.target import Target
from exporter.web.formatting import Timestamp, moment
from exporter.web.view import View

SECONDS: Final = "_seconds"
LOOKS: Final = {"warn": "failing", "error": "failing", "info": "up"}
_OF: Final = ("kind", "org", "vault", "credential", "lease")
_SAID: Final = (*_OF, "type", "message", "problem")


class EventRow(NamedTuple):
    """A row.

    look: the state whose colour it has.
    path: of the targets that it concerns, empty if there are none.
    """

    at: Timestamp
    look: str
    title: str
    subject: str
    path: str
    type: str
    message: str
    facts: tuple[str, ...]


def event_row_of(event: Event) -> EventRow:
    """Return the row of `event`."""
    subject, view = _subject(event)
    type_, message = _fact(event, "type"), _fact(event, "message")
    return EventRow(
        moment(event.at),
        LOOKS[event.level],
        event.title,
        subject,
        view.address() if view else "",
        type_,
        (message if message != type_ else "") or _fact(event, "problem"),
        tuple(_said(event)),
    )


def _subject(event: Event) -> tuple[str, View | None]:
    """Return the name of what the event concerns, and the view of its targets, if any."""
    kind, org, vault, credential, lease = (_fact(event, name) for name in _OF)
    if kind in RESOURCES:
        target = Target(kind, "", org, vault, math.inf, credential)
        return name_of(target), View(organization=target.owner, text=vault)
    if org:
        return " / ".join(filter(None, (org, vault))), View(organization=org, text=vault)
    if credential:
        return "everything" if credential == "all" else f"credential {credential}", None
    return f"lease {lease}" if lease else "", None


def _fact(event: Event, name: str) -> str:
    return str(event.facts.get(name) or "")


def _said(event: Event) -> Iterator[str]:
    for name, value in event.facts.items():
        if name not in _SAID and value is not None:
            yield f"{_words(name)} {_text(name, value)}"


def _words(name: str) -> str:
    return "for" if name == "seconds" else name.removesuffix(SECONDS).replace("_", " ")


def _text(name: str, value: Fact) -> str:
    is_time = name.endswith(SECONDS) or name == "seconds"
    if is_time and isinstance(value, int | float):
        return whole_duration(int(value), most_units=2)
    return str(value)
