"""TLS with remote servers: what a policy asks for, and what a certificate proved."""

import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtad.errors import ConfigError
from mtad.outbound.certificates import Authorities, judge
from mtad.outbound.protocol import Wish

TRUSTED = "trusted"
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


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of TLS with one host; ``name`` as in ``out.tls``.

    ``wish`` decides over STARTTLS, ``is_implicit`` that TLS comes before SMTP, ``verifies``
    that the certificate must be valid for the host's name.
    """

    name: str
    wish: Wish
    verifies: bool = False
    is_implicit: bool = False

    @property
    def may_fall_back(self) -> bool:
        """Whether a failed handshake leads to clear text."""
        return self.wish == "may"


NONE = Policy("none", "never")
OPPORTUNISTIC = Policy("opportunistic", "may")
REQUIRED = Policy("required", "must")
VERIFY = Policy("verify", "must", verifies=True)
BY_NAME = {each.name: each for each in (NONE, OPPORTUNISTIC, REQUIRED, VERIFY)} | {
    "implicit": Policy("verify", "must", verifies=True, is_implicit=True)
}
"""The policies an operator may choose."""


class Contexts:
    """TLS contexts for clients; ``ca_file`` has further authorities, PEM."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file

    def of(self, policy: Policy) -> ssl.SSLContext:
        """The context for a policy."""
        return self._strict if policy.verifies else self._lax

    @cached_property
    def _strict(self) -> ssl.SSLContext:
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
        return Authorities(self._strict.get_ca_certs(binary_form=True))

    def verdict(self, policy: Policy, session: ssl.SSLObject, host: str) -> str:
        """What the certificate proved, for a handshake that succeeded."""
        if policy.verifies:
            return TRUSTED
        return judge(chain(session), host, self._authorities)


def chain(session: ssl.SSLObject) -> list[bytes]:
    """The certificates the server sent, its own first, DER."""
    # Public since Python 3.13 only.
    given = getattr(session, "get_unverified_chain", None)
    if given is not None:
        return list(given())
    inner = session._sslobj  # type: ignore[attr-defined]
    return [each.public_bytes(_DER) for each in inner.get_unverified_chain() or ()]


_DER = 2
"""``_ssl.ENCODING_DER``."""


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
    return "connection lost"
