"""Certificates by DNS: does a chain match the TLSA records of a host (RFC 6698, RFC 7672) (PURE).

Usages 2 and 3 only: those that rest on public authorities mean nothing for SMTP (RFC 7672
3.1.3). For usage 3 the key is all that counts; for usage 2 the chain must lead to the given
authority, be in date, and be for one of the host's names.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtad import clock
from mtad.dns import Tlsa
from mtad.outbound.certificates import UNREADABLE, covers, is_issued_by, load, names_of

TA, EE = 2, 3
"""Certificate usages: an authority of the host's own, and its very key."""
MATCH = "dane match"
NO_MATCH = "no TLSA record matches"
UNUSABLE = "no usable TLSA record"
MAX_CHAIN = 10
"""Certificates of a chain that are looked at."""

_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}


def usable(records: Sequence[Tlsa]) -> Sequence[Tlsa]:
    """The records that mean something to us (RFC 7672 2.2: others are as if not there)."""
    return [
        record
        for record in records
        if record.usage in (TA, EE)
        and record.selector in (0, 1)
        and (record.matching == 0 or len(record.data) == _size(record.matching))
        and record.data
    ]


def verdict(
    records: Sequence[Tlsa],
    chain: Sequence[bytes],
    names: Sequence[str],
    at: datetime | None = None,
) -> str:
    """MATCH, or why not. ``chain`` is DER, the server's own certificate first."""
    at = at or clock.now()
    try:
        certificates = [load(der) for der in chain[:MAX_CHAIN]]
        if not certificates:
            return NO_MATCH
        if any(_matches(record, certificates[0]) for record in records if record.usage == EE):
            return MATCH
        anchors = [record for record in records if record.usage == TA]
        return _by_authority(anchors, certificates, names, at) if anchors else NO_MATCH
    except Exception:
        # A hostile certificate may raise anything, and proves nothing.
        return UNREADABLE


def text(record: Tlsa) -> str:
    """A record as it stands in a zone."""
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"


def _by_authority(
    anchors: Sequence[Tlsa],
    certificates: Sequence[x509.Certificate],
    names: Sequence[str],
    at: datetime,
) -> str:
    """Follow the chain as sent until a certificate that an anchor means."""
    leaf = certificates[0]
    for place, certificate in enumerate(certificates):
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            return "expired"
        if place and not (
            _may_issue(certificate) and is_issued_by(certificates[place - 1], certificate)
        ):
            return NO_MATCH
        if any(_matches(anchor, certificate) for anchor in anchors):
            own = names_of(leaf)
            is_named = any(covers(name, host) for name in own for host in names)
            return MATCH if is_named else "wrong name"
    return NO_MATCH


def _may_issue(certificate: x509.Certificate) -> bool:
    """Whether it is an authority's (RFC 5280 4.2.1.9)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return extension.value.ca


def _matches(record: Tlsa, certificate: x509.Certificate) -> bool:
    if record.selector == 0:
        selected = certificate.public_bytes(Encoding.DER)
    else:
        key = certificate.public_key()
        selected = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = _DIGESTS.get(record.matching)
    return hmac.compare_digest(digest(selected).digest() if digest else selected, record.data)


def _size(matching: int) -> int:
    digest = _DIGESTS.get(matching)
    return digest().digest_size if digest else -1
