"""The certificate shown to peers: does it fit its key, till when, for which names, by whom."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from mtad import tls
from mtad.config import Loaded
from mtad.errors import MtadError
from mtad.setup.doctor.check import Check, Verdict, judged

WARN_DAYS = 14
_RENEW = "renew the certificate and put it where tls.certificate says"


def certificate(loaded: Loaded) -> Iterable[Check]:
    """Key, days left, names and chain. Raises OSError."""
    settings = loaded.config.tls
    path = loaded.beside(settings.certificate)
    try:
        tls.server_context(path, loaded.beside(settings.key))
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except (MtadError, ValueError) as error:
        yield judged("certificate.key", "unusable", "certificate and key fit", str(error),
                     "put both where tls.certificate and tls.key say")  # fmt: skip
        return
    yield judged("certificate.key", "they fit", "certificate and key fit")
    yield days(chain[0], datetime.now(UTC))
    yield names(chain[0], loaded.config.hostname)
    yield issuers(chain)


def days(leaf: x509.Certificate, now: datetime) -> Check:
    """Days until it ends."""
    left = (leaf.not_valid_after_utc - now).total_seconds() / 86400
    cause, verdict = "", Verdict.BAD
    if leaf.not_valid_before_utc > now:
        cause = f"it is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}"
    elif left < 0:
        cause = f"it ended on {leaf.not_valid_after_utc:%Y-%m-%d}"
    elif left < WARN_DAYS:
        cause, verdict = f"it ends on {leaf.not_valid_after_utc:%Y-%m-%d}", Verdict.WARN
    return judged("certificate.days", f"{left:.0f} days left", f"{WARN_DAYS} days or more",
                  cause, _RENEW, verdict=verdict)  # fmt: skip


def names(leaf: x509.Certificate, hostname: str) -> Check:
    """Whether the server's name is among its names (RFC 6125 6.4)."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        found = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = []
    wanted = {hostname.lower(), f"*.{hostname.lower().partition('.')[2]}"}
    fits = any(name.lower() in wanted for name in found)
    cause = "" if fits else "clients and servers that check the name refuse it"
    return judged("certificate.names", ", ".join(found) or "none", hostname, cause,
                  f"get a certificate for {hostname}")  # fmt: skip


def issuers(chain: Sequence[x509.Certificate]) -> Check:
    """Whether each certificate in the file was issued by the next."""
    leaf, cause, verdict = chain[0], "", Verdict.BAD
    for one, issuer in pairwise(chain):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            cause = "a certificate in the file was not issued by the one after it"
    if len(chain) == 1 and leaf.issuer == leaf.subject:
        cause, verdict = "it is self-signed: clients ask before they trust it", Verdict.WARN
    elif len(chain) == 1:
        cause, verdict = "its issuer's certificate is not in the file", Verdict.WARN
    return judged("certificate.chain", f"{len(chain)} in the file", "an authority's, with chain",
                  cause, "use the full chain that an authority gives", verdict=verdict)  # fmt: skip
