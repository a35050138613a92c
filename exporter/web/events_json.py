"""`/api/v1/events`: recent events for programs. `static/events.schema.json` documents it; times are RFC 3339."""

import json

from exporter.events import MOST_KEPT, RecentEvents, Subject
from exporter.web.formatting import rfc3339


def events_json(events: RecentEvents, subject: Subject | None) -> bytes:
    """Return recent events, of all subjects or of one, the latest first."""
    data = {
        "since": rfc3339(events.since),
        "kept": MOST_KEPT,
        "events": [
            {
                "time": rfc3339(event.at),
                "level": event.level,
                "subject": event.subject,
                "event": event.name,
                "facts": dict(event.facts),
            }
            for event in events.last(subject)
        ],
    }
    return json.dumps({"status": "success", "data": data}, separators=(",", ":")).encode()
