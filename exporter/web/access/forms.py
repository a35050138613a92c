"""Readers of the single values of the web configuration: how each is written and what is valid."""

import re
import ssl
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Final

from exporter.secret import Secret
from exporter.strict_yaml.files import contents
from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.scalars import FilePath, Unquoted, duration, kind, text, whole_number

LARGEST_PEM: Final = 1024 * 1024
DEAREST_COST: Final = 14
"""Maximum cost of a bcrypt hash: above it a check takes a second or more, for which other checks and a stop wait."""

# From the names of Go's crypto/tls, which exporter-toolkit uses, to OpenSSL's.
TLS_1_2_SUITES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
# Always on, here as in Go.
TLS_1_3_SUITES: Final = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)
CURVES: Final = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
HEADERS: Final = (
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
)
VERIFYING: Final = ("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
NOT_VERIFYING: Final = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")

NOTHING: Final[tuple[object, ...]] = (None, "", [])
"""Counts as an absent key: templates write such values."""
# The booleans of YAML 1.1, and so of Go's library.
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}

_BCRYPT: Final = re.compile(
    r"\$2[aby]\$(?P<cost>0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}"
)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, Unquoted) or value.lower() not in _BOOLEANS:
        raise ProblemError("must be true or false, without quotes")
    return _BOOLEANS[value.lower()]


def _pem(value: object) -> str:
    if not isinstance(value, str):
        raise ProblemError(f"must be text in PEM format, not {kind(value)}")
    return value


def _certificate(pem: str) -> str:
    if "-----BEGIN CERTIFICATE-----" not in pem:
        raise ProblemError("has no certificate: it must be in PEM format")
    return pem


def _private_key(pem: str) -> str:
    if "ENCRYPTED" in pem:
        raise ProblemError("holds an encrypted key, for which no password can be given: decrypt it")
    if "PRIVATE KEY-----" not in pem:
        raise ProblemError("has no private key: it must be in PEM format")
    return pem


def _certificate_file(path: Path) -> Path:
    _certificate(_pem_file(path))
    return path


def _private_key_file(path: Path) -> Path:
    _private_key(_pem_file(path))
    return path


def _pem_file(path: Path) -> str:
    # PEM may have any text around it.
    return contents(path, at_most=LARGEST_PEM).decode("latin-1")


def _certificates(pem: str) -> str:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        trust.load_verify_locations(cadata=_certificate(pem))
    except (ssl.SSLError, ValueError):
        raise ProblemError("has invalid certificates: they must be in PEM format") from None
    return pem


def _version(value: object) -> str:
    written = text(value)
    if written in ("TLS10", "TLS11"):
        raise ProblemError(
            "versions before TLS 1.2 are broken and not supported (RFC 8996): write TLS12 or TLS13"
        )
    if written not in VERSIONS:
        raise ProblemError(f"must be {' or '.join(VERSIONS)}")
    return written


def _client_auth_type(value: object) -> str:
    written = text(value)
    if written in NOT_VERIFYING:
        raise ProblemError(
            f"Python's TLS cannot request a certificate without verifying it, as {written} does: "
            "write RequireAndVerifyClientCert, VerifyClientCertIfGiven or NoClientCert"
        )
    if written not in (*VERIFYING, "NoClientCert"):
        raise ProblemError(
            "must be NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
        )
    return written


def _one_of(known: Collection[str], otherwise: str) -> Callable[[object], str]:
    """Return a text that is one of `known`; `otherwise` begins the message for others, which ends with their list."""

    def known_text(value: object) -> str:
        written = text(value)
        if written not in known:
            raise ProblemError(f"{otherwise} {', '.join(known)}")
        return written

    return known_text


def _one_curve(curves: tuple[str, ...]) -> tuple[str, ...]:
    """Return the curve to use, None for any, also if all are listed: Go ignores their order too."""
    if set(curves) == set(CURVES):
        return ()
    if len(set(curves)) > 1:
        raise ProblemError("Python's TLS takes one curve, or all four: keep the first")
    return curves[:1]


def _spelled(value: object) -> str:
    """Return a text, quoted or not: YAML reads unquoted `1` and `true` as other types."""
    return str(value) if isinstance(value, Unquoted) else text(value)


def _header_value(value: object) -> str:
    """Read a header's value, without surrounding space; an empty one counts as absent."""
    if value is None or value == "":
        return ""
    # As Go sends it: a YAML block ends with a line feed, or has one in every line.
    written = _spelled(value.replace("\n", " ") if isinstance(value, str) else value)
    if not written.isascii():
        raise ProblemError("has a character that a header cannot contain: use ASCII")
    return written.strip()


def _user(value: object) -> str:
    written = _spelled(value)
    if ":" in written:
        raise ProblemError("a user name cannot contain a colon: basic authentication ends it there")
    return written


def _bcrypt_hash(value: object) -> Secret[str]:
    match = _BCRYPT.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ProblemError(
            "is not a bcrypt hash, such as `htpasswd -nBC 10 USER` writes after the colon: "
            "$2y$, a cost, $, and 53 characters"
        )
    if int(match["cost"]) > DEAREST_COST:
        raise ProblemError(
            f"has a cost above {DEAREST_COST}: checking a password would take seconds; use about 10"
        )
    return Secret(match[0])


def burst(value: object) -> int:
    """Read the number of requests of a burst; 0 is allowed if there is no limit."""
    return 0 if value == "0" else whole_number(value)


def interval(value: object) -> float:
    """Read a duration, in seconds, 0 for no limit; raises ProblemError."""
    return duration(value, may_be_zero=True)


Boolean = Annotated[bool, _boolean]
Certificate = Annotated[str, _pem, _certificate]
Certificates = Annotated[str, _pem, _certificates]
CertificateFile = Annotated[FilePath, _certificate_file]
PrivateKey = Annotated[Secret[str], _pem, _private_key, Secret]
PrivateKeyFile = Annotated[FilePath, _private_key_file]
Version = Annotated[str, _version]
ClientAuthType = Annotated[str, _client_auth_type]
CipherSuite = Annotated[
    str,
    _one_of(
        (*TLS_1_2_SUITES, *TLS_1_3_SUITES), "is not a cipher suite that can be used; these are"
    ),
]
Curves = Annotated[tuple[Annotated[str, _one_of(CURVES, "must be one of")], ...], _one_curve]
HeaderName = Annotated[str, _one_of(HEADERS, "this header cannot be set; allowed are")]
HeaderValue = Annotated[str, _header_value]
User = Annotated[str, _user]
BcryptHash = Annotated[Secret[str], _bcrypt_hash]
Burst = Annotated[int, burst]
Interval = Annotated[float, interval]
