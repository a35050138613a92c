"""TLS and passwords of the running exporter, as curl and a real Prometheus meet them."""

import json
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from exporter.simulator.server import SimulatorThread
from tests.exporting import configuration, simulator, write
from tests.processes import Running, run, running
from tests.programs import program
from tests.prometheus import serving
from tests.waiting import until
from tests.web.access.files import HASH, OTHER_HASH, PASSWORD
from tests.web.access.files import write as write_web_config
from tests.web.certificates import Authority

TLS = {"cert_file": "server.pem", "key_file": "server-key.pem"}
CLIENTS = {
    "client_ca_file": "authority.pem",
    "client_auth_type": "RequireAndVerifyClientCert",
    "client_allowed_sans": ["prometheus.example"],
}
USERS = {"alice": HASH}
RIGHT = f"alice:{PASSWORD.decode()}"
EVERYTHING = {"tls_server_config": TLS | CLIENTS, "basic_auth_users": USERS}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory with certificates, and the configuration of an exporter of the simulator."""
    authority = Authority(tmp_path)
    authority.sign("127.0.0.1")
    authority.sign("prometheus.example", stem="client")
    Authority(tmp_path, "other").sign("prometheus.example", stem="other-client")
    with SimulatorThread(simulator().app) as base_url:
        write(tmp_path, configuration(base_url))
        yield tmp_path


@contextmanager
def exporting(directory: Path, document: dict[str, Any], *flags: str) -> Iterator[Running]:
    file = write_web_config(directory, document)
    file.chmod(0o600)
    with running("--web.config.file", file, *flags, directory=directory) as exporter:
        exporter.wait_for("target_up")
        yield exporter


def curl(exporter: Running, *options: str, path: str = "/metrics") -> tuple[int, str]:
    """Request with curl; return the status, 0 if there was no answer, and the body."""
    url = httpx.URL(exporter.wait_for("started")["metrics"]).join(path)
    command = [program("curl", package="curl"), "--silent", "--noproxy", "*", "--max-time", "20"]
    asked = subprocess.run(
        [*command, "--write-out", "\n%{http_code}", *options, str(url)],
        capture_output=True,
        text=True,
        check=False,
    )
    body, _, status = asked.stdout.rpartition("\n")
    return int(status), body


def client(
    directory: Path, stem: str = "client", password: str = PASSWORD.decode()
) -> httpx.Client:
    trust = ssl.create_default_context(cafile=directory / "authority.pem")
    trust.load_cert_chain(directory / f"{stem}.pem", directory / f"{stem}-key.pem")
    return httpx.Client(verify=trust, auth=("alice", password), trust_env=False)


def test_curl_gets_in_with_the_certificate_and_the_password_and_not_without(
    directory: Path,
) -> None:
    ca = ("--cacert", str(directory / "authority.pem"))
    own, other = (
        ("--cert", str(directory / f"{stem}.pem"), "--key", str(directory / f"{stem}-key.pem"))
        for stem in ("client", "other-client")
    )
    with exporting(directory, EVERYTHING) as exporter:
        assert exporter.wait_for("started")["page"].startswith("https://127.0.0.1:")
        status, body = curl(exporter, *ca, *own, "--user", RIGHT)
        assert status == 200
        assert "kraken_custody_vault_balance{" in body
        for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/targets", "/nowhere"):
            assert curl(exporter, *ca, *own, path=path) == (401, "Unauthorized\n")
            assert curl(exporter, *ca, *own, "--user", "alice:no", path=path)[0] == 401
        assert curl(exporter, *ca, "--user", RIGHT)[0] == 0, "no certificate"
        assert curl(exporter, *ca, *other, "--user", RIGHT)[0] == 0, "somebody else's certificate"
        assert curl(exporter, *own, "--user", RIGHT)[0] == 0, "curl does not trust the exporter"
        old = ("--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0")
        assert curl(exporter, *ca, *own, *old, "--user", RIGHT)[0] == 0
        assert curl(exporter, *ca, *own, "--tls-max", "1.2", "--user", RIGHT)[0] == 200
        assert curl(exporter, *ca, *own, "--http2", "--user", RIGHT)[0] == 200


def test_prometheus_scrapes_with_a_client_certificate_and_a_password_and_misses_no_scrape(
    directory: Path,
) -> None:
    with exporting(directory, EVERYTHING) as exporter:
        target = httpx.URL(exporter.wait_for("started")["metrics"]).netloc.decode()
        tls = {"ca_file": "authority.pem", "cert_file": "client.pem", "key_file": "client-key.pem"}
        job = {
            "scheme": "https",
            "static_configs": [{"targets": [target]}],
            "basic_auth": {"username": "alice", "password": PASSWORD.decode()},
        }
        jobs = [
            job | {"job_name": "right", "tls_config": tls},
            job | {"job_name": "no certificate", "tls_config": {"ca_file": "authority.pem"}},
            job | {"job_name": "no password", "tls_config": tls, "basic_auth": None},
        ]
        file = directory / "prometheus.yml"
        file.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
        with serving(file) as prometheus:

            def scrapes() -> float:
                ((_, count),) = prometheus.values('count_over_time(up{job="right"}[5m])') or [
                    ({}, 0)
                ]
                return count

            until(lambda: scrapes() > 1)
            Authority(directory, "new").sign("127.0.0.1")
            # The authorities that Prometheus and the exporter trust stay the same.
            (directory / "authority.pem").write_bytes(
                (directory / "authority.pem").read_bytes() + (directory / "new.pem").read_bytes()
            )
            exporter.wait_for("web_config_reloaded")
            before = scrapes()
            until(lambda: scrapes() > before + 2)
            missed = prometheus.values("min_over_time(up[5m])")
            assert {labels["job"]: value for labels, value in missed} == {
                "right": 1.0,
                "no certificate": 0.0,
                "no password": 0.0,
            }
            targets = prometheus.ask("/api/v1/targets")["activeTargets"]
            errors = {target["labels"]["job"]: target["lastError"] for target in targets}
            assert errors["right"] == ""
            assert "401" in errors["no password"]
            assert errors["no certificate"]


def test_no_scrape_is_lost_while_certificates_and_passwords_are_exchanged(directory: Path) -> None:
    """On long-lived and new connections, by reload and by changes on disk."""
    authority = Authority(directory)
    authority.sign("127.0.0.1")
    authority.sign("prometheus.example", stem="client")
    with exporting(directory, EVERYTHING) as exporter, client(directory) as long:
        url = exporter.wait_for("started")["metrics"]
        statuses: list[int] = []
        over = threading.Event()

        def scrape() -> None:
            while not over.is_set():
                with client(directory) as short:
                    statuses.append(short.get(url).status_code)
                statuses.append(long.get(url).status_code)

        scraper = threading.Thread(target=scrape)
        scraper.start()
        try:
            for number in range(1, 6):
                authority.sign("127.0.0.1")
                document = EVERYTHING | {"basic_auth_users": USERS | {f"user {number}": OTHER_HASH}}
                write_web_config(directory, document)
                exporter.process.send_signal(signal.SIGHUP)
                until(lambda: len(exporter.events("reloaded")) == number)  # noqa: B023 - waited for here
            authority.sign("127.0.0.1")
            until(lambda: exporter.events("web_config_reloaded"))
            seen = len(statuses)
            until(lambda: len(statuses) > seen + 4)
        finally:
            over.set()
            scraper.join()
    assert set(statuses) == {200}


def test_a_bad_web_configuration_changes_nothing_at_a_reload_and_says_so(directory: Path) -> None:
    with exporting(directory, EVERYTHING, "--web.enable-lifecycle") as exporter:
        url = httpx.URL(exporter.wait_for("started")["metrics"]).join("/-/reload")
        write_web_config(directory, EVERYTHING | {"users": {}, "rate_limit": {"burst": 1}})
        with client(directory) as asking:
            answer = asking.post(url)
            assert answer.status_code == 500
            assert "web-config.yml: users (line 12, column 1): unknown key" in answer.text
            assert "burst has no effect" in answer.text
            write_web_config(directory, EVERYTHING | {"basic_auth_users": {"alice": OTHER_HASH}})
            assert asking.post(url).text == "Reloaded.\n"
            assert asking.post(url).status_code == 401
        with client(directory, password="other") as asking:
            evil = {"origin": "https://evil.example"}
            assert asking.post(url, headers=evil).status_code == 403
            assert asking.post(url, headers={"sec-fetch-site": "cross-site"}).status_code == 403
            own = {"origin": str(url.join("/")).removesuffix("/")}
            assert asking.post(url, headers=own).status_code == 200


@pytest.mark.parametrize("flag", ["--config.check", "--log.level=info"])
def test_a_start_and_a_check_refuse_the_same_web_configurations(flag: str, directory: Path) -> None:
    file = write_web_config(
        directory, {"tls_server_config": {}, "basic_auth_users": {"alice": "MARKER"}}
    )
    done = run(
        "--web.config.file", file, "--web.listen-address=127.0.0.1:0", flag, directory=directory
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert [
        line.removeprefix(f"{file}: ").partition(" (line")[0] for line in done.stderr.splitlines()
    ] == [
        "basic_auth_users.alice",
        "tls_server_config",
        "tls_server_config",
    ]
    assert "MARKER" not in done.stderr


def test_a_check_accepts_a_good_web_configuration(directory: Path) -> None:
    file = write_web_config(directory, EVERYTHING)
    done = run("--config.check", "--web.config.file", file, directory=directory)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_start_warns_of_what_others_can_read(directory: Path) -> None:
    with exporting(
        directory, {"basic_auth_users": USERS}, "--web.listen-address=0.0.0.0:0"
    ) as exporter:
        warnings = [event for event in exporter.events() if event["level"] == "warn"]
    assert [event["event"] for event in warnings] == ["web_password_in_plain_text"]


HOSTS = {
    "evil.example": 421,
    "[]": 400,
    "localhost:10063": 200,
    "10.1.2.3:10063": 200,
    "kraken-exporter.monitoring.svc:10063": 200,
    f"{socket.gethostname().partition('.')[0]}.example.net": 200,
    "custody.example.org": 200,
}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])
def test_a_page_elsewhere_cannot_read_balances_by_pointing_its_name_here(
    directory: Path, host: str
) -> None:
    """On every interface as on loopback, because a container's port may be published on loopback."""
    flags = (f"--web.listen-address={host}:0", "--web.allowed-host=custody.example.org")
    with exporting(directory, {"http_server_config": {}}, *flags) as exporter:
        got = {name: curl(exporter, "--header", f"Host: {name}")[0] for name in HOSTS}
        without = curl(exporter, "--http1.0", "--header", "Host:")[0]
        events = [event["event"] for event in exporter.events() if event["level"] != "info"]
    assert got == HOSTS
    assert without == 200
    assert set(events) <= {"web_open_to_all"}


def test_no_password_or_hash_gets_into_the_log(directory: Path) -> None:
    with exporting(directory, EVERYTHING, "--log.level=debug") as exporter:
        url = exporter.wait_for("started")["metrics"]
        for password in (PASSWORD.decode(), "MARKER-wrong", "MARKER" * 1000):
            with client(directory, password=password) as asking:
                asking.get(url)
        curl(exporter, "--insecure", "--user", RIGHT)
        until(lambda: exporter.events("tls_handshake_failed"))
        write_web_config(
            directory, yaml.safe_dump(EVERYTHING) + "basic_auth_users: {alice: MARKER}\n"
        )
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for("reload_failed")
        assert exporter.stop(signal.SIGTERM) == 0
        assert "MARKER" not in exporter.stderr
        assert HASH not in exporter.stderr
