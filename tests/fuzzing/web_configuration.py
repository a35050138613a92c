"""Web configurations with mistakes of every kind: each is accepted as a whole, or refused with a message."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Final

from exporter.config import ConfigError
from exporter.web.access.control import Access
from exporter.web.access.file import WebConfigFile
from tests.custody.servers import make_certificate
from tests.fuzzing.mutation import mutated
from tests.fuzzing.surface import DefectError, Feed, Surface

HASH: Final = "$2y$04$abcdefghijklmnopqrstuOMARKERMARKERMARKERMARKERMARKERM"
KEY: Final = "MARKER" * 10 + "aBcD"
"""A line of a private key, of the usual length."""
GOOD: Final = (
    f"""\
tls_server_config:
  cert_file: certificate.pem
  key_file: key.pem
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: certificate.pem
  client_allowed_sans: [prometheus.test, 10.0.0.1, "spiffe://test/prometheus"]
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_AES_128_GCM_SHA256
  prefer_server_cipher_suites: true
  curve_preferences: [CurveP256]
http_server_config:
  http2: true
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
basic_auth_users:
  prometheus: {HASH}
rate_limit:
  interval: 100ms
  burst: 20
""",
    f"basic_auth_users: {{a: {HASH}, b: {HASH}}}\n",
    """\
tls_server_config: &tls
  cert_file: certificate.pem
  key_file: key.pem
http_server_config: {headers: {Content-Security-Policy: "default-src 'self'", X-XSS-Protection: ''}}
""",
    f"rate_limit: {{interval: 1.5s, burst: 1}}\nbasic_auth_users: {{prometheus: '{HASH}'}}\n",
    f"""\
tls_server_config:
  cert: |
    -----BEGIN CERTIFICATE-----
    {KEY}
    -----END CERTIFICATE-----
  key: |
    -----BEGIN PRIVATE KEY-----
    {KEY}
    -----END PRIVATE KEY-----
""",
)
TOKENS: Final = (
    b"\n",
    b"  ",
    b"- ",
    b": ",
    b"{}",
    b"[]",
    b"null",
    b"~",
    b"yes",
    b"0x1F",
    b"1e3",
    b"2026-11-21",
    b"&a ",
    b"*a",
    b"!!python/object:os.system ",
    b"!!binary ",
    b"<<: *tls",
    b"|\n",
    b"? ",
    b"---\n",
    b"...\n",
    b"%YAML 9\n",
    b"#",
    b"'",
    b'"',
    b"\\UFFFFFFFF",
    b"key.pem",
    b"certificate.pem",
    b"/dev/zero",
    b"/nowhere",
    b".",
    b"TLS10",
    b"TLS13",
    b"X25519",
    b"RequestClientCert",
    b"-1s",
    b"1h30m",
    b"999999999h",
    b"$2y$31$",
    b"tls_server_config:",
    b"users:",
)


def make(chance: Random) -> bytes:
    """Make a file with bad bytes, or with lines in wrong places."""
    good = chance.choice(GOOD)
    lines = good.splitlines(keepends=True)
    for _ in range(chance.choice((0, 0, 1, 1, 3))):
        place, other = chance.randrange(len(lines)), chance.choice(lines)
        match chance.randrange(5):
            case 0:
                lines[place] = ""
            case 1:
                lines.insert(place, other)
            case 2:
                lines[place] = f"  {lines[place]}"
            case 3:
                lines[place] = lines[place].removeprefix("  ")
            case _:
                # A value under the wrong key.
                lines[place] = lines[place].partition(":")[0] + ":" + other.partition(":")[2]
    text = "".join(lines).encode()
    return mutated(text, chance, TOKENS) if chance.random() < 0.6 else text


@contextlib.asynccontextmanager
async def reading() -> AsyncIterator[Feed]:
    """Yield a function that reads a web configuration as a start does, in a directory with a certificate."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_certificate(directory)
        path = directory / "web.yml"

        async def feed(text: bytes) -> str:
            path.write_bytes(text)
            try:
                file = WebConfigFile(path)
            except ConfigError as error:
                _judge_words(error)
                return "refused"
            _judge_headers(Access(lambda: file.configuration))
            return "taken"

        yield feed


def _judge_words(error: ConfigError) -> None:
    # Names are shown, but only the beginning of one that is as long as a secret.
    if any(secret in f"{error}{error!r}" for secret in (HASH, KEY)):
        raise DefectError(f"a secret is told: {error}")
    lines = str(error).split("\n")
    # The last line counts the mistakes beyond the first ones.
    shown = len(error.mistakes) + bool(error.more)
    if len(lines) != shown or not all(line.isprintable() for line in lines):
        raise DefectError(f"cannot be shown: {error}")


def _judge_headers(access: Access) -> None:
    for name, value in access.headers:
        if not value or b"\r" in value or b"\n" in value:
            raise DefectError(f"{name!r}: {value!r}")


WEB_CONFIGURATION: Final = Surface("web configuration", make, reading)
