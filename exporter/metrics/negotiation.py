"""Content negotiation of a scrape: format and encoding, from closed tables.

Sources: Prometheus, "Content negotiation"; OpenMetrics 1.0; RFC 9110, 12.5.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeVar

from msgspec import Struct

Offer = TypeVar("Offer")


class Format(Enum):
    """The supported formats, by content type. All names are ASCII, so no escaping scheme changes them."""

    TEXT_0_0_4 = "text/plain; version=0.0.4; charset=utf-8"
    TEXT_1_0_0 = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
    OPENMETRICS_1_0_0 = (
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
    )


_FORMATS: Final[Mapping[tuple[str, str | None], Format]] = {
    ("text/plain", None): Format.TEXT_0_0_4,
    ("text/plain", "0.0.4"): Format.TEXT_0_0_4,
    ("text/plain", "1.0.0"): Format.TEXT_1_0_0,
    ("text/*", None): Format.TEXT_0_0_4,
    ("*/*", None): Format.TEXT_0_0_4,
    ("application/openmetrics-text", None): Format.OPENMETRICS_1_0_0,
    ("application/openmetrics-text", "1.0.0"): Format.OPENMETRICS_1_0_0,
}


class _Preference(Struct, frozen=True):
    """One element of an Accept or Accept-Encoding header; names in lower case."""

    value: str
    parameters: Mapping[str, str]
    quality: float


def _preferences(header: str) -> list[_Preference]:
    """Return what a client accepts, the most preferred first; malformed elements have quality 0."""
    found = []
    for element in header.split(","):
        value, *pairs = (part.strip() for part in element.split(";"))
        parameters = {
            name.strip().lower(): text.strip().strip('"')
            for name, _, text in (pair.partition("=") for pair in pairs)
        }
        found.append(_Preference(value.lower(), parameters, _quality(parameters.pop("q", "1"))))
    # Sorting is stable: equals keep the client's order.
    return sorted(found, key=lambda preference: -preference.quality)


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def negotiate(accept: str) -> Format:
    """Return the format for an `Accept` header: a supported one, else text 0.0.4."""
    for preference in _preferences(accept):
        key = (preference.value, preference.parameters.get("version"))
        if key in _FORMATS and preference.quality > 0:
            return _FORMATS[key]
    return Format.TEXT_0_0_4


def preferred(accept: str, offers: Mapping[str, Offer], otherwise: Offer) -> Offer:
    """Return the most preferred of `offers`, by content type, for an `Accept` header; `otherwise` if it names none."""
    for preference in _preferences(accept):
        if preference.value in offers and preference.quality > 0:
            return offers[preference.value]
    return otherwise


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` header allows gzip; `gzip;q=0` forbids it, whatever `*` says."""
    qualities = {element.value: element.quality for element in _preferences(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0
