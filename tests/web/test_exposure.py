"""Warnings about an exposed address at the start."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.web.access.file import WebConfigFile
from exporter.web.address import ListenAddress
from exporter.web.exposure import is_loopback, warn_of_exposure
from tests.web.access.files import HASH, write
from tests.web.certificates import Authority

TLS = {"tls_server_config": {"cert_file": "server.pem", "key_file": "server-key.pem"}}
USERS = {"basic_auth_users": {"alice": HASH}}
NOTHING = {"http_server_config": {"http2": True}}
OPEN, PLAIN, READABLE = "web_open_to_all", "web_password_in_plain_text", "web_secret_file_readable"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_loopback_is_for_this_machine_alone(host: str, *, expected: bool) -> None:
    assert is_loopback(ListenAddress(host, 10063)) is expected


@pytest.mark.parametrize(
    ("document", "host", "expected"),
    [
        (NOTHING, "127.0.0.1", []),
        (USERS, "127.0.0.1", []),
        (USERS, "::1", []),
        (NOTHING, "0.0.0.0", [OPEN]),
        (NOTHING, "::", [OPEN]),
        (NOTHING, "10.0.0.1", [OPEN]),
        (USERS, "10.0.0.1", [PLAIN]),
        (TLS, "10.0.0.1", []),
        (TLS | USERS, "10.0.0.1", []),
    ],
)
def test_readable_balances_and_passwords_are_reported(
    document: dict[str, Any], host: str, expected: list[str], directory: Path
) -> None:
    file = write(directory, document)
    file.chmod(0o600)
    with capture_logs() as events:
        warn_of_exposure(WebConfigFile(file), ListenAddress(host, 10063))
    assert [event["event"] for event in events] == expected
    assert {event["address"] for event in events} <= {str(ListenAddress(host, 10063))}


def test_without_a_file_there_is_no_password_either() -> None:
    with capture_logs() as events:
        warn_of_exposure(WebConfigFile(None), ListenAddress("0.0.0.0", 10063))
    assert [event["event"] for event in events] == [OPEN]


def test_a_file_with_secrets_that_everybody_can_read_is_reported(open_directory: Path) -> None:
    Authority(open_directory).sign("127.0.0.1")
    key = open_directory / "server-key.pem"
    key.chmod(0o644)
    file = write(open_directory, TLS | USERS)
    file.chmod(0o644)
    with capture_logs() as events:
        WebConfigFile(file)
    assert [(event["event"], event["file"]) for event in events] == [
        (READABLE, str(file)),
        (READABLE, str(key)),
    ]
    assert HASH not in str(events)
