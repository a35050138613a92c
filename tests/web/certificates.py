"""Certificates for tests: of a server on 127.0.0.1, and of clients, each signed by a test authority."""

import ssl
from datetime import datetime
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """Signs certificates. file: its own certificate. above: the authority that signed that, if any."""

    def __init__(
        self, directory: Path, name: str = "authority", above: "Authority | None" = None
    ) -> None:
        self._directory = directory
        self._authority: trustme.CA = above._authority.create_child_ca() if above else trustme.CA()
        self.file = directory / f"{name}.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def sign(
        self, *names: str, stem: str = "server", not_after: datetime | None = None
    ) -> tuple[Path, Path]:
        """Write a certificate for some names, and its key; return their paths."""
        signed = self._authority.issue_cert(*names, not_after=not_after)
        certificate, key = self._directory / f"{stem}.pem", self._directory / f"{stem}-key.pem"
        write_at_once(certificate, b"".join(blob.bytes() for blob in signed.cert_chain_pems))
        write_at_once(key, signed.private_key_pem.bytes())
        return certificate, key

    def trust_with_names(self, names: bytes) -> ssl.SSLContext:
        """Return the trust of a client whose certificate has names in this very form (DER), which no library writes."""
        certificate, key = self.sign("client.example", stem="client")
        authority = serialization.load_pem_private_key(
            self._authority.private_key_pem.bytes(), None
        )
        assert isinstance(authority, ec.EllipticCurvePrivateKey)
        signed = x509.load_pem_x509_certificate(certificate.read_bytes())
        rewritten = (
            x509.CertificateBuilder(signed.issuer, signed.subject, signed.public_key())
            .serial_number(signed.serial_number)
            .not_valid_before(signed.not_valid_before_utc)
            .not_valid_after(signed.not_valid_after_utc)
            .add_extension(
                x509.UnrecognizedExtension(x509.oid.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names),
                critical=False,
            )
            .sign(authority, hashes.SHA256())
        )
        write_at_once(certificate, rewritten.public_bytes(serialization.Encoding.PEM))
        context = ssl.create_default_context(cafile=self.file)
        context.load_cert_chain(certificate, key)
        return context

    def trust(self, *names: str, not_after: datetime | None = None) -> ssl.SSLContext:
        """Return the trust of a client in the authority; with names, the client presents a certificate with them."""
        context = ssl.create_default_context(cafile=self.file)
        if names:
            context.load_cert_chain(*self.sign(*names, stem="client", not_after=not_after))
        return context


def write_at_once(file: Path, content: bytes) -> None:
    """Write a file atomically."""
    beside = file.with_name(f".{file.name}")
    beside.write_bytes(content)
    beside.replace(file)
