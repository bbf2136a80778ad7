"""URLs of messages in the client's own box, as CATENATE takes them (RFC 4469 3, RFC 5092; PURE)."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from mtad.imap.answer import Bad
from mtad.imap.commands import Section
from mtad.imap.lexer import Lexer
from mtad.imap.parse_fetch import section

_URL = re.compile(
    r"(?:/(?P<mailbox>[^;]+?)(?:;UIDVALIDITY=(?P<uidvalidity>[1-9][0-9]{0,9}))?/|/?)"
    r";UID=(?P<uid>[1-9][0-9]{0,9})"
    r"(?:/;SECTION=(?P<section>[^;]*?))?"
    r"(?:/;PARTIAL=(?P<offset>[0-9]{1,10})(?:\.(?P<count>[1-9][0-9]{0,9}))?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """A message, or part of one. An empty ``mailbox`` is the one selected."""

    mailbox: str
    uidvalidity: int | None
    uid: int
    section: Section
    offset: int
    count: int | None


def parse(url: str) -> MessageUrl:
    """What a URL names. Raises ValueError, also for one that leads to another server."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("not the URL of a message here")
    lexer = Lexer(b"[%b]" % unquote(found["section"] or "").encode(), utf8=False)
    try:
        part = section(lexer)
        lexer.end()
    except Bad as error:
        raise ValueError(error.text) from None
    mailbox = unquote(found["mailbox"] or "", errors="strict")
    return MessageUrl(
        "INBOX" if mailbox.upper() == "INBOX" else mailbox,
        int(found["uidvalidity"]) if found["uidvalidity"] else None,
        int(found["uid"]),
        part,
        int(found["offset"] or 0),
        int(found["count"]) if found["count"] else None,
    )
