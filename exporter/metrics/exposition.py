"""What a scrape gets: negotiates format and encoding by closed tables, joins what is rendered, compresses it.

Sources: Prometheus, "Exposition formats" and "Content negotiation"; OpenMetrics 1.0; RFC 9110, 12.5.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from isal import igzip
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest as text_of
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of

from exporter.metrics import catalog
from exporter.metrics.catalog import Metric
from exporter.metrics.store import Store

GZIP_LEVEL: Final = 1


class Format(Enum):
    """The formats on offer, by content type. All names are ASCII, so that no escaping scheme changes them."""

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


@dataclass(frozen=True, slots=True)
class _Preference:
    """One element of an Accept or Accept-Encoding header; names in lower case."""

    value: str
    parameters: Mapping[str, str]
    quality: float


def _preferences(header: str) -> list[_Preference]:
    """Return what a client accepts, the most wanted first; what is malformed has quality 0."""
    found = []
    for element in header.split(","):
        value, *pairs = (part.strip() for part in element.split(";"))
        parameters = {
            name.strip().lower(): text.strip().strip('"')
            for name, _, text in (pair.partition("=") for pair in pairs)
        }
        found.append(_Preference(value.lower(), parameters, _quality(parameters.pop("q", "1"))))
    # Sorting keeps the order of equals, which is the client's.
    return sorted(found, key=lambda preference: -preference.quality)


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def negotiate(accept: str) -> Format:
    """Return the format that an `Accept` header asks for: of those on offer, else text 0.0.4."""
    for preference in _preferences(accept):
        key = (preference.value, preference.parameters.get("version"))
        if key in _FORMATS and preference.quality > 0:
            return _FORMATS[key]
    return Format.TEXT_0_0_4


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` header allows gzip; `gzip;q=0` forbids it, whatever `*` says."""
    qualities = {element.value: element.quality for element in _preferences(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _header(metric: Metric, name: str, type_: str) -> bytes:
    text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {text}\n# TYPE {name} {type_}\n".encode()


_TEXT_HEADERS: Final = {
    metric.name: _header(metric, metric.name, "gauge" if metric.type == "info" else metric.type)
    for metric in catalog.STORED
}
_OPENMETRICS_HEADERS: Final = {
    metric.name: _header(metric, metric.name.removesuffix("_info"), metric.type)
    for metric in catalog.STORED
}


def pieces(store: Store, registry: CollectorRegistry, format_: Format) -> list[bytes]:
    """Return the exposition in pieces, ready to be joined: references to what is rendered, and our own metrics.

    To be called where the store is not being changed; what it returns does not change any more.
    """
    is_openmetrics = format_ is Format.OPENMETRICS_1_0_0
    headers = _OPENMETRICS_HEADERS if is_openmetrics else _TEXT_HEADERS
    found: list[bytes] = []
    for metric, lines in store.families():
        found.append(headers[metric.name])
        found.extend(lines)
    # It ends with `# EOF` where the format wants that, so it comes last.
    found.append(_own_metrics(registry, is_openmetrics=is_openmetrics))
    return found


def _own_metrics(registry: CollectorRegistry, *, is_openmetrics: bool) -> bytes:
    if is_openmetrics:
        return openmetrics_of(registry)  # type: ignore[no-untyped-call, no-any-return]  # prometheus-client leaves it untyped
    return text_of(registry)


def body(parts: Iterable[bytes], *, gzip: bool) -> bytes:
    """Return the exposition made of `parts`, compressed or not; safe in a thread."""
    joined = b"".join(parts)
    return igzip.compress(joined, GZIP_LEVEL) if gzip else joined
