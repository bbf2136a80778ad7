"""Parameters of MAIL and RCPT, each with the grammar of its RFC (PURE).

Envelope id and original recipient stay in the xtext they came in, since they go out again like
that; what is taken is checked to the last octet, so that it can go into a command, a header, or
a report as it is.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mtad.errors import Refusal

MAX_SIZE = 2**63 - 1
"""A declared size above it means no more (RFC 1870 allows 20 digits)."""
MAX_ENVID = 100
"""Characters of an envelope id (RFC 3461 4.4)."""
MAX_ORCPT = 500
"""Characters of an original recipient (RFC 3461 4.2)."""

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE = re.compile(r"[^\x00-\x20=\x7f-\x9f]+")
_SIZE = re.compile(r"[0-9]{1,20}")
# RFC 3461 4, with nothing but printable ASCII and spaces behind what is encoded.
_ENCODED = r"\+(?:[2-6][0-9A-F]|7[0-9A-E])"
_XTEXT = re.compile(rf"(?:[!-*,-<>-~]|{_ENCODED})+")
# RFC 6533 3: with SMTPUTF8 an original recipient may be UTF-8 as it is.
_UTF8_XTEXT = re.compile(rf"(?:[!-*,-<>-~\u00a0-\ud7ff\ue000-\U0010ffff]|{_ENCODED})+")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_NOTIFY = ("SUCCESS", "FAILURE", "DELAY")

Parse = Callable[[str], Any]
"""What a value means; None where it means nothing."""


def _size(value: str) -> int | None:
    """RFC 1870 4."""
    return min(int(value), MAX_SIZE) if _SIZE.fullmatch(value) else None


def _word(*words: str) -> Parse:
    return lambda value: value.upper() if value.upper() in words else None


def _envid(value: str) -> str | None:
    """RFC 3461 4.4."""
    return value if len(value) <= MAX_ENVID and _XTEXT.fullmatch(value) else None


def _auth(value: str) -> str | None:
    """RFC 4954 5. Nobody is trusted to vouch for another one's login: the same as ``<>``."""
    return "" if value == "<>" or _XTEXT.fullmatch(value) else None


def _notify(value: str) -> str | None:
    """RFC 3461 4.1: NEVER, or others; those in one order, each once."""
    words = set(value.upper().split(","))
    if words == {"NEVER"}:
        return "NEVER"
    return ",".join(filter(words.__contains__, _NOTIFY)) if words <= set(_NOTIFY) else None


def _orcpt(value: str) -> str | None:
    """RFC 3461 4.2."""
    return _original(value, _XTEXT)


def _orcpt_utf8(value: str) -> str | None:
    return _original(value, _UTF8_XTEXT if value[:6].lower() == "utf-8;" else _XTEXT)


def _original(value: str, grammar: re.Pattern[str]) -> str | None:
    kind, _, address = value.partition(";")
    sound = _ADDRESS_TYPE.fullmatch(kind) and grammar.fullmatch(address)
    return value if sound and len(value) <= MAX_ORCPT else None


_MAIL: Mapping[str, Parse | None] = {
    "SIZE": _size,
    "BODY": _word("7BIT", "8BITMIME", "BINARYMIME"),
    "SMTPUTF8": None,
    "RET": _word("FULL", "HDRS"),
    "ENVID": _envid,
    "AUTH": _auth,
}
"""By keyword what its value means; None for a keyword without one."""
_MAIL_SECURE: Mapping[str, Parse | None] = {**_MAIL, "REQUIRETLS": None}
_RCPT: Mapping[str, Parse | None] = {"NOTIFY": _notify, "ORCPT": _orcpt}
_RCPT_UTF8: Mapping[str, Parse | None] = {**_RCPT, "ORCPT": _orcpt_utf8}


def of_mail(text: str, *, secure: bool) -> dict[str, Any]:
    """What follows the reverse-path, by keyword in lower case; AUTH means nothing.

    REQUIRETLS exists over TLS only (RFC 8689 2). Raises Refusal: 501 malformed, 555 unknown.
    """
    found = dict(_read(text, _MAIL_SECURE if secure else _MAIL))
    found.pop("auth", None)
    return found


def of_rcpt(text: str, *, smtputf8: bool) -> dict[str, Any]:
    """What follows the forward-path, by keyword in lower case. Raises Refusal likewise."""
    return dict(_read(text, _RCPT_UTF8 if smtputf8 else _RCPT))


def _read(text: str, known: Mapping[str, Parse | None]) -> Iterator[tuple[str, Any]]:
    """(keyword, meaning) of each parameter (RFC 5321 4.1.2)."""
    seen: set[str] = set()
    for written in text.split():
        word, equals, value = written.partition("=")
        if not _KEYWORD.fullmatch(word) or (equals and not _VALUE.fullmatch(value)):
            # A value may hold "=" only in encoded form; AUTH=<> and base64 come close to that.
            raise Refusal(501, "5.5.4", "a parameter is malformed")
        keyword = word.upper()
        if keyword in seen:
            raise Refusal(501, "5.5.4", f"parameter {keyword} given twice")
        seen.add(keyword)
        if keyword not in known:
            name = written[:64] if written.isascii() else "with non-ASCII text"
            raise Refusal(555, "5.5.4", f"parameter {name} is not known here")
        parse = known[keyword]
        meaning = not equals if parse is None else parse(value) if equals else None
        if meaning is None or meaning is False:
            raise Refusal(501, "5.5.4", f"parameter {keyword} has no such value")
        yield keyword.lower(), meaning
