"""What happened, as the page tells it: when, what, of what, and what the log says besides."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from exporter.durations import whole_duration
from exporter.events import Event, Fact
from exporter.web.formatting import Timestamp, moment
from exporter.web.view import View

SECONDS: Final = "_seconds"
LOOKS: Final = {"warn": "failing", "error": "failing", "info": "up"}
_OF: Final = ("kind", "org", "vault", "credential", "lease")
_SAID: Final = (*_OF, "type", "message", "problem")


class EventRow(NamedTuple):
    """A row. look: as the state that looks like it. path: of the targets it is about, empty where it is about none."""

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
    facts = event.facts
    org, vault = (str(facts.get(name) or "") for name in ("org", "vault"))
    type_, message = (str(facts.get(name) or "") for name in ("type", "message"))
    return EventRow(
        moment(event.at),
        LOOKS[event.level],
        event.title,
        _about(event),
        View(organization=org, text=vault).address() if org else "",
        type_,
        (message if message != type_ else "") or str(facts.get("problem") or ""),
        tuple(_said(event)),
    )


def _about(event: Event) -> str:
    facts = event.facts
    if facts.get("org"):
        return " / ".join(
            str(it) for it in (facts["org"], facts.get("vault") or facts.get("kind")) if it
        )
    credential = facts.get("credential")
    if credential:
        return "everything" if credential == "all" else f"credential {credential}"
    return f"lease {facts['lease']}" if facts.get("lease") else ""


def _said(event: Event) -> Iterator[str]:
    for name, value in event.facts.items():
        if name not in _SAID and value is not None:
            yield f"{_words(name)} {_told(name, value)}"


def _words(name: str) -> str:
    return "for" if name == "seconds" else name.removesuffix(SECONDS).replace("_", " ")


def _told(name: str, value: Fact) -> str:
    is_time = name.endswith(SECONDS) or name == "seconds"
    if is_time and isinstance(value, int | float):
        return whole_duration(int(value), most_units=2)
    return str(value)
