"""A certificate authority for the tests: a CA of one's own, and certificates that it signs."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)

# Python 3.13 and newer trust no authority that does not say what its key is for.
_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, as files."""

    cert: Path
    key: Path

    def listening(self, client_ca: Path | None = None) -> ssl.SSLContext:
        """Return what a server with this certificate speaks TLS with; with `client_ca` its clients need one of it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Authority:
    """Signs certificates. `file` is its own, for those who are to trust it; everything is written into `folder`."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        self.name = name
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _named(name)
        own = self._builder(self._subject, self._key.public_key(), -DAY, 30 * DAY)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        signed = own.add_extension(_SIGNS, critical=True).sign(self._key, hashes.SHA256())
        self.file.write_bytes(signed.public_bytes(Encoding.PEM))

    def sign(self, *hosts: str, days: int = 30, begins_days: int = -1, file: str = "") -> Signed:
        """Sign a certificate for these hosts, which ends so many days from now; `file` is what its files are called.
        Those that are there are replaced.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        begins = min(begins_days, days - 1)
        builder = self._builder(_named(hosts[0]), key.public_key(), begins * DAY, days * DAY)
        names = x509.SubjectAlternativeName([_general(host) for host in hosts])
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        stem = self._folder / (file or f"{self.file.stem}-{certificate.serial_number % 10**9}")
        signed = Signed(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        _replace(signed.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _replace(signed.cert, certificate.public_bytes(Encoding.PEM))
        return signed

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, begins: timedelta, ends: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _replace(file: Path, content: bytes) -> None:
    """As those do it who renew certificates: nobody reads half of one."""
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
