"""The headers by which browsers report the origin of a request."""

import pytest
from starlette.datastructures import Headers

from exporter.web.access.control import is_forged


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "anything"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, False),
        ({"origin": "http://exporter:10063"}, False),
        ({"origin": "https://EXPORTER:10063"}, False),
        ({"origin": "http://exporter"}, True),
        ({"origin": "http://exporter:9090"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_what_changes_something_must_not_come_from_another_origin(
    method: str, headers: dict[str, str], *, expected: bool
) -> None:
    assert is_forged(method, Headers({"host": "exporter:10063", **headers})) is expected


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_may_come_from_anywhere(method: str) -> None:
    headers = {"host": "exporter", "origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert not is_forged(method, Headers(headers))
