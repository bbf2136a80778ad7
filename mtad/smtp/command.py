"""SMTP commands as text: verbs, paths and parameters, taken apart and judged (RFC 5321 4.1).

Pure. Octets go in, values come out, and what is not well-formed raises ``Refusal`` with the
reply to send. An ordinary address passes one strict regular expression; everything else goes
through a scanner that knows quoted local parts, address literals, source routes and UTF-8.
"""

import re
from dataclasses import dataclass
from typing import Literal

from mtad.errors import Refusal
from mtad.smtp import parameters

MAX_LINE = 2048
"""Octets of a command line with its CRLF: 512 (RFC 5321 4.5.3.1.4) and room for extensions."""
MAX_LOCAL = 256
"""Octets of a local part taken; RFC 5321 4.5.3.1.1 promises 64, senders' VERP needs more."""
MAX_DOMAIN = 255
"""Octets of a domain (RFC 5321 4.5.3.1.2)."""
MAX_SHOWN = 256
"""Characters of a peer's words kept in an event."""

Verb = Literal["MAIL", "RCPT"]

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ORDINARY = rf":<({_ATEXT}(?:\.{_ATEXT})*)@({_LABEL}(?:\.{_LABEL})*)>"
_FAST = {
    "MAIL": re.compile("FROM" + _ORDINARY, re.IGNORECASE),
    "RCPT": re.compile("TO" + _ORDINARY, re.IGNORECASE),
}
_PREFIX = {"MAIL": re.compile(r"FROM:[ \t]*", re.I), "RCPT": re.compile(r"TO:[ \t]*", re.I)}
_DOT_STRING = re.compile(r"[^\x00-\x20\x7f-\x9f()<>\[\]:;@\\,\"]+")
_QUOTED = re.compile(r'"((?:[^\x00-\x1f\x7f-\x9f"\\]|\\[\x20-\x7e])*)"')
_LABELS = re.compile(r"[^\x00-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\xa0]+")
_LITERAL = re.compile(r"\[[\x21-\x5a\x5e-\x7e]+\]")
_ROUTE = re.compile(r"@[^\x00-\x20\x7f,:@<>]+(?:,[ ]?@[^\x00-\x20\x7f,:@<>]+)*:")
_BDAT = re.compile(rb"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE)
_HELO = re.compile(r"[^\x00-\x20\x7f-\x9f<>()\"\\]{1,255}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Path:
    """A reverse-path or forward-path without its brackets and source route.

    ``local`` is unquoted, ``domain`` as it was written; both are empty for the null
    reverse-path ``<>``, and ``domain`` alone for ``<Postmaster>``. ``text`` is the address as
    mail programs write it, quoted again where it must be.
    """

    text: str
    local: str
    domain: str


NULL = Path("", "", "")
"""The reverse-path of a notification, ``<>`` (RFC 5321 4.5.5)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL FROM with its parameters; ``size`` is 0 when the client declared none.

    ``body`` is 7BIT, 8BITMIME, BINARYMIME or empty; ``ret`` and ``envid`` are those of RFC 3461.
    """

    path: Path
    size: int = 0
    body: str = ""
    smtputf8: bool = False
    requiretls: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT TO with its parameters (RFC 3461); ``notify`` has commas, ``orcpt`` is xtext."""

    path: Path
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """BDAT's argument: how many octets follow, and whether they are the last (RFC 3030 2)."""

    size: int
    last: bool


def shown(octets: bytes) -> str:
    r"""A peer's octets as text for an event: bounded, controls and bad UTF-8 as ``\xNN``."""
    text = octets[: MAX_SHOWN * 4].decode("utf-8", "backslashreplace")[:MAX_SHOWN]
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def split(line: bytes) -> tuple[str, bytes]:
    """A command line without its CRLF as verb in upper case and argument, spaces stripped.

    The verb is empty when it is none.
    """
    verb, _, argument = line.partition(b" ")
    try:
        word = verb.decode("ascii").upper()
    except UnicodeDecodeError:
        word = ""
    return (word if word.isalnum() else ""), argument.strip(b" \t")


def helo(argument: bytes) -> str:
    """What the client calls itself, a domain or an address literal (RFC 5321 4.1.1.1).

    Any printable word is taken: real clients send names with underscores, in UTF-8, or made
    up, and refusing those loses mail. Raises Refusal.
    """
    word = argument.split(b" ", 1)[0].decode("utf-8", "surrogateescape")
    if not _HELO.fullmatch(word) or _UNSAFE.search(word):
        raise Refusal(501, "5.5.4", "say HELO or EHLO with your host name")
    return word


def mail(argument: bytes, *, secure: bool = False) -> Mail:
    """The argument of MAIL. Raises Refusal: 501 malformed, 555 unknown parameter.

    ``secure`` tells that the session has TLS, without which there is no REQUIRETLS.
    """
    path, rest = _path("MAIL", argument)
    if not rest:
        return _decent(Mail(path))
    return _decent(Mail(path, **parameters.of_mail(rest, secure=secure)))


def rcpt(argument: bytes, *, smtputf8: bool = False) -> Rcpt:
    """The argument of RCPT. Raises Refusal: 501 malformed, 550 UTF-8, 555 parameters."""
    path, rest = _path("RCPT", argument)
    found = parameters.of_rcpt(rest, smtputf8=smtputf8) if rest else {}
    if not path.local:
        raise Refusal(501, "5.1.3", "the recipient is empty")
    if not smtputf8 and not path.text.isascii():
        raise Refusal(550, "5.6.7", "this address needs SMTPUTF8 in MAIL FROM")
    return Rcpt(path, **found)


def bdat(argument: bytes) -> Chunk:
    """The argument of BDAT. Raises Refusal: what follows cannot be told from commands."""
    found = _BDAT.fullmatch(argument)
    if not found:
        raise Refusal(501, "5.5.4", "the form is BDAT octets [LAST]", close=True)
    return Chunk(int(found[1]), found[2] is not None)


def _decent(command: Mail) -> Mail:
    if not command.smtputf8 and not command.path.text.isascii():
        raise Refusal(550, "5.6.7", "this address needs the parameter SMTPUTF8")
    return command


def _path(verb: Verb, argument: bytes) -> tuple[Path, str]:
    """The path and what follows it."""
    status = "5.1.7" if verb == "MAIL" else "5.1.3"
    try:
        text = argument.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(501, status, "the address is not valid UTF-8") from None
    if fast := _FAST[verb].match(text):
        local, domain = fast.groups()
        path, end = Path(f"{local}@{domain}", local, domain), fast.end()
    elif prefix := _PREFIX[verb].match(text):
        path, end = _slow(text, prefix.end(), verb, status)
    else:
        form = "MAIL FROM:<address>" if verb == "MAIL" else "RCPT TO:<address>"
        raise Refusal(501, "5.5.4", f"the form is {form}")
    if len(path.local.encode()) > MAX_LOCAL or len(path.domain.encode()) > MAX_DOMAIN:
        raise Refusal(501, status, "the address is too long")
    rest = text[end:]
    if rest and rest[0] not in " \t":
        raise Refusal(501, status, "a space must follow the address")
    return path, rest


def _slow(text: str, at: int, verb: Verb, status: str) -> tuple[Path, int]:
    """Any path the grammar allows, from its ``<`` at ``at``, and where it ends."""

    def bad(why: str) -> Refusal:
        return Refusal(501, status, why)

    if not text.startswith("<", at):
        raise bad("the address must stand in < and >")
    at += 1
    if text.startswith(">", at):
        if verb == "MAIL":
            return NULL, at + 1
        raise bad("the recipient is empty")
    if route := _ROUTE.match(text, at):
        at = route.end()  # RFC 5321 4.1.1.3: a source route is to be ignored
    if quoted := _QUOTED.match(text, at):
        local, at = re.sub(r"\\(.)", r"\1", quoted[1]), quoted.end()
        if not local:
            raise bad("the part before @ is empty")
    elif dotted := _DOT_STRING.match(text, at):
        local, at = dotted[0], dotted.end()
        # RFC 5321 4.1.2 wants quotes around a name with dots at odd places; some networks'
        # own addresses have them, so such a name is taken when it has more than dots.
        if not local.strip("."):
            raise bad("the part before @ is malformed")
    else:
        raise bad("the part before @ is malformed")
    if text.startswith(">", at) and verb == "RCPT" and local.lower() == "postmaster":
        return Path(local, local, ""), at + 1
    if not text.startswith("@", at):
        raise bad("an address has the form name@domain")
    at += 1
    found = _LITERAL.match(text, at) or _LABELS.match(text, at)
    if not found or not text.startswith(">", found.end()):
        raise bad("the domain is malformed")
    domain = found[0]
    if not domain.startswith("[") and (".." in f".{domain}" or domain.startswith("-")):
        raise bad("the domain is malformed")
    return Path(f"{_written(local)}@{domain}", local, domain), found.end() + 1


def _written(local: str) -> str:
    """A local part as it goes into a header or a command: quoted when it must be."""
    if _DOT_STRING.fullmatch(local) and local.strip("."):
        return local
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
