"""What a server's certificate proves, judged without refusing anything (PURE).

For connections that go on whatever the certificate is: the log should say what it was. Where a
certificate decides, OpenSSL verifies it during the handshake.
"""

import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.x509 import verification

from mtad import clock

TRUSTED = "trusted"
UNREADABLE = "unreadable"


class Authorities:
    """The certification authorities of this machine, read when the first is needed."""

    def __init__(self, certificates: Iterable[bytes]) -> None:
        self._certificates = tuple(certificates)

    @cached_property
    def store(self) -> verification.Store | None:
        """For verification, or None where there is no authority at all."""
        found = []
        for der in self._certificates:
            try:
                found.append(load(der))
            except ValueError:
                continue
        return verification.Store(found) if found else None


def load(der: bytes) -> x509.Certificate:
    """A certificate. Raises ValueError when it is none."""
    with warnings.catch_warnings():
        # The library grumbles at what others issued; nobody here can do anything about it.
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(der)


def judge(
    chain: Sequence[bytes], host: str, authorities: Authorities, at: datetime | None = None
) -> str:
    """What a chain, DER and the server's own first, proves for a host name."""
    at = at or clock.now()
    try:
        leaf, *others = map(load, chain)
        names = names_of(leaf)
        if at > leaf.not_valid_after_utc:
            return "expired"
        if at < leaf.not_valid_before_utc:
            return "not yet valid"
        if is_self_signed(leaf):
            return "self-signed"
        if not _leads_to(leaf, others, names, authorities.store, at):
            return "unknown issuer"
    except Exception:
        # A hostile certificate may raise anything, and proves nothing.
        return UNREADABLE
    return TRUSTED if any(covers(name, host) for name in names) else "wrong name"


def names_of(certificate: x509.Certificate) -> Sequence[str]:
    """The DNS names of a certificate. Raises ValueError when it is malformed."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]


def covers(name: str, host: str) -> bool:
    """Whether a certificate's name stands for a host; ``*`` is one whole label (RFC 6125 6.4.3)."""
    name, host = name.rstrip(".").lower(), host.rstrip(".").lower()
    if name.startswith("*."):
        return "." in name[2:] and host.partition(".")[2] == name[2:]
    return name == host


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether it was issued by itself."""
    return certificate.issuer == certificate.subject and is_issued_by(certificate, certificate)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's name and signature are right."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:
        return False
    return True


def _leads_to(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    names: Sequence[str],
    store: verification.Store | None,
    at: datetime,
) -> bool:
    """Whether the chain ends at an authority of ours."""
    if store is None or not names:
        return False
    # Which of its names is used does not matter here: the chain is what is judged.
    subject = x509.DNSName(names[0].replace("*.", "any.", 1))
    builder = verification.PolicyBuilder().store(store).time(at)
    try:
        builder.build_server_verifier(subject).verify(leaf, list(others))
    except (verification.VerificationError, ValueError):
        return False
    return True
