"""APPEND and REPLACE: flags, date and text of messages (RFC 9051 6.3.12, RFC 3502, 4469, 6855,
8508; PURE)."""

import re
from collections.abc import Mapping

from mtad.imap import dates
from mtad.imap.answer import Bad
from mtad.imap.commands import STAR, Append, AppendMessage, Command, Replace, Spooled, Url
from mtad.imap.lexer import Lexer
from mtad.imap.parse_session import Parser

MAX_URL = 2000
"""Octets of a URL."""

_URL = re.compile(rb"[!-~]+")


def append(lexer: Lexer, tag: str, name: str) -> Command:
    """APPEND with one or several messages."""
    lexer.space()
    mailbox = lexer.mailbox()
    messages = [_message(lexer)]
    while lexer.has_more():
        messages.append(_message(lexer))
    return Append(tag, name, mailbox, tuple(messages))


def replace(lexer: Lexer, tag: str, name: str) -> Command:
    """REPLACE and UID REPLACE."""
    by_uid = name.startswith("UID ")
    lexer.space()
    number = STAR if lexer.skip(b"*") else lexer.nz_number()
    lexer.space()
    mailbox = lexer.mailbox()
    return Replace(tag, name, number, by_uid, mailbox, _message(lexer))


def _message(lexer: Lexer) -> AppendMessage:
    lexer.space()
    flags: tuple[str, ...] = ()
    if lexer.peek() == b"(":
        flags = lexer.flags()
        lexer.space()
    at_us = None
    if lexer.peek() == b'"':
        at = lexer.at
        try:
            at_us = dates.moment(lexer.quoted().decode("ascii"))
        except ValueError:
            lexer.at = at
            lexer.fail("a date and time")
        lexer.space()
    if lexer.skip(b"UTF8"):
        lexer.space()
        return AppendMessage(flags, at_us, (_utf8(lexer),), utf8=True)
    if lexer.skip(b"CATENATE"):
        lexer.space()
        is_utf8 = is_binary = False

        def part() -> bytes | Spooled | Url:
            nonlocal is_utf8, is_binary
            kind = lexer.one_of(("TEXT", "URL", "UTF8"), "a part")
            lexer.space()
            if kind == "URL":
                return _url(lexer)
            if kind == "UTF8":
                is_utf8 = True
                return _utf8(lexer)
            literal, binary = lexer.literal()
            is_binary |= binary
            return literal

        parts = tuple(lexer.listed(part))
        return AppendMessage(flags, at_us, parts, utf8=is_utf8, binary=is_binary)
    literal, binary = lexer.literal()
    return AppendMessage(flags, at_us, (literal,), binary=binary)


def _url(lexer: Lexer) -> Url:
    """A URL, whose characters are such that an answer can repeat it (RFC 5092)."""
    url = lexer.astring("a URL")
    if len(url) > MAX_URL or not _URL.fullmatch(url):
        raise Bad("this is no URL")
    return Url(url.decode("ascii"))


def _utf8(lexer: Lexer) -> bytes | Spooled:
    """``(~{n})`` of RFC 6855 4."""
    if not lexer.utf8:
        raise Bad("UTF8 needs ENABLE UTF8=ACCEPT or IMAP4rev2 first")
    lexer.expect(b"(")
    literal, is_literal8 = lexer.literal()
    if not is_literal8:
        raise Bad("UTF8 takes a literal8")
    lexer.expect(b")")
    return literal


PARSERS: Mapping[str, Parser] = {"APPEND": append, "REPLACE": replace, "UID REPLACE": replace}
