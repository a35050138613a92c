"""Environment variables that affect connections to the API, and those meant only for other programs."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.custody.connections import way_to
from exporter.custody.environment import (
    EnvironmentMistakeError,
    is_exempt,
    is_loopback,
    proxy_for,
    trust,
)
from exporter.strict_yaml import files
from exporter.strict_yaml.mistakes import UnansweredError
from tests.custody.asking import NO_TRUST

API = "https://api.kraken.com"
HOST = "api.kraken.com"
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper()):
            monkeypatch.delenv(name, raising=False)


def chosen(base_url: str = API) -> str | None:
    proxy = proxy_for(base_url)
    return str(proxy.url) if proxy else None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY}, PROXY),
        ({"HTTPS_PROXY": "http://other:1", "https_proxy": PROXY}, PROXY),
        ({"HTTPS_PROXY": PROXY, "ALL_PROXY": "http://other:1"}, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ({"HTTPS_PROXY": "https://proxy.example"}, "https://proxy.example"),
        ({"HTTP_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "kraken.com"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "kraken.com:443"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "kraken.com:8443"}, PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "[::1],fd00::/8,10.0.0.0/8,localhost,.svc"}, PROXY),
        # Variables for other programs are not a mistake here.
        ({"HTTP_PROXY": "ftp://nonsense", "HTTPS_PROXY": PROXY}, PROXY),
        ({"HTTPS_PROXY": "ftp://nonsense", "NO_PROXY": "*"}, None),
    ],
    ids=str,
)
def test_the_proxy_is_the_one_that_the_environment_names_for_the_host(
    variables: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert chosen() == expected


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8080", "https://localhost", "https://[::1]"]
)
def test_this_machine_is_never_reached_through_a_proxy(
    base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("ALL_PROXY", PROXY)
    assert chosen(base_url) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "exempt"),
    [
        ("", HOST, False),
        (",, ,", HOST, False),
        ("*", HOST, True),
        ("localhost, *", HOST, True),
        ("api.kraken.com", HOST, True),
        ("API.Kraken.COM.", HOST, True),
        ("kraken.com", HOST, True),
        (".kraken.com", HOST, True),
        ("*.kraken.com", HOST, True),
        (".kraken.com", "kraken.com", True),
        ("kraken.com", "notkraken.com", False),
        ("kraken.com", "kraken.com.example", False),
        ("localhost 127.0.0.1 kraken.com", HOST, True),
        ("kraken.com:443", HOST, True),
        ("kraken.com:8443", HOST, False),
        ("https://kraken.com", HOST, True),
        ("all://kraken.com", HOST, True),
        ("http://kraken.com", HOST, False),
        ("10.0.0.0/8", HOST, False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", False),
        ("::1", HOST, False),
        ("[::1]", HOST, False),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "10.1.2.3", False),
        ("[fd12::1]", "fd12::1", True),
        ("fd12:0::1", "fd12::1", True),
        ("[fd12::1]:443", "fd12::1", True),
        ("[fd12::1]:80", "fd12::1", False),
        ("fd00::/999,[,]:,://,[::1]],.,*.", HOST, False),
    ],
)
def test_no_proxy_may_have_every_form_that_other_programs_write(
    no_proxy: str,
    host: str,
    exempt: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert is_exempt(host, 443, no_proxy) is exempt


@given(st.text())
def test_nothing_in_no_proxy_is_a_mistake(no_proxy: str) -> None:
    assert is_exempt(HOST, 443, no_proxy) in (True, False)
    assert is_exempt("fd12::1", 443, no_proxy) in (True, False)


NO_ADDRESS = (
    "{} in the environment: is not a proxy address: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, "
    "with special characters of the password percent-encoded"
)
SOCKS = "{} in the environment: SOCKS is not supported: name an HTTP proxy, as http://HOST:PORT"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("https_proxy", "ftp://user:MARKER@proxy", NO_ADDRESS),
        ("https_proxy", "http://user:MARK/ER@proxy:3128", NO_ADDRESS),
        ("https_proxy", "http://user:MARK#ER@proxy:3128", NO_ADDRESS),
        ("https_proxy", "http://user:MARKER", NO_ADDRESS),
        ("https_proxy", "http://user:MARKER\x01@proxy:3128", NO_ADDRESS),
        ("https_proxy", "https://user:MARKER@proxy:port", NO_ADDRESS),
        ("https_proxy", "http://user:MARKER@", NO_ADDRESS),
        ("all_proxy", "socks5://user:MARKER@proxy:1080", SOCKS),
        ("all_proxy", "socks5h://user:MARKER@proxy:1080", SOCKS),
    ],
)
def test_an_invalid_proxy_is_named_by_its_variable_without_its_password(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(EnvironmentMistakeError) as caught:
        way_to(API, NO_TRUST)
    assert str(caught.value) == message.format(variable.upper())
    assert caught.value.__cause__ is None
    assert "MARK" not in message


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
def test_a_file_that_the_environment_names_is_reported_with_its_variable(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "nowhere" / "file"
    monkeypatch.setenv(variable, str(file))
    with pytest.raises(EnvironmentMistakeError) as caught:
        trust(None)
    assert str(caught.value) == f"{variable} ({file}) in the environment: No such file or directory"


def test_a_ca_file_that_cannot_be_read_is_reported_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMistakeError) as caught:
        trust(tmp_path / "ca.pem")
    assert str(caught.value) == f"{tmp_path}/ca.pem: No such file or directory"


def test_a_file_for_tls_keys_that_does_not_answer_is_reported_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    os.mkfifo(keys)
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.05)
    with pytest.raises(UnansweredError, match=r"keys: did not answer within 0\.05 s"):
        trust(None)
    # A pending writer continues.
    keys.open("rb").close()


def test_tls_keys_are_logged_if_the_environment_requests_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert trust(None).keylog_filename == str(tmp_path / "keys")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("::", False),
        ("api.kraken.com", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_a_loopback_host_is_always_this_machine(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is loopback
