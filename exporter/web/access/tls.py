"""TLS as configured: an OpenSSL context, and which client certificates are accepted."""

import contextlib
import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final, Self

from msgspec import field

from exporter.strict_yaml.files import answer_of
from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.scalars import CaFile, Context, Text, not_empty
from exporter.strict_yaml.validation import Model
from exporter.web.access.forms import (
    CURVES,
    NOTHING,
    TLS_1_2_SUITES,
    VERSIONS,
    Boolean,
    Certificate,
    CertificateFile,
    Certificates,
    CipherSuite,
    ClientAuthType,
    Curves,
    PrivateKey,
    PrivateKeyFile,
    Version,
)

_VERIFICATION: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
# Those with authenticated encryption; the others must be configured.
_DEFAULT_SUITES: Final = tuple(suite for suite in TLS_1_2_SUITES if "CBC" not in suite)
_KINDS_OF_NAMES: Final = ("DNS", "email", "IP Address", "URI")


UNREADABLE: Final[dict[str, Any]] = {"unreadable": True}
"""Stands for a certificate whose names are not text."""
_NOT_TEXT: Final = "a name in the certificate is not text"

Refuse = Callable[[ssl.SSLError, bytes], None]
refuse: Final[ContextVar[Refuse | None]] = ContextVar("refuse", default=None)
"""Called with the reason of a failed handshake and OpenSSL's alert for the client, which asyncio would not send."""


class _Peer(ssl.SSLObject):
    """A client that gets the reason if its handshake fails."""

    outgoing: ssl.MemoryBIO
    refuse: Refuse | None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if self.refuse:
                self.refuse(error, self.outgoing.read())
            raise

    def getpeercert(self, binary_form: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - as ssl has it
        try:
            return super().getpeercert(binary_form)
        except ValueError:
            # Otherwise asyncio would log a traceback, and the connection would be counted forever.
            return UNREADABLE


class _Context(ssl.SSLContext):
    sslobject_class = _Peer

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as ssl has it
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        peer = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(peer, _Peer):
            peer.outgoing, peer.refuse = outgoing, refuse.get()
        return peer


class TlsServerConfig(Model, frozen=True):
    """TLS settings; the files are read once, when this is made.

    cert_file or cert, key_file or key: the server's certificate and key. client_ca_file or client_ca: the authorities
    that sign certificates of clients. client_allowed_sans: a client's certificate must have one of these names.
    cipher_suites: for TLS 1.2, the preferred first, in Go's names. curve_preferences: one curve.
    """

    cert_file: CertificateFile | None = None
    cert: Certificate | None = None
    key_file: PrivateKeyFile | None = None
    key: PrivateKey | None = None
    client_ca_file: CaFile | None = None
    client_ca: Certificates | None = None
    client_auth_type: ClientAuthType = "NoClientCert"
    client_allowed_sans: Annotated[tuple[Text, ...], not_empty] | None = None
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[CipherSuite, ...] = _DEFAULT_SUITES
    prefer_server_cipher_suites: Boolean = True
    curve_preferences: Curves | None = None

    _context: ssl.SSLContext = field(default_factory=lambda: _Context(ssl.PROTOCOL_TLS_SERVER))

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS context of the server."""
        return self._context

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read."""
        return tuple(filter(None, (self.cert_file, self.key_file, self.client_ca_file)))

    def problem_with(self, certificate: dict[str, Any] | None, now: float) -> str | None:
        """Return why a client with this certificate is refused, None if it is not.

        certificate: as getpeercert returns it, empty if there is none. now: Unix seconds.
        """
        if certificate is UNREADABLE:
            return _NOT_TEXT
        # OpenSSL verifies it only once: a client that resumes its session could use an expired one forever.
        if certificate and now > ssl.cert_time_to_seconds(certificate["notAfter"]):
            return "the certificate has expired"
        if not self._has_allowed_name(certificate):
            return "the certificate has none of the names in client_allowed_sans"
        return None

    def _has_allowed_name(self, certificate: dict[str, Any] | None) -> bool:
        if self.client_allowed_sans is None:
            return True
        if not certificate:
            return self.client_auth_type == "VerifyClientCertIfGiven"
        allowed = {_canonical(name) for name in self.client_allowed_sans}
        return not allowed.isdisjoint(_names(certificate))

    @classmethod
    def is_absent(cls, key: str, value: object) -> bool:
        """Whether a value counts as an absent key."""
        # An empty list would admit no client: it does not mean that the key is absent.
        return value is None or (value in NOTHING and key != "client_allowed_sans")

    def completed(self, context: Context) -> Self:
        """Set up the TLS context. Raises ProblemError."""
        del context
        self._set_up(self._context)
        return self

    def _set_up(self, context: ssl.SSLContext) -> None:
        context.minimum_version = VERSIONS[self.min_version]
        context.maximum_version = VERSIONS[self.max_version]
        context.options |= ssl.OP_NO_RENEGOTIATION
        if not self.prefer_server_cipher_suites:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        self._choose_ciphers(context)
        if self.curve_preferences:
            context.set_ecdh_curve(CURVES[self.curve_preferences[0]])
        context.verify_mode = _VERIFICATION[self.client_auth_type]
        # As in Go: each given authority is trusted, even without the one that signed it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._trust(context)
        self._show_certificate(context)

    def _choose_ciphers(self, context: ssl.SSLContext) -> None:
        # Python cannot choose those of TLS 1.3: all of them are always on.
        if wanted := [
            TLS_1_2_SUITES[suite] for suite in self.cipher_suites if suite in TLS_1_2_SUITES
        ]:
            with contextlib.suppress(ssl.SSLError):
                context.set_ciphers(":".join(wanted))
            offered = {cipher["name"] for cipher in context.get_ciphers()}
            if missing := [suite for suite in wanted if suite not in offered]:
                raise ProblemError(f"cipher_suites: OpenSSL does not support {', '.join(missing)}")

    def _trust(self, context: ssl.SSLContext) -> None:
        if self.client_ca:
            context.load_verify_locations(cadata=self.client_ca)
        if file := self.client_ca_file:
            try:
                answer_of(file, lambda: context.load_verify_locations(cafile=file))
            except OSError:
                raise ProblemError("client_ca_file changed while it was read: try again") from None
        elif context.verify_mode == ssl.CERT_OPTIONAL:
            # As in Go. It refuses no client that would be admitted without a certificate.
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        with (
            _readable(self.cert_file, self.cert) as certificate,
            _readable(self.key_file, self.key.get_secret_value() if self.key else None) as key,
        ):
            # A missing one is reported by the checks of the whole configuration.
            if certificate and key and (problem := _load(context, certificate, key)):
                raise ProblemError(problem)


def _load(context: ssl.SSLContext, certificate: Path | str, key: Path | str) -> str:
    """Load certificate and key; return their mistakes, if any."""
    try:
        # The password: OpenSSL would ask for one at the terminal.
        answer_of(Path(certificate), lambda: context.load_cert_chain(certificate, key, password=""))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key does not match the certificate"
        return (
            f"certificate or key is invalid or unsuitable (OpenSSL: {error.reason or 'no reason'})"
        )
    except OSError as error:
        return f"certificate and key cannot be read: {error.strerror}"
    return ""


@contextlib.contextmanager
def _readable(file: Path | None, pem: str | None) -> Iterator[Path | str | None]:
    """Yield a path to text in a file or in the configuration itself: OpenSSL only reads files."""
    if file or pem is None:
        yield file
        return
    # In memory: an inline key must not be written to a disk.
    with os.fdopen(os.memfd_create("pem"), "wb") as memory:
        memory.write(pem.encode())
        memory.flush()
        yield f"/proc/self/fd/{memory.fileno()}"


def _names(certificate: dict[str, Any]) -> Iterator[str]:
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in _KINDS_OF_NAMES:
            yield _canonical(name)


def _canonical(name: str) -> str:
    """Return an IP address as exporter-toolkit compares it; OpenSSL has another form for IPv6."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name
