"""Security headers of every answer, so that no page of another origin can embed, read or control this one."""

from collections.abc import Mapping
from typing import Final

from starlette.types import Message

HeaderPairs = list[tuple[bytes, bytes]]

SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def security_headers(configured: Mapping[str, str]) -> HeaderPairs:
    """Return the exporter's own headers, replaced or extended by the configured ones; empty ones are ignored."""
    chosen = SECURITY | {name: value for name, value in configured.items() if value}
    return [(name.lower().encode(), value.encode()) for name, value in chosen.items()]


def with_headers(message: Message, headers: HeaderPairs) -> Message:
    """Replace an answer's headers of the same names by `headers`."""
    if message["type"] != "http.response.start":
        return message
    replaced = dict(headers)
    kept = [(name, value) for name, value in message.get("headers", ()) if name not in replaced]
    return {**message, "headers": [*kept, *replaced.items()]}


def bad_request(problem: str, headers: HeaderPairs) -> bytes:
    """Return a complete 400 response for a malformed request; the connection must then be closed."""
    body = f"{problem}\n".encode()
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *headers,
    ]
    lines = [b"HTTP/1.1 400 Bad Request", *(b": ".join(field) for field in fields), b"", body]
    return b"\r\n".join(lines)
