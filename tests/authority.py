"""A certification authority made for a test, and what it issues."""

import datetime
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mtad.clock import now

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key and what it was issued by."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        return self.key.public_key().public_bytes(
            Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Chain and key as PEM files."""
        folder.mkdir(parents=True, exist_ok=True)
        chain, key = folder / "chain.pem", folder / "key.pem"
        certificates = (self.certificate, *self.chain)
        chain.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
        key.write_bytes(
            self.key.private_bytes(
                Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        key.chmod(0o600)
        return chain, key

    def context(self, folder: Path) -> ssl.SSLContext:
        """A server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files(folder))
        return context


class Authority:
    """Issues certificates; its own is what one trusts."""

    def __init__(self, name: str = "Test authority") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.own = _issue(name, (), key, key, _name(name), is_authority=True)

    def issue(
        self,
        *names: str,
        days: tuple[int, int] = (-1, 1),
        send_authority: bool = False,
    ) -> Issued:
        """A server's certificate, valid from and until so many days from here on."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.own.certificate.subject
        made = _issue(names[0], names, key, self.own.key, issuer, days=days)
        chain = (self.own.certificate,) if send_authority else ()
        return Issued(made.certificate, key, chain)

    def file(self, path: Path) -> Path:
        """Its certificate as a file, PEM."""
        path.write_bytes(self.own.certificate.public_bytes(Encoding.PEM))
        return path


def self_signed(*names: str) -> Issued:
    """A certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _issue(names[0], names, key, key, _name(names[0]))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _issue(
    common: str,
    names: Sequence[str],
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    *,
    is_authority: bool = False,
    days: tuple[int, int] = (-1, 1),
) -> Issued:
    public = signer.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() + days[0] * DAY)
        .not_valid_after(now() + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    if is_authority:
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    return Issued(builder.sign(signer, hashes.SHA256()), key)
