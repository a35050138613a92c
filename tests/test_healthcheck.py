"""How the image's HEALTHCHECK judges an exporter's answers."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
import yaml

from exporter import healthcheck
from tests.custody.servers import make_certificate
from tests.processes import running


@contextmanager
def answering(status: int, text: str, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve one answer for `/-/healthy` on loopback; yield its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/-/healthy" else 404)
            self.end_headers()
            self.wfile.write(text.encode(errors="surrogateescape"))

        def log_message(self, *_: object) -> None:
            """Log nothing: the test looks at the check's own output."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            scheme = "https" if tls else "http"
            yield f"{scheme}://127.0.0.1:{server.server_port}/-/healthy"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (200, "Healthy: polling is in progress.\n", 0),
        (401, "Unauthorized\n", 0),
        (
            421,
            "Without TLS or a password this exporter does not answer to the name x.example.\n",
            0,
        ),
        (429, "Too Many Requests\n", 0),
        (503, "Unhealthy: no poll for a while.\n", 1),
        (404, "Not Found\n", 1),
        (302, "", 1),
    ],
)
def test_the_answer_decides_and_is_printed(
    status: int, text: str, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(status, text) as url:
        assert healthcheck.main({"HEALTHCHECK_URL": url}) == expected
    assert capsys.readouterr() == (f"{url}: {status} {text.strip()}\n", "")


def test_an_answer_of_something_else_is_printed_as_far_as_it_is_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with answering(200, "Healthy \udcff") as url:
        assert healthcheck.main({"HEALTHCHECK_URL": url}) == 0
    assert capsys.readouterr().out == f"{url}: 200 Healthy \ufffd\n"


def test_a_certificate_for_another_name_is_accepted(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "DNS:exporter.example")
    with answering(200, "Healthy", certificate.context) as url:
        assert healthcheck.main({"HEALTHCHECK_URL": url}) == 0


def test_an_exporter_with_tls_and_a_password_is_found_to_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_certificate(tmp_path)
    web = {
        "tls_server_config": {"cert_file": "certificate.pem", "key_file": "key.pem"},
        "basic_auth_users": {"prometheus": bcrypt.hashpw(b"password", bcrypt.gensalt(4)).decode()},
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(web))
    with running("--demo", "--web.config.file", "web.yml", directory=tmp_path) as exporter:
        url = f"{exporter.wait_for('started')['page']}-/healthy"
        assert healthcheck.main({"HEALTHCHECK_URL": url}) == 0
    assert capsys.readouterr().out.startswith(f"{url}: 401")
    assert url.startswith("https:")


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, "Healthy") as url, answering(200, "a proxy") as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert healthcheck.main({"HEALTHCHECK_URL": url}) == 0


def test_without_an_answer_it_is_unhealthy(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(200, "Healthy") as url:
        pass
    assert healthcheck.main({"HEALTHCHECK_URL": url}) == 1
    assert capsys.readouterr().err == f"{url}: [Errno 111] Connection refused\n"


def test_without_a_url_the_usual_port_of_this_machine_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether anything answers there or not."""
    healthcheck.main({})
    assert "".join(capsys.readouterr()).startswith("http://127.0.0.1:10063/-/healthy: ")


def test_an_exporter_that_speaks_tls_does_not_pass_for_healthy_without_it(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with answering(200, "Healthy", certificate.context) as url:
        plain = url.replace("https:", "http:")
        assert healthcheck.main({"HEALTHCHECK_URL": plain}) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:10063/-/healthy",
        "http://127.0.0.1:10063",
        "ftp://127.0.0.1/-/healthy",
        "http://user:hunter2@127.0.0.1:10063/-/healthy",
        "http://127.0.0.1:10063/-/healthy\r\nHost: elsewhere",
    ],
)
def test_what_is_not_a_url_is_refused_and_not_repeated(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert healthcheck.main({"HEALTHCHECK_URL": url}) == 1
    assert capsys.readouterr() == (
        "",
        "HEALTHCHECK_URL is not a URL without a user, such as http://127.0.0.1:10063/-/healthy\n",
    )
