"""Which client certificates are accepted, by their names."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.web.access.files import read

# In the form of ssl's getpeercert; OpenSSL writes IPv6 addresses in full and in capitals.
CERTIFICATE = {
    "subject": ((("commonName", "common.example"),),),
    "notAfter": "Nov 21 12:00:00 2026 GMT",
    "subjectAltName": (
        ("DNS", "prometheus.example"),
        ("email", "prometheus@example.com"),
        ("IP Address", "10.0.0.1"),
        ("IP Address", "2001:DB8:0:0:0:0:0:1\n"),
        ("URI", "spiffe://example/prometheus"),
        ("DirName", ((("commonName", "directory"),),)),
    ),
}


NO_NAME = "the certificate has none of the names in client_allowed_sans"
EXPIRY = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


def problem(
    directory: Path,
    allowed: list[str] | None,
    certificate: dict[str, Any] | None,
    policy: str = "RequireAndVerifyClientCert",
    now: float = EXPIRY,
) -> str | None:
    clients = {"client_ca_file": "authority.pem", "client_auth_type": policy}
    pair = {"cert_file": "server.pem", "key_file": "server-key.pem"}
    document = {"tls_server_config": {**pair, **clients, "client_allowed_sans": allowed}}
    config = read(directory, document).tls_server_config
    assert config
    return config.problem_with(certificate, now)


@pytest.mark.parametrize(
    ("allowed", "is_let_in"),
    [
        (["prometheus.example"], True),
        (["other", "prometheus@example.com"], True),
        (["10.0.0.1"], True),
        (["2001:db8::1"], True),
        (["spiffe://example/prometheus"], True),
        (["Prometheus.example"], False),
        (["example"], False),
        (["*.example"], False),
        (["common.example"], False),
        (["directory"], False),
        (["10.0.0.10"], False),
    ],
)
def test_one_name_must_be_exactly_one_that_is_allowed(
    directory: Path, allowed: list[str], *, is_let_in: bool
) -> None:
    assert problem(directory, allowed, CERTIFICATE) == (None if is_let_in else NO_NAME)


def test_a_certificate_without_names_has_none_that_is_allowed(directory: Path) -> None:
    certificate = {name: CERTIFICATE[name] for name in ("subject", "notAfter")}
    assert problem(directory, ["common.example"], certificate) == NO_NAME


def test_without_allowed_names_any_certificate_name_is_accepted(directory: Path) -> None:
    assert problem(directory, None, CERTIFICATE) is None


def test_a_certificate_is_good_until_it_expires_whatever_its_names(directory: Path) -> None:
    after = EXPIRY + 1
    assert problem(directory, None, CERTIFICATE, now=after) == "the certificate has expired"
    assert problem(directory, ["10.0.0.1"], CERTIFICATE, now=after) == "the certificate has expired"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("VerifyClientCertIfGiven", None), ("RequireAndVerifyClientCert", NO_NAME)],
)
@pytest.mark.parametrize("certificate", [None, {}])
def test_without_a_certificate_only_those_come_in_who_need_none(
    directory: Path, certificate: dict[str, Any] | None, policy: str, expected: str | None
) -> None:
    assert problem(directory, ["prometheus.example"], certificate, policy) == expected
