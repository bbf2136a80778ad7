"""TLS with remote servers: what a policy asks for, and what a certificate proved."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtad.dns import Tlsa
from mtad.errors import ConfigError
from mtad.outbound import dane
from mtad.outbound.certificates import TRUSTED, Authorities, judge
from mtad.outbound.protocol import Wish

_DER = 2
"""``_ssl.ENCODING_DER``."""
_VERDICTS = {
    9: "not yet valid",
    10: "expired",
    18: "self-signed",
    19: "self-signed in chain",
    20: "unknown issuer",
    21: "unknown issuer",
    23: "revoked",
    62: "wrong name",
    64: "wrong name",
}
"""OpenSSL's verification results in the words of ``out.tls``."""
_FAILURES = {
    "wrong name": "certificate-host-mismatch",
    "expired": "certificate-expired",
    "not yet valid": "certificate-expired",
    "self-signed": "certificate-not-trusted",
    "self-signed in chain": "certificate-not-trusted",
    "unknown issuer": "certificate-not-trusted",
    "revoked": "certificate-not-trusted",
    dane.UNUSABLE: "tlsa-invalid",
}
"""Verdicts as result types of RFC 8460 4.3."""
NO_STARTTLS = "starttls-not-supported"
INVALID = "validation-failure"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of TLS with one host; ``name`` as in ``out.tls``.

    ``wish`` decides over STARTTLS, ``is_implicit`` that TLS comes before SMTP, ``verifies``
    that the certificate must be valid for the host's name, ``tlsa`` that it must match one of
    these records for one of ``names``. ``wants_trust`` is for a policy in testing: the
    certificate should be valid, and a report says so where it is not. ``domain`` and ``rules``
    are for that report (RFC 8460): whose policy it is, and its own words.
    """

    name: str
    wish: Wish
    verifies: bool = False
    is_implicit: bool = False
    tlsa: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()
    wants_trust: bool = False
    domain: str = ""
    rules: tuple[str, ...] = ()
    failure: str = ""

    @property
    def may_fall_back(self) -> bool:
        """Whether a failed handshake leads to clear text."""
        return self.wish == "may"

    @property
    def proves_host(self) -> bool:
        """Whether nobody but the right host can be at the other end (RFC 8689 4.2.1)."""
        return self.wish == "must" and (self.verifies or bool(self.tlsa))


NONE = Policy("none", "never")
OPPORTUNISTIC = Policy("opportunistic", "may")
REQUIRED = Policy("required", "must")
VERIFY = Policy("verify", "must", verifies=True)
BY_NAME = {each.name: each for each in (NONE, OPPORTUNISTIC, REQUIRED, VERIFY)} | {
    "implicit": Policy("verify", "must", verifies=True, is_implicit=True)
}
"""The policies an operator may choose."""


class Untrusted(Exception):
    """The handshake succeeded and the certificate is not the one that is wanted."""


class Contexts:
    """TLS contexts for clients; ``ca_file`` has further authorities, PEM."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file

    def load(self) -> None:
        """Read everything from disk now. Raises ConfigError."""
        _ = self.strict, self._lax, self._authorities.store

    def of(self, policy: Policy) -> ssl.SSLContext:
        """The context for a policy. Raises ConfigError."""
        return self.strict if policy.verifies else self._lax

    @cached_property
    def strict(self) -> ssl.SSLContext:
        """Verifies chain and name. Raises ConfigError."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"outbound.ca_file: cannot use {self._ca_file}: {error}"
                ) from error
        return context

    @cached_property
    def _lax(self) -> ssl.SSLContext:
        """Encrypts with whoever is there: better than clear text, proof against listeners only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("DEFAULT:@SECLEVEL=1")
        return context

    @cached_property
    def _authorities(self) -> Authorities:
        return Authorities(self.strict.get_ca_certs(binary_form=True))

    def verdict(self, policy: Policy, session: ssl.SSLObject, host: str) -> str:
        """What the certificate proved, after a handshake. Raises Untrusted with that."""
        if policy.verifies:
            return TRUSTED
        if policy.tlsa:
            found = dane.verdict(policy.tlsa, chain(session), policy.names or (host,))
            if found != dane.MATCH:
                raise Untrusted(found)
            return found
        return judge(chain(session), host, self._authorities)


def failure_type(policy: Policy, verdict: str, *, has_tls: bool) -> str:
    """The result type of a session (RFC 8460 4.3), empty where it was as it should be."""
    if not has_tls and policy.failure:
        return policy.failure
    if not has_tls:
        refused = verdict.startswith(("not offered", "refused"))
        return NO_STARTTLS if refused else _FAILURES.get(verdict, INVALID)
    if verdict in (TRUSTED, dane.MATCH) or not (policy.wants_trust or policy.name == "dane"):
        return policy.failure
    return _FAILURES.get(verdict, INVALID)


def chain(session: ssl.SSLObject) -> Sequence[bytes]:
    """The certificates the server sent, its own first, DER."""
    # Public since Python 3.13 only.
    given = getattr(session, "get_unverified_chain", None)
    if given is not None:
        return list(given())
    inner = session._sslobj  # type: ignore[attr-defined]
    return [each.public_bytes(_DER) for each in inner.get_unverified_chain() or ()]


def describe(session: ssl.SSLObject) -> tuple[str, str]:
    """Version and cipher of a TLS session."""
    cipher = session.cipher()
    return session.version() or "", cipher[0] if cipher else ""


def failure(error: BaseException) -> str:
    """What made a handshake fail, in the words of ``out.tls``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERDICTS.get(error.verify_code, error.verify_message or "not trusted")
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, TimeoutError | ConnectionAbortedError):
        return "handshake not finished in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "connection lost" if isinstance(error, OSError) else str(error)
