"""The format and encoding that a client gets, for real headers and for invalid ones."""

import pytest

from exporter.metrics.negotiation import accepts_gzip, negotiate, preferred

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_53 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2_NATIVE_HISTOGRAMS = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=1.0.0;q=0.4"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        pytest.param(PROMETHEUS_2_42, OPENMETRICS, id="Prometheus 2.42"),
        pytest.param(PROMETHEUS_2_53, OPENMETRICS, id="Prometheus 2.53"),
        pytest.param(PROMETHEUS_2_NATIVE_HISTOGRAMS, OPENMETRICS, id="with protobuf first"),
        pytest.param(PROMETHEUS_3, OPENMETRICS, id="Prometheus 3"),
        pytest.param(PROMETHEUS_3_TEXT_FIRST, TEXT_1, id="Prometheus 3, text preferred"),
        pytest.param("text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT, id="vmagent"),
        pytest.param("*/*", TEXT, id="curl"),
        pytest.param(FIREFOX, TEXT, id="Firefox"),
        pytest.param("", TEXT, id="no header"),
        pytest.param("text/*", TEXT, id="any text"),
        pytest.param("text/plain", TEXT, id="text without a version"),
        pytest.param("text/plain;version=1.0.0", TEXT_1, id="text 1.0.0"),
        pytest.param(
            "application/openmetrics-text", OPENMETRICS, id="OpenMetrics without a version"
        ),
        pytest.param("APPLICATION/OpenMetrics-Text;VERSION=1.0.0", OPENMETRICS, id="in capitals"),
        pytest.param('application/openmetrics-text; version="1.0.0"', OPENMETRICS, id="quoted"),
        pytest.param("application/openmetrics-text ; version = 1.0.0", OPENMETRICS, id="spaced"),
        pytest.param(
            "text/plain;version=0.0.4;q=0.2,application/openmetrics-text;version=1.0.0;q=0.9",
            OPENMETRICS,
            id="the higher quality counts, not the order",
        ),
        pytest.param(
            "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0",
            TEXT,
            id="among equals the order counts",
        ),
        pytest.param("application/openmetrics-text;version=1.0.0;q=0", TEXT, id="quality 0"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;Q=0,*/*;q=0.1",
            TEXT,
            id="quality 0 in capitals",
        ),
        pytest.param("application/openmetrics-text;q=abc", TEXT, id="quality is no number"),
        pytest.param("application/openmetrics-text;q=nan", TEXT, id="quality is NaN"),
        pytest.param("application/openmetrics-text;q=2", TEXT, id="quality above 1"),
        pytest.param("application/openmetrics-text;q=-1", TEXT, id="quality below 0"),
        pytest.param("application/openmetrics-text;version=0.0.1", TEXT, id="OpenMetrics 0.0.1"),
        pytest.param("application/openmetrics-text;version=2.0.0", TEXT, id="OpenMetrics 2.0.0"),
        pytest.param("application/openmetrics-text;version=9.9.9", TEXT, id="OpenMetrics 9.9.9"),
        pytest.param("application/openmetrics-text;version=abc", TEXT, id="version is no number"),
        pytest.param("text/plain;version=1.x", TEXT, id="half a version"),
        pytest.param("text/plain;version=9.9.9", TEXT, id="text 9.9.9"),
        pytest.param("text/plain;version=2.<b>evil", TEXT, id="HTML"),
        pytest.param("text/plain;version=1.0.0\r\nx: y", TEXT, id="header injection"),
        pytest.param("text/plain;version=1.0.0;escaping=dots", TEXT_1, id="escaping=dots"),
        pytest.param("text/plain;version=1.0.0;escaping=values", TEXT_1, id="escaping=values"),
        pytest.param("text/plain;version=1.0.0;escaping=<b>", TEXT_1, id="escaping=HTML"),
        pytest.param("application/json", TEXT, id="something else"),
        pytest.param(",;=,;;q=,\x00é", TEXT, id="noise"),
        pytest.param(";" * 10_000 + "," * 10_000, TEXT, id="much noise"),
    ],
)
def test_the_format_is_the_requested_one_or_text(accept: str, content_type: str) -> None:
    assert negotiate(accept).value == content_type


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0.001", True),
        ("*", True),
        ("identity, *;q=0.1", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip; q=0, *", False),
        ("*, gzip;q=0", False),
        ("*;q=0", False),
        ("gzip;q=abc", False),
        ("gzip;q=nan", False),
        ("br, deflate", False),
        ("gzipped", False),
        (",;=;q", False),
    ],
)
def test_gzip_is_used_only_if_it_is_accepted(accept_encoding: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert accepts_gzip(accept_encoding) is expected


@pytest.mark.parametrize(
    ("accept", "offer"),
    [
        ("text/csv", "csv"),
        ("TEXT/CSV; header=absent", "csv"),
        ("text/csv;q=0.5, application/json", "json"),
        ("text/csv, application/json", "csv"),
        ("text/csv;q=0, */*", "otherwise"),
        ("text/html", "otherwise"),
        ("", "otherwise"),
    ],
)
def test_a_client_gets_the_offer_that_it_prefers(accept: str, offer: str) -> None:
    offers = {"text/csv": "csv", "application/json": "json"}
    assert preferred(accept, offers, "otherwise") == offer
