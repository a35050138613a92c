"""What browsers say of where a request comes from, and of the name they asked for."""

import pytest
from starlette.datastructures import Headers

from exporter.web.access.browsers import is_forged, is_own_name


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


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:10063", True),
        ("127.0.0.1", True),
        ("[::1]:10063", True),
        ("[::1]", True),
        ("192.0.2.1:80", True),
        ("localhost:10063", True),
        ("LocalHost", True),
        ("exporter.localhost:10063", True),
        ("exporter.internal:10063", True),
        ("evil.example:10063", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("evillocalhost", False),
        ("127.0.0.1.evil.example", False),
        ("[evil.example]", False),
        ("evil.example:127.0.0.1", False),
        ("", False),
    ],
)
def test_only_names_that_nobody_else_can_give_this_machine_are_its_own(
    host: str, *, expected: bool
) -> None:
    assert is_own_name(host, own="exporter.internal") is expected
