"""Commands about the session, quota, rights and notes (RFC 9051 6.1-6.2 and extensions; PURE)."""

import base64
import re
from collections.abc import Callable, Mapping

from mtad.imap.answer import Bad
from mtad.imap.commands import (
    Acl,
    Authenticate,
    Command,
    Compress,
    Enable,
    GetMetadata,
    Id,
    Login,
    Plain,
    Quota,
    SetMetadata,
)
from mtad.imap.lexer import Lexer, once

Parser = Callable[[Lexer, str, str], Command]
"""Takes the rest of a command, its tag and its name."""

MAX_FIELDS = 30
"""Fields of ID (RFC 2971 3.3)."""

_MECHANISM = re.compile(rb"[A-Za-z0-9_-]{1,20}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_RIGHTS = re.compile(r"[+-]?[a-z0-9]*")
_ENTRY = re.compile(r"/(?:private|shared)(?:/[^/*%\x00-\x1f\x7f-\U0010ffff]+)*")
_OPTION = re.compile(rb"\((?:MAXSIZE|DEPTH) ", re.IGNORECASE)
_HALF_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_MIN_VENDOR_LEVELS = 5
"""/shared/vendor/NAME/ENTRY, split (RFC 5464 6.2.1)."""


def plain(lexer: Lexer, tag: str, name: str) -> Command:
    """A command without arguments."""
    return Plain(tag, name)


def authenticate(lexer: Lexer, tag: str, name: str) -> Command:
    """AUTHENTICATE; an initial response of "=" is an empty one (RFC 4959 3)."""
    lexer.space()
    mechanism = lexer.match(_MECHANISM, "a mechanism")[0].decode("ascii").upper()
    if not lexer.has_more():
        return Authenticate(tag, name, mechanism, None)
    lexer.space()
    coded = lexer.match(_BASE64, "base64")[0]
    return Authenticate(tag, name, mechanism, b"" if coded == b"=" else unbase64(coded))


def unbase64(coded: bytes) -> bytes:
    """What base64 of a SASL exchange says. Raises Bad."""
    try:
        return base64.b64decode(coded, validate=True)
    except ValueError:
        raise Bad("the response is not base64") from None


def login(lexer: Lexer, tag: str, name: str) -> Command:
    """LOGIN."""
    lexer.space()
    user = lexer.astring("a user name")
    lexer.space()
    return Login(tag, name, user, lexer.astring("a password"))


def enable(lexer: Lexer, tag: str, name: str) -> Command:
    """ENABLE."""
    capabilities: list[str] = []
    while not capabilities or lexer.has_more():
        lexer.space()
        capabilities.append(lexer.atom("a capability").upper())
    return Enable(tag, name, tuple(capabilities))


def compress(lexer: Lexer, tag: str, name: str) -> Command:
    """COMPRESS."""
    lexer.space()
    return Compress(tag, name, lexer.atom("an algorithm").upper())


def identify(lexer: Lexer, tag: str, name: str) -> Command:
    """ID; what is not UTF-8 is replaced, since it is only shown to people."""
    lexer.space()
    if lexer.nil():
        return Id(tag, name, None)

    def field() -> tuple[str, str | None]:
        key = lexer.astring("a field's name")
        lexer.space()
        value = None if lexer.nil() else lexer.astring("a string or NIL")
        return _shown(key), None if value is None else _shown(value)

    fields = lexer.listed(field, empty=True)
    if len(fields) > MAX_FIELDS:
        raise Bad(f"more than {MAX_FIELDS} fields")
    return Id(tag, name, tuple(fields))


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "replace")


# --------------------------------------------------------------- quota, rights


def get_quota(lexer: Lexer, tag: str, name: str) -> Command:
    """GETQUOTA."""
    lexer.space()
    return Quota(tag, name, lexer.words("a quota root"))


def set_quota(lexer: Lexer, tag: str, name: str) -> Command:
    """SETQUOTA."""
    lexer.space()
    root = lexer.words("a quota root")
    lexer.space()

    def limit() -> tuple[str, int]:
        resource = lexer.atom("a resource").upper()
        lexer.space()
        return resource, lexer.number64()

    return Quota(tag, name, root, tuple(lexer.listed(limit, empty=True)))


def set_acl(lexer: Lexer, tag: str, name: str) -> Command:
    """SETACL."""
    mailbox, identifier = _whose(lexer)
    lexer.space()
    rights = lexer.words("rights")
    if not _RIGHTS.fullmatch(rights):
        raise Bad("rights are small letters and digits, after + or - or nothing")
    return Acl(tag, name, mailbox, identifier, rights)


def of_identifier(lexer: Lexer, tag: str, name: str) -> Command:
    """DELETEACL and LISTRIGHTS."""
    return Acl(tag, name, *_whose(lexer))


def _whose(lexer: Lexer) -> tuple[str, str]:
    lexer.space()
    mailbox = lexer.mailbox()
    lexer.space()
    return mailbox, lexer.words("an identifier")


# ----------------------------------------------------------------------- notes


def get_metadata(lexer: Lexer, tag: str, name: str) -> Command:
    """GETMETADATA; its options come first (RFC 5464 5), or as in examples after the mailbox."""
    lexer.space()
    options = dict(_options(lexer) if lexer.peek() == b"(" else ())
    mailbox = lexer.mailbox()
    lexer.space()
    if not options and _OPTION.match(lexer.text, lexer.at):
        options = dict(_options(lexer))
    maxsize, depth = options.get("MAXSIZE"), options.get("DEPTH", 0)
    entries = lexer.one_or_listed(lambda: entry(lexer))
    return GetMetadata(tag, name, mailbox, tuple(entries), maxsize, depth)


def _options(lexer: Lexer) -> list[tuple[str, int]]:
    options = lexer.listed(lambda: _option(lexer))
    once([option for option, _ in options])
    lexer.space()
    return options


def _option(lexer: Lexer) -> tuple[str, int]:
    option = lexer.one_of(("MAXSIZE", "DEPTH"), "an option")
    lexer.space()
    if option == "MAXSIZE":
        return option, lexer.number()
    return option, {"0": 0, "1": 1, "INFINITY": -1}[lexer.one_of(("0", "1", "INFINITY"), "a depth")]


def set_metadata(lexer: Lexer, tag: str, name: str) -> Command:
    """SETMETADATA."""
    lexer.space()
    mailbox = lexer.mailbox()
    lexer.space()

    def note() -> tuple[str, bytes | None]:
        named = entry(lexer)
        levels = named.split("/")
        if len(levels) < 3 or (levels[2] == "vendor" and len(levels) < _MIN_VENDOR_LEVELS):
            raise Bad("the entry is a place for entries")
        lexer.space()
        if lexer.peek() == b"~":
            return named, lexer.literal8()
        value = lexer.nstring()
        if value and _HALF_LINE_END.search(value):
            raise Bad("lines of a value end with CRLF (RFC 5464 3.2)")
        return named, value

    return SetMetadata(tag, name, mailbox, tuple(lexer.listed(note)))


def entry(lexer: Lexer) -> str:
    """The name of an entry, which has no case: in lower case (RFC 5464 4)."""
    named = lexer.words("the name of an entry")
    if not _ENTRY.fullmatch(named.lower()):
        raise Bad("an entry is /private or /shared with names behind it, without * and %")
    return named.lower()


PARSERS: Mapping[str, Parser] = {
    **dict.fromkeys(
        (
            "CAPABILITY",
            "NOOP",
            "LOGOUT",
            "STARTTLS",
            "CHECK",
            "CLOSE",
            "UNSELECT",
            "EXPUNGE",
            "IDLE",
            "NAMESPACE",
        ),
        plain,
    ),
    "AUTHENTICATE": authenticate,
    "LOGIN": login,
    "ENABLE": enable,
    "COMPRESS": compress,
    "ID": identify,
    "GETQUOTA": get_quota,
    "SETQUOTA": set_quota,
    "SETACL": set_acl,
    "DELETEACL": of_identifier,
    "LISTRIGHTS": of_identifier,
    "GETMETADATA": get_metadata,
    "SETMETADATA": set_metadata,
}
