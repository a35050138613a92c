"""Debian's nginx on loopback with the configuration of deploy/nginx, in front of a server in place of Kraken's API."""

import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.custody.servers import Certificate, closed_port, make_certificate
from tests.deploy.rules import DEPLOY
from tests.programs import program
from tests.waiting import until

CONFIGURATION: Final = DEPLOY / "nginx" / "kraken-custody.conf"
HOST: Final = "api.kraken.com"
# The configuration of nginx-light, without what needs root.
_AROUND: Final = """\
daemon off;
pid {0}/pid;
events {{}}
http {{
    client_body_temp_path {0}/body;
    proxy_temp_path {0}/proxy;
    fastcgi_temp_path {0}/fastcgi;
    uwsgi_temp_path {0}/uwsgi;
    scgi_temp_path {0}/scgi;
    include {0}/kraken-custody.conf;
}}
"""


@dataclass(frozen=True)
class Proxy:
    """A running nginx. ca_file: verifies its own certificate."""

    loopback_url: str
    tls_url: str
    ca_file: Path
    directory: Path

    def log(self) -> list[list[str]]:
        """Return the fields of each line of the access log."""
        return [line.split() for line in (self.directory / "access.log").read_text().splitlines()]


def api_certificate(directory: Path, name: str = HOST) -> Certificate:
    """Return a certificate for the server that the proxy takes for the API."""
    directory.mkdir()
    return make_certificate(directory, f"DNS:{name}")


@contextmanager
def proxy(
    directory: Path, api_url: str, trusted: Path, changes: Mapping[str, str] | None = None
) -> Iterator[Proxy]:
    """Run nginx in front of `api_url`, whose certificate is `trusted`. changes: other texts of the configuration."""
    directory.mkdir()
    shown = make_certificate(directory)
    port, tls_port = closed_port(), closed_port()
    text = CONFIGURATION.read_text("utf-8")
    for written, here in {
        "listen 127.0.0.1:10064;": f"listen 127.0.0.1:{port};",
        "listen 8443 ssl;": f"listen 127.0.0.1:{tls_port} ssl;",
        "/etc/nginx/kraken-custody/certificate.pem": str(shown.file),
        "/etc/nginx/kraken-custody/key.pem": str(directory / "key.pem"),
        "/etc/ssl/certs/ca-certificates.crt": str(trusted),
        "/var/log/nginx/kraken-custody.log": str(directory / "access.log"),
        f"set $kraken_custody_api {HOST};": f"set $kraken_custody_api {urlsplit(api_url).netloc};",
        **(changes or {}),
    }.items():
        assert text.count(written) == 1, written
        text = text.replace(written, here)
    (directory / "kraken-custody.conf").write_text(text)
    whole = directory / "nginx.conf"
    whole.write_text(_AROUND.format(directory))
    log = directory / "error.log"
    command = [program("nginx", package="nginx-light"), "-e", str(log), "-p", str(directory)]
    running = subprocess.Popen([*command, "-c", str(whole)])
    try:

        def listens() -> bool:
            assert running.poll() is None, log.read_text()
            with socket.socket() as asking:
                return asking.connect_ex(("127.0.0.1", tls_port)) == 0

        until(listens)
        urls = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}"
        yield Proxy(*urls, shown.file, directory)
    finally:
        running.terminate()
        running.wait()
