"""What the environment sets for connections to the API: the proxy and the trusted certificates."""

import contextlib
import ipaddress
import os
import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import httpx

from exporter.strict_yaml.files import answer_of


class EnvironmentMistakeError(Exception):
    """An environment variable or a file makes connections impossible; the message says which and why."""


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS settings for the API: the system's roots (or SSL_CERT_FILE's) and those in `ca_file`.

    Raises EnvironmentMistakeError if they cannot be read, and UnansweredError. Blocks: not to be called on the event
    loop.
    """
    # The standard library writes TLS keys there; if it cannot, it would fail below with a message about the roots.
    if key_log := os.environ.get("SSLKEYLOGFILE"):
        with _named(f"SSLKEYLOGFILE ({key_log}) in the environment"):
            answer_of(Path(key_log), lambda: _keep_keys(key_log))
    variable = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
    if roots := os.environ.get(variable):
        with _named(f"{variable} ({roots}) in the environment"):
            context = answer_of(Path(roots), httpx.create_ssl_context)
    else:
        context = httpx.create_ssl_context()
    if ca_file is not None:
        with _named(str(ca_file)):
            answer_of(ca_file, lambda: context.load_verify_locations(ca_file))
    return context


def _keep_keys(file: str) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = file


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Name in errors what cannot be used."""
    try:
        yield
    except OSError as error:
        raise EnvironmentMistakeError(f"{what}: {error.strerror or error}") from None


def proxy_for(base_url: str) -> httpx.Proxy | None:
    """Return the environment's proxy for `base_url`, or None.

    HTTPS_PROXY, else ALL_PROXY, unless NO_PROXY matches the host, as in curl. Other entries of NO_PROXY are for other
    programs and never an error. Raises EnvironmentMistakeError if the proxy cannot be used.
    """
    url, proxies = urlsplit(base_url), getproxies()
    host = url.hostname or ""
    # A proxy would not reach the simulator on this machine.
    if is_loopback(host) or is_exempt(host, url.port or 443, proxies.get("no", "")):
        return None
    for kind in (url.scheme, "all"):
        if address := proxies.get(kind):
            return _proxy(f"{kind.upper()}_PROXY in the environment", address)
    return None


def _proxy(where: str, address: str) -> httpx.Proxy:
    # httpx's message may quote part of the proxy's password.
    with contextlib.suppress(ValueError, httpx.InvalidURL):
        proxy = httpx.Proxy(_with_scheme(address))
        if proxy.url.scheme.startswith("socks"):
            problem = "SOCKS is not supported: name an HTTP proxy, as http://HOST:PORT"
            raise EnvironmentMistakeError(f"{where}: {problem}")
        if proxy.url.host:
            return proxy
    raise EnvironmentMistakeError(
        f"{where}: is not a proxy address: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, "
        "with special characters of the password percent-encoded"
    )


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY exempts a host from the proxy. host: a name or an address, without brackets.

    Its entries are `*`, names (which include their subdomains), addresses and networks. Names and addresses may have a
    port, and IPv6 addresses brackets. Names are not resolved.
    """
    return any(_exempts(entry, host, port) for entry in re.split(r"[\s,]+", no_proxy.lower()))


def _exempts(entry: str, host: str, port: int) -> bool:
    # httpx accepted entries with a scheme.
    scheme, _, entry = entry.rpartition("://")
    if entry.startswith("["):
        entry, _, its_port = entry[1:].partition("]")
    elif entry.count(":") == 1:
        entry, _, its_port = entry.partition(":")
    else:
        its_port = ""
    if scheme not in ("", "all", "https") or its_port.lstrip(":") not in ("", str(port)):
        return False
    if entry == "*":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    name = entry.lstrip("*.").rstrip(".")
    return bool(name) and f".{host.rstrip('.')}".endswith(f".{name}")


def proxy_secrets() -> tuple[str, ...]:
    """Return the passwords of the environment's proxies, in each form in which a proxy may quote one."""
    secrets: list[str] = []
    for address in getproxies().values():
        with contextlib.suppress(ValueError):
            url = urlsplit(_with_scheme(address))
            if url.password:
                user, password = unquote(url.username or ""), unquote(url.password)
                sent = b64encode(f"{user}:{password}".encode()).decode()
                secrets += [url.password, password, sent]
    return tuple(secrets)


def _with_scheme(address: str) -> str:
    return address if "://" in address else f"http://{address}"


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without brackets) is always this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
