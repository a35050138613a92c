"""The names that the exporter answers to, and valid Host headers."""

import pytest
from starlette.types import Scope

from exporter.web.access.host import OwnNames, host_name, host_of, in_origin_form

NAMES = OwnNames.of("Custody-7.example.net", {"custody.example.org"})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("127.0.0.1:10063", True),
        ("127.0.0.1", True),
        ("[::1]:10063", True),
        ("[::1]", True),
        ("[2001:DB8::1]:10063", True),
        ("192.0.2.1:80", True),
        ("localhost:10063", True),
        ("LocalHost.", True),
        ("exporter.localhost:10063", True),
        ("kraken-exporter:10063", True),
        ("kraken_exporter", True),
        ("kraken-exporter.monitoring.svc:10063", True),
        ("kraken-exporter.monitoring.svc.cluster.local.:10063", True),
        ("ip-10-0-0-1.eu-west-1.compute.internal", True),
        ("host.docker.internal:10063", True),
        ("nas.LAN", True),
        ("nas.local:", True),
        ("nas.localdomain", True),
        ("nas.home.arpa", True),
        ("exporter.test", True),
        ("custody-7.example.com:10063", True),
        ("CUSTODY-7.example.com", True),
        ("custody.example.org", True),
        ("Custody.Example.Org.:10063", True),
        ("www.custody.example.org", False),
        ("evil.example:10063", False),
        ("evil.example.", False),
        ("localhost.evil.example", False),
        ("custody-7x.evil.example", False),
        ("local.evil.example", False),
        ("evil-internal.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("0x7f.1", False),
    ],
)
def test_a_name_that_a_page_could_have_for_this_machine_is_not_its_own(
    header: str, *, expected: bool
) -> None:
    host = host_of(header)
    assert host
    assert (host in NAMES) is expected


@pytest.mark.parametrize("machine", ["localhost", "localhost.localdomain", ""])
def test_a_generic_host_name_is_not_accepted_as_the_machines_own(machine: str) -> None:
    names = OwnNames.of(machine, ())
    assert "localhost.evil.example" not in names
    assert "evil.example" not in names


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "[",
        "[]:10063",
        "[::1",
        "::1",
        "[evil.example]",
        "[127.0.0.1]",
        "[::1%eth0]",
        "[::1]x",
        "[v1.x]",
        ":10063",
        ".",
        "a..b",
        ".a",
        "evil.example:127.0.0.1",
        "evil.example:http",
        "localhost:123456",
        "%31%32%37.0.0.1",
        "127.0.0.1%00.evil.example",
        "user@localhost",
        "localhost/",
        "localhost?",
        "local host",
        "localhost,localhost",
        "http://localhost",
        "bücher.example",
        "localhost\n",
        "<script>",
        "-",
    ],
)
def test_what_is_neither_a_name_nor_an_address_is_malformed(header: str) -> None:
    assert host_of(header) is None


@pytest.mark.parametrize("text", ["Custody.Example.org", "custody.example.org."])
def test_a_flag_names_a_host_however_it_is_written(text: str) -> None:
    assert host_name(text) == "custody.example.org"


@pytest.mark.parametrize("text", ["", ".", "a:80", "*.example.org", "http://a", "[::1]", "a b"])
def test_a_flag_that_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host name without a port"):
        host_name(text)


def asked(target: bytes) -> Scope:
    headers = [(b"accept", b"*/*"), (b"host", b"localhost")]
    return {"raw_path": target, "path": "as it came", "query_string": b"a=b", "headers": headers}


def test_a_request_for_a_path_is_left_as_it_is() -> None:
    for target in (b"/", b"//evil.example/", b"/http://evil.example/", b"*", b"evil.example:80"):
        assert in_origin_form(asked(target)) == asked(target)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://evil.example/metrics", "/metrics"),
        (b"HTTPS://evil.example/a%20b", "/a b"),
        (b"http://evil.example", "/"),
    ],
)
def test_the_authority_of_a_whole_url_replaces_the_host_header(target: bytes, path: str) -> None:
    scope = in_origin_form(asked(target))
    assert (scope["path"], scope["query_string"]) == (path, b"a=b")
    assert scope["headers"] == [(b"host", b"evil.example"), (b"accept", b"*/*")]
