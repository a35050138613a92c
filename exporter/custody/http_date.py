"""Reads the dates of HTTP headers."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def unix_time(date: str) -> float | None:
    """Return the Unix seconds of an HTTP date (RFC 9110, 5.6.7), None for anything else."""
    try:
        moment = parsedate_to_datetime(date)
        # One without a zone would count as this machine's local time.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
