"""MAIL and RCPT as they are sent to a server with given extensions (PURE).

Every octet of a command line that comes from outside is checked here: an address or a
parameter that could end the line or begin another word never reaches the wire.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mtad.outbound.extensions import Extensions

MAX_ENVID = 100
"""Characters of an envelope id (RFC 3461 4.4)."""
MAX_ORCPT = 500
"""Characters of an original recipient (RFC 3461 4.2)."""
MAX_PATH = 1000
"""Octets of an address sent; RFC 5321 4.5.3.1.3 says 256, UTF-8 and VERP need more."""

_DOT_STRING = re.compile(r"[^\x00-\x20\x7f-\x9f()<>\[\]:;@\\,\"\ud800-\udfff]+")
_QUOTED = re.compile(r'"(?:[^\x00-\x1f\x7f-\x9f"\\\ud800-\udfff]|\\[\x20-\x7e])*"')
_QUOTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_DOMAIN = re.compile(r"[^\x00-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\xa0\ud800-\udfff]+")
_LITERAL = re.compile(r"\[[\x21-\x5a\x5e-\x7e]+\]")
_XTEXT = re.compile(r"[!-<>-~]+")
_ORCPT = re.compile(r"[A-Za-z0-9-]+;[!-<>-~\u0080-\ufffd\U00010000-\U0010ffff]+")
_NOTIFY = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})


class BadPath(ValueError):
    """An address that cannot be sent; says why."""


@dataclass(frozen=True, slots=True)
class To:
    """A recipient; ``notify`` and ``orcpt`` as in ``attempt.Recipient``."""

    address: str
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What one transaction says before its message; fields as in ``attempt.Mail``.

    ``is_8bit`` tells what the octets are, ``smtputf8`` that header or addresses need RFC 6531,
    ``size`` octets on the wire.
    """

    sender: str
    recipients: Sequence[To]
    size: int
    is_8bit: bool = False
    smtputf8: bool = False
    requiretls: bool = False
    ret: str = ""
    envid: str = ""


def path(address: str, *, utf8: bool) -> bytes:
    """An address between its angle brackets; empty gives the null path.

    A local part is quoted where it must be; without ``utf8`` a domain in Unicode is sent as
    A-labels. Raises BadPath.
    """
    if not address:
        return b"<>"
    local, at, domain = address.rpartition("@")
    if not at:
        if _DOT_STRING.fullmatch(address):
            # RFC 5321 4.1.1.3: <Postmaster> alone; a local transport may use more of the kind.
            return _encoded(address, utf8=utf8)
        raise BadPath("the address has no domain")
    if not _DOT_STRING.fullmatch(local) and not _QUOTED.fullmatch(local):
        if not _QUOTABLE.fullmatch(local):
            raise BadPath("the local part has characters that no address may have")
        local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if not _LITERAL.fullmatch(domain):
        if not utf8 and not domain.isascii():
            try:
                domain = domain.encode("idna").decode("ascii")
            except UnicodeError as error:
                raise BadPath("the domain is not a domain name") from error
        if not _DOMAIN.fullmatch(domain):
            raise BadPath("the domain is not a domain name")
    return _encoded(f"{local}@{domain}", utf8=utf8)


def _encoded(text: str, *, utf8: bool) -> bytes:
    if not utf8 and not text.isascii():
        raise BadPath("the address is not ASCII and the server does not offer SMTPUTF8")
    octets = text.encode()
    if len(octets) > MAX_PATH:
        raise BadPath("the address is too long")
    return b"<" + octets + b">"


def needs_utf8(address: str) -> bool:
    """Whether an address can be sent with SMTPUTF8 only: a domain has another form, a name not."""
    return not address.rpartition("@")[0].isascii()


def mail(envelope: Envelope, extensions: Extensions) -> bytes:
    """MAIL with the parameters that the server understands. Raises BadPath."""
    utf8 = envelope.smtputf8 and "SMTPUTF8" in extensions
    words = [b"MAIL FROM:" + path(envelope.sender, utf8=utf8), *_parameters(envelope, extensions)]
    return b" ".join(words) + b"\r\n"


def _parameters(envelope: Envelope, extensions: Extensions) -> Iterator[bytes]:
    if "SIZE" in extensions:
        yield b"SIZE=%d" % envelope.size
    if envelope.is_8bit and "8BITMIME" in extensions:
        yield b"BODY=8BITMIME"
    if envelope.smtputf8 and "SMTPUTF8" in extensions:
        yield b"SMTPUTF8"
    if envelope.requiretls and "REQUIRETLS" in extensions:
        yield b"REQUIRETLS"
    if "DSN" in extensions:
        if envelope.ret in ("FULL", "HDRS"):
            yield b"RET=" + envelope.ret.encode()
        if _XTEXT.fullmatch(envelope.envid) and len(envelope.envid) <= MAX_ENVID:
            yield b"ENVID=" + envelope.envid.encode()


def rcpt(to: To, envelope: Envelope, extensions: Extensions) -> bytes:
    """RCPT with the parameters that the server understands. Raises BadPath."""
    utf8 = envelope.smtputf8 and "SMTPUTF8" in extensions
    words = [b"RCPT TO:" + path(to.address, utf8=utf8)]
    if "DSN" in extensions:
        wanted = to.notify.upper().split(",") if to.notify else []
        if wanted and _NOTIFY.issuperset(wanted):
            words.append(b"NOTIFY=" + ",".join(wanted).encode())
        is_sound = _ORCPT.fullmatch(to.orcpt) and len(to.orcpt) <= MAX_ORCPT
        if is_sound and (utf8 or to.orcpt.isascii()):
            words.append(b"ORCPT=" + to.orcpt.encode())
    return b" ".join(words) + b"\r\n"
