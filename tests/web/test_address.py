"""Listen addresses: their form, their meaning, and the message if one is not available."""

import socket

import pytest

from exporter.web.address import ListenAddress, ListenError


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:10063", "127.0.0.1", 10063),
        ("0.0.0.0:80", "0.0.0.0", 80),
        (":10063", "", 10063),
        ("localhost:0", "localhost", 0),
        ("exporter.example:65535", "exporter.example", 65535),
        ("[::1]:10063", "::1", 10063),
        ("[::]:10063", "::", 10063),
        ("[fe80::1%eth0]:10063", "fe80::1%eth0", 10063),
    ],
)
def test_an_address_is_read_and_written_in_the_same_form(text: str, host: str, port: int) -> None:
    address = ListenAddress.parse(text)
    assert address == ListenAddress(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "10063",
        "localhost",
        "localhost:",
        "localhost:http",
        "localhost:-1",
        "localhost:+1",
        "localhost: 1",
        "localhost:65536",
        "localhost:1_0",
        "localhost:٣",
        pytest.param("localhost:" + "9" * 5000, id="a port of 5000 digits"),
        "no such host:1",
        "ü:1",
        "http://localhost:1",
        "::1:10063",
        "[::1:10063",
        "::1]:10063",
        "[]:10063",
        "[localhost]:10063",
        "[127.0.0.1]:10063",
    ],
)
def test_an_invalid_listen_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT") as refused:
        ListenAddress.parse(text)
    forms = "such as 127.0.0.1:10063, [::1]:10063 or :10063"
    assert str(refused.value) == f"{text!r} is not HOST:PORT, {forms}"


def connects(family: socket.AddressFamily, host: str, port: int) -> bool:
    with socket.socket(family) as client:
        return client.connect_ex((host, port)) == 0


def test_a_single_address_is_listened_on_alone() -> None:
    with ListenAddress("127.0.0.1", 0).listen() as listener:
        port = listener.getsockname()[1]
        assert connects(socket.AF_INET, "127.0.0.1", port)
        assert not connects(socket.AF_INET, "127.0.0.2", port)


@needs_ipv6
def test_an_ipv6_address_is_listened_on() -> None:
    with ListenAddress("::1", 0).listen() as listener:
        port = listener.getsockname()[1]
        assert connects(socket.AF_INET6, "::1", port)
        assert not connects(socket.AF_INET, "127.0.0.1", port)


@needs_ipv6
def test_without_a_host_every_interface_is_listened_on_with_ipv4_and_ipv6() -> None:
    with ListenAddress("", 0).listen() as listener:
        port = listener.getsockname()[1]
        assert connects(socket.AF_INET, "127.0.0.1", port)
        assert connects(socket.AF_INET, "127.0.0.2", port)
        assert connects(socket.AF_INET6, "::1", port)


def test_without_ipv6_every_interface_is_listened_on_with_ipv4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with ListenAddress("", 0).listen() as listener:
        assert listener.family == socket.AF_INET
        assert connects(socket.AF_INET, "127.0.0.1", listener.getsockname()[1])


def test_answers_leave_without_waiting_for_acknowledgements() -> None:
    with ListenAddress("127.0.0.1", 0).listen() as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def refusal(address: ListenAddress) -> str:
    with pytest.raises(ListenError) as refused:
        address.listen()
    return str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6), ""])
def test_a_taken_port_is_reported_in_one_message(host: str) -> None:
    with ListenAddress(host, 0).listen() as taken:
        address = ListenAddress(host, taken.getsockname()[1])
        assert refusal(address) == (
            f"cannot listen on {address}: Address already in use; "
            "choose another address with --web.listen-address"
        )


def test_an_address_of_another_machine_is_reported_in_one_message() -> None:
    assert refusal(ListenAddress("192.0.2.1", 0)) == (
        "cannot listen on 192.0.2.1:0: Cannot assign requested address; "
        "choose another address with --web.listen-address"
    )


@pytest.mark.parametrize(
    "host",
    ["a..b", "x" * 70],  # The resolver itself refuses it, without a network.
)
def test_a_host_that_cannot_be_found_is_reported_in_one_message(host: str) -> None:
    message = refusal(ListenAddress(host, 0))
    assert message.startswith(f"cannot listen on {host}:0: ")
    assert message.endswith("; choose another address with --web.listen-address")
    assert message.count(host) == 1
    assert "\n" not in message


def test_a_port_is_free_again_at_once() -> None:
    with ListenAddress("127.0.0.1", 0).listen() as listener:
        address = ListenAddress("127.0.0.1", listener.getsockname()[1])
        # The side that closes first keeps the connection in TIME_WAIT, which must not hold up a restart.
        with socket.create_connection(listener.getsockname()):
            listener.accept()[0].close()
    with address.listen():
        pass
