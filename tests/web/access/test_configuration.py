"""Each key of the web configuration: what is accepted, what is not, and the whole message."""

import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import ConfigError
from exporter.web.access.control import TokenBucket
from exporter.web.access.file import WebConfigFile
from exporter.web.access.forms import CURVES, TLS_1_2_SUITES, TLS_1_3_SUITES
from exporter.web.access.tls import TlsServerConfig
from tests.web.access.files import HASH, OTHER_HASH, mistakes, read, write
from tests.web.certificates import Authority

PAIR = {"cert_file": "server.pem", "key_file": "server-key.pem"}
CLIENTS = {"client_ca_file": "authority.pem", "client_auth_type": "RequireAndVerifyClientCert"}
GCM = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
CBC = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"


def tls(**fields: Any) -> dict[str, Any]:
    return {"tls_server_config": {**PAIR, **fields}}


def context_of(directory: Path, **fields: Any) -> ssl.SSLContext:
    read_config = read(directory, tls(**fields)).tls_server_config
    assert read_config
    return read_config.context


def suites(context: ssl.SSLContext) -> list[str]:
    """Return the cipher suites that can be chosen, which are those of TLS 1.2."""
    return [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]


def test_a_file_without_tls_or_users_leaves_everything_open(directory: Path) -> None:
    configuration = read(directory, "http_server_config: {}\n")
    assert configuration.tls_server_config is None
    assert configuration.basic_auth_users == {}
    assert configuration.rate_limit.interval == 0
    assert configuration == WebConfigFile(None).configuration


def test_a_section_or_key_without_a_value_counts_as_left_out(directory: Path) -> None:
    text = "tls_server_config:\nbasic_auth_users:\nrate_limit: {interval: }\n"
    assert read(directory, text) == WebConfigFile(None).configuration


def test_what_is_left_out_of_tls_is_safe(directory: Path) -> None:
    context = context_of(directory)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.maximum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_NONE
    assert suites(context) == [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ]
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


def test_versions_are_those_that_are_written(directory: Path) -> None:
    newest = context_of(directory, min_version="TLS13")
    assert newest.minimum_version == ssl.TLSVersion.TLSv1_3
    older = context_of(directory, max_version="TLS12")
    assert older.maximum_version == ssl.TLSVersion.TLSv1_2


def test_cipher_suites_are_those_that_are_written_in_their_order(directory: Path) -> None:
    context = context_of(directory, cipher_suites=[CBC, "TLS_AES_128_GCM_SHA256", GCM])
    assert suites(context) == ["ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES128-GCM-SHA256"]


def test_every_cipher_suite_that_is_known_is_offered(directory: Path) -> None:
    context = context_of(directory, cipher_suites=list(TLS_1_2_SUITES))
    assert suites(context) == list(TLS_1_2_SUITES.values())


def test_the_order_of_cipher_suites_can_be_left_to_the_client(directory: Path) -> None:
    context = context_of(directory, prefer_server_cipher_suites=False)
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        ("VerifyClientCertIfGiven", ssl.CERT_OPTIONAL),
        ("RequireAndVerifyClientCert", ssl.CERT_REQUIRED),
    ],
)
def test_clients_are_verified_by_the_authority_that_is_named_and_no_other(
    directory: Path, policy: str, mode: ssl.VerifyMode
) -> None:
    context = context_of(directory, client_ca_file="authority.pem", client_auth_type=policy)
    assert context.verify_mode == mode
    assert context.cert_store_stats()["x509_ca"] == 1


def test_certificates_and_keys_can_stand_in_the_file_itself(directory: Path) -> None:
    document = {
        "tls_server_config": {
            "cert": (directory / "server.pem").read_text(),
            "key": (directory / "server-key.pem").read_text(),
            "client_ca": (directory / "authority.pem").read_text(),
            "client_auth_type": "RequireAndVerifyClientCert",
        }
    }
    config = read(directory, document).tls_server_config
    assert config
    assert config.context.cert_store_stats()["x509_ca"] == 1
    assert config.files == ()


@pytest.mark.parametrize("curve", ["CurveP256", "CurveP384", "CurveP521", "X25519"])
def test_one_curve_can_be_chosen(directory: Path, curve: str) -> None:
    assert context_of(directory, curve_preferences=[curve])


IF_GIVEN = {"client_auth_type": "VerifyClientCertIfGiven"}
BY_THE_TOOLKIT: dict[str, dict[str, Any] | str] = {
    "tls_config_noAuth.requireandverifyclientcert.good": tls(**CLIENTS),
    "web_config_noAuth.good": tls(**IF_GIVEN),
    "web_config_noAuth_allCiphers.good": tls(
        **IF_GIVEN, cipher_suites=[*TLS_1_2_SUITES, *TLS_1_3_SUITES]
    ),
    "web_config_noAuth_allCurves.good": tls(**IF_GIVEN, curve_preferences=list(CURVES)),
    "web_config_noAuth_someCurves.good": tls(
        **IF_GIVEN, min_version="TLS13", curve_preferences=["CurveP521"]
    ),
    "web_config_noAuth_noHTTP2.good": {
        **tls(
            **IF_GIVEN, cipher_suites=["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"], max_version="TLS12"
        ),
        "http_server_config": {"http2": False},
    },
    "web_config_auth_client_san.good": tls(**CLIENTS, client_allowed_sans=["one", "test3", "two"]),
    "web_config_headers.good": """\
http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000; includeSubDomains
    X-Content-Type-Options: nosniff
    X-XSS-Protection: 1
    Content-Security-Policy: "default-src 'self' *.test.example.net"
""",
    "web_config_rate_limiter_nonblocking": "rate_limit: {interval: 0, burst: 0}",
    "with what a template left empty": tls(
        cert="",
        key="",
        client_ca="",
        client_ca_file="",
        client_auth_type="",
        cipher_suites=[],
        curve_preferences=[],
        min_version="",
    ),
    "with the booleans of YAML 1.1": "http_server_config: {http2: off}",
}


@pytest.mark.parametrize("name", BY_THE_TOOLKIT)
def test_settings_of_exporter_toolkit_are_accepted_if_they_have_an_effect(
    directory: Path, name: str
) -> None:
    """Its own test files; those that are refused here are in MISTAKES and in docs/web-configuration.md."""
    assert mistakes(directory, BY_THE_TOOLKIT[name]) == []


def test_a_rate_limit_without_interval_has_no_effect(directory: Path) -> None:
    limit = read(directory, "rate_limit: {interval: 0, burst: 0}").rate_limit
    bucket = TokenBucket.full(limit, 0.0)
    assert all(bucket.take(0.0) for _ in range(10))


def test_what_is_verified_only_if_given_is_verified_by_the_systems_authorities_without_others(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(directory / "authority.pem"))
    context = context_of(directory, **IF_GIVEN)
    assert context.verify_mode == ssl.CERT_OPTIONAL
    assert context.cert_store_stats()["x509_ca"] == 1


def test_all_curves_are_as_good_as_none_chosen(directory: Path) -> None:
    config = read(directory, tls(curve_preferences=list(CURVES))).tls_server_config
    assert config
    assert config.curve_preferences == ()


@pytest.mark.parametrize("block", ["|", ">", "|-", ">+"])
def test_a_header_may_be_a_block_and_is_sent_as_one_line(directory: Path, block: str) -> None:
    text = f"""\
http_server_config:
  headers:
    Content-Security-Policy: {block}
      default-src 'self';
      img-src 'none'
"""
    headers = read(directory, text).http_server_config.headers
    assert headers == {"Content-Security-Policy": "default-src 'self'; img-src 'none'"}


@pytest.mark.parametrize("http2", [True, False])
def test_http2_is_accepted_and_only_http_1_1_is_offered(directory: Path, http2: bool) -> None:  # noqa: FBT001 - a value
    assert read(directory, {"http_server_config": {"http2": http2}})


def test_headers_are_those_that_the_toolkit_allows(directory: Path) -> None:
    headers = {
        "Content-Security-Policy": "default-src 'self'",
        "X-Frame-Options": "sameorigin",
        "X-Content-Type-Options": "nosniff",
        "X-XSS-Protection": "0",
        "Strict-Transport-Security": "max-age=63072000",
    }
    configuration = read(directory, {"http_server_config": {"headers": headers}})
    assert configuration.http_server_config.headers == headers


def test_a_header_is_sent_without_surrounding_space(directory: Path) -> None:
    text = "http_server_config: {headers: {X-XSS-Protection: ' 1; mode=block '}}"
    assert read(directory, text).http_server_config.headers == {"X-XSS-Protection": "1; mode=block"}


def test_a_header_may_be_a_number_or_nothing(directory: Path) -> None:
    text = "http_server_config: {headers: {X-XSS-Protection: 0, X-Frame-Options: '', Content-Security-Policy: }}"
    assert read(directory, text).http_server_config.headers == {
        "X-XSS-Protection": "0",
        "X-Frame-Options": "",
        "Content-Security-Policy": "",
    }


def test_users_have_the_hashes_that_are_written(directory: Path) -> None:
    users = {"alice": HASH, "böb 2": OTHER_HASH, "42": HASH}
    text = yaml.safe_dump({"basic_auth_users": users}).replace("'42'", "42")
    read_users = read(directory, text).basic_auth_users
    assert {name: hashed.get_secret_value() for name, hashed in read_users.items()} == users


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("1s", 1.0),
        ("1.5s", 1.5),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("100us", 0.0001),
        ("2h", 7200.0),
    ],
)
def test_an_interval_may_be_written_as_in_go(directory: Path, written: str, seconds: float) -> None:
    limit = read(directory, f"rate_limit: {{interval: {written}, burst: 20}}").rate_limit
    assert limit.interval == pytest.approx(seconds)
    assert limit.burst == 20


AUTH_TYPE = (
    "Python's TLS cannot request a certificate without verifying it, as {} does: "
    "write RequireAndVerifyClientCert, VerifyClientCertIfGiven or NoClientCert"
)
NO_EFFECT = (
    "has no effect without client certificates: set client_auth_type: RequireAndVerifyClientCert"
)
OLD = "versions before TLS 1.2 are broken and not supported (RFC 8996): write TLS12 or TLS13"
NO_HASH = (
    "is not a bcrypt hash, such as `htpasswd -nBC 10 USER` writes after the colon: "
    "$2y$, a cost, $, and 53 characters"
)
USELESS_SUITES = (
    "suites of TLS 1.2 have no effect with min_version TLS13; those of TLS 1.3 are always enabled"
)
OTHER_HEADER = (
    "this header cannot be set; allowed are Content-Security-Policy, "
    "X-Frame-Options, X-Content-Type-Options, X-XSS-Protection, Strict-Transport-Security"
)
FORM = "write a duration such as 500ms, 30s, 5m or 1h30m"
T = "tls_server_config"
H = "http_server_config"
MISTAKES: list[tuple[dict[str, Any] | str, str]] = [
    ("", "is empty: deploy/web-config.example.yml shows what belongs here"),
    ("[]", "must be a mapping (lines of 'key: value'), not a list"),
    ("tls_config: {}", "tls_config: unknown key; did you mean 'tls_server_config'?"),
    ("basic_auth_user: {}", "basic_auth_user: unknown key; did you mean 'basic_auth_users'?"),
    (tls(key_fil="x"), f"{T}.key_fil: unknown key; did you mean 'key_file'?"),
    (tls(cert_file=None), f"{T}: cert_file or cert is required for TLS"),
    (tls(key_file=None), f"{T}: key_file or key is required for TLS"),
    (tls(cert_file="nowhere"), f"{T}.cert_file: no such file: check the path (DIRECTORY/nowhere)"),
    (tls(cert_file="."), f"{T}.cert_file: is a directory: name a file (DIRECTORY)"),
    (
        tls(cert_file="server-key.pem"),
        f"{T}.cert_file: has no certificate: it must be in PEM format",
    ),
    (tls(key_file="server.pem"), f"{T}.key_file: has no private key: it must be in PEM format"),
    (tls(key_file="other-key.pem"), f"{T}: the key does not match the certificate"),
    (
        tls(key_file="encrypted.pem"),
        f"{T}.key_file: holds an encrypted key, for which no password can be given: decrypt it",
    ),
    (
        tls(cert_file="broken.pem"),
        f"{T}: certificate or key is invalid or unsuitable (OpenSSL: no reason)",
    ),
    (tls(cert="x", cert_file=None), f"{T}.cert: has no certificate: it must be in PEM format"),
    (
        tls(key="-----BEGIN PRIVATE KEY-----"),
        f"{T}: key_file and key are mutually exclusive: keep one",
    ),
    (tls(key=["MARKER"], key_file=None), f"{T}.key: must be text in PEM format, not a list"),
    (
        tls(client_ca_file="server-key.pem", client_auth_type="VerifyClientCertIfGiven"),
        f"{T}.client_ca_file: has no valid certificates: they must be in PEM format",
    ),
    (
        tls(client_ca="-----BEGIN CERTIFICATE-----", client_auth_type="VerifyClientCertIfGiven"),
        f"{T}.client_ca: has invalid certificates: they must be in PEM format",
    ),
    (tls(client_ca_file="authority.pem"), f"{T}.client_ca_file: {NO_EFFECT}"),
    (tls(client_allowed_sans=["x"]), f"{T}.client_allowed_sans: {NO_EFFECT}"),
    (
        tls(client_auth_type="RequireAndVerifyClientCert"),
        f"{T}: client_ca_file or client_ca is required with this client_auth_type: it says whom to trust",
    ),
    *(
        (tls(client_auth_type=policy), f"{T}.client_auth_type: {AUTH_TYPE.format(policy)}")
        for policy in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
    ),
    (
        tls(client_auth_type="Please"),
        f"{T}.client_auth_type: must be NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
    ),
    (
        tls(**CLIENTS, client_allowed_sans=[]),
        f"{T}.client_allowed_sans: must have at least one entry",
    ),
    (tls(min_version="TLS10"), f"{T}.min_version: {OLD}"),
    (tls(max_version="TLS11"), f"{T}.max_version: {OLD}"),
    (tls(min_version="TLS1.2"), f"{T}.min_version: must be TLS12 or TLS13"),
    (
        tls(min_version="TLS13", max_version="TLS12"),
        f"{T}.max_version: is older than min_version",
    ),
    (
        tls(cipher_suites=[GCM], min_version="TLS13"),
        f"{T}.cipher_suites: {USELESS_SUITES}",
    ),
    (
        tls(cipher_suites=["TLS_AES_128_GCM_SHA256"]),
        f"{T}.cipher_suites: has no suite for TLS 1.2: add one, or write min_version: TLS13",
    ),
    (
        tls(curve_preferences=["X448"]),
        f"{T}.curve_preferences[0]: must be one of CurveP256, CurveP384, CurveP521, X25519",
    ),
    (
        tls(curve_preferences=["X25519", "CurveP256"]),
        f"{T}.curve_preferences: Python's TLS takes one curve, or all four: keep the first",
    ),
    (
        tls(prefer_server_cipher_suites="yes"),
        f"{T}.prefer_server_cipher_suites: must be true or false, without quotes",
    ),
    ({H: {"http2": "true"}}, f"{H}.http2: must be true or false, without quotes"),
    (
        {H: {"headers": {"Server": "x"}}},
        f"{H}.headers.Server: {OTHER_HEADER}",
    ),
    (
        {H: {"headers": {"X-Frame-Options": "DENY"}}},
        f"{H}.headers.X-Frame-Options: must be deny or sameorigin, in lower case",
    ),
    (
        {H: {"headers": {"X-Content-Type-Options": "sniff"}}},
        f"{H}.headers.X-Content-Type-Options: must be nosniff, in lower case",
    ),
    (
        {H: {"headers": {"X-XSS-Protection": "0\r\nX: y"}}},
        f"{H}.headers.X-XSS-Protection: has a control or invisible character: write printable text",
    ),
    (
        {H: {"headers": {"X-XSS-Protection": "ö"}}},
        f"{H}.headers.X-XSS-Protection: has a character that a header cannot contain: use ASCII",
    ),
    ({"basic_auth_users": {"alice": "MARKER"}}, f"basic_auth_users.alice: {NO_HASH}"),
    ("basic_auth_users: {alice: 12345}", f"basic_auth_users.alice: {NO_HASH}"),
    ({"basic_auth_users": {"alice": HASH[:-1]}}, f"basic_auth_users.alice: {NO_HASH}"),
    (
        {"basic_auth_users": {"alice": HASH[:28] + "/" + HASH[29:]}},
        f"basic_auth_users.alice: {NO_HASH}",
    ),
    (
        {"basic_auth_users": {"alice": HASH.replace("$04$", "$15$")}},
        "basic_auth_users.alice: has a cost above 14: checking a password would take seconds; use about 10",
    ),
    (
        {"basic_auth_users": {"a:b": HASH}},
        'basic_auth_users["a:b"]: a user name cannot contain a colon: basic authentication ends it there',
    ),
    ("rate_limit: {interval: 5, burst: 1}", f"rate_limit.interval: 5 has no unit: {FORM}"),
    (
        "rate_limit: {interval: 1x, burst: 1}",
        f"rate_limit.interval: the value is not a duration: {FORM}",
    ),
    (
        "rate_limit: {interval: 1s, burst: 0}",
        "rate_limit.burst: refuses every request: must be at least 1",
    ),
    (
        "rate_limit: {interval: 1s}",
        "rate_limit: burst is required: the number of requests allowed at once, at least 1",
    ),
    (
        "rate_limit: {burst: 5}",
        "rate_limit: burst has no effect without interval: the time between two requests, such as 100ms",
    ),
]


@pytest.mark.parametrize(
    ("document", "message"), MISTAKES, ids=[message for _, message in MISTAKES]
)
def test_each_mistake_is_reported_with_its_place_and_what_is_expected(
    directory: Path, document: dict[str, Any] | str, message: str
) -> None:
    Authority(directory, "another").sign("127.0.0.1", stem="other")
    (directory / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nMARKER\n")
    (directory / "encrypted.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMARKER\n")
    assert mistakes(directory, document) == [message.replace("DIRECTORY", str(directory))]


def test_a_file_that_changes_while_it_is_read_is_a_mistake_and_no_traceback(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(_config: TlsServerConfig, _context: ssl.SSLContext) -> None:
        (directory / "authority.pem").unlink()

    # After the file was checked, and before it is loaded.
    monkeypatch.setattr(TlsServerConfig, "_choose_ciphers", remove)
    problem = f"{T}: client_ca_file changed while it was read: try again"
    assert mistakes(directory, tls(**CLIENTS)) == [problem]


def test_every_mistake_is_reported_at_once(directory: Path) -> None:
    document = tls(min_version="TLS9", cert_file="nowhere", client_ca_file="authority.pem")
    document |= {"basic_auth_users": {"alice": "MARKER"}, "rate_limit": {"burst": 1}}
    assert [mistake.split(":")[0] for mistake in mistakes(directory, document)] == [
        "tls_server_config.cert_file",
        "tls_server_config.min_version",
        "basic_auth_users.alice",
        "tls_server_config.client_ca_file",
        "rate_limit",
    ]


def test_paths_start_at_the_directory_of_the_file(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory, tls())
    (directory / "elsewhere").mkdir()
    monkeypatch.chdir(directory / "elsewhere")
    config = WebConfigFile(Path("../web-config.yml")).configuration.tls_server_config
    assert config
    assert [file.samefile(directory / file.name) for file in config.files] == [True, True]


def test_no_secret_is_shown(directory: Path) -> None:
    key = (directory / "server-key.pem").read_text()
    document = tls(key=key, key_file=None) | {"basic_auth_users": {"alice": HASH}}
    shown = repr(read(directory, document)) + str(read(directory, document))
    assert "alice" in shown
    assert HASH not in shown
    assert key.splitlines()[1] not in shown
    document["basic_auth_users"]["bob"] = "MARKER"
    document[T]["cert_file"] = "nowhere"
    with pytest.raises(ConfigError) as caught:
        read(directory, document)
    told = "".join(traceback.format_exception(caught.value))
    for secret in (HASH, key.splitlines()[1], "MARKER"):
        assert secret not in told
