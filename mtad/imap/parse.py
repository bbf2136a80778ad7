"""A client's command, from its octets to what it asks (RFC 9051 6; PURE)."""

import re
from collections.abc import Mapping

from mtad.imap import (
    parse_append,
    parse_fetch,
    parse_mailbox,
    parse_notify,
    parse_search,
    parse_session,
)
from mtad.imap.answer import Bad, Negative
from mtad.imap.commands import Command
from mtad.imap.lexer import MAX_SHOWN, Lexer
from mtad.imap.parse_session import Parser
from mtad.imap.wire import Request

PARSERS: Mapping[str, Parser] = {
    **parse_session.PARSERS,
    **parse_mailbox.PARSERS,
    **parse_append.PARSERS,
    **parse_fetch.PARSERS,
    **parse_search.PARSERS,
    **parse_notify.PARSERS,
}
"""By command what reads its arguments."""

_TAG = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+]+")
_NAME = re.compile(rb" ((?:UID )?[A-Za-z][A-Za-z0-9-]*)(?=[ \r]|\Z)", re.IGNORECASE)


def parse(request: Request, *, utf8: bool = False) -> Command:
    """What a command asks; ``utf8`` tells that UTF8=ACCEPT or IMAP4rev2 is enabled.

    Raises Bad where it is not a command, No where it is one that cannot be carried out
    (a charset, an event, a name in the wrong encoding), both with the command's tag.
    """
    line = request.line
    tag, name, at = opening(line)
    try:
        lexer = Lexer(line, request.literals, at=at, utf8=utf8)
        command = PARSERS[name](lexer, tag, name)
        lexer.end()
    except Negative as error:
        error.tag = tag
        raise
    return command


def opening(line: bytes) -> tuple[str, str, int]:
    """A command's tag and name, such as "UID FETCH", and where its arguments begin.

    Raises Bad (with the tag, if there is one) for what is no command known here.
    """
    tagged = _TAG.match(line)
    if tagged is None:
        raise Bad("a command begins with a tag")
    found = _NAME.match(line, tagged.end())
    name = found[1].decode("ascii").upper() if found else ""
    if found is None or name not in PARSERS:
        # By a local name, the error and this frame would hold each other until a collection.
        raise _tagged(
            Bad(f"{name[:MAX_SHOWN] or 'this'} is no command known here"), tagged[0].decode("ascii")
        )
    return tagged[0].decode("ascii"), name, found.end()


def _tagged(error: Bad, tag: str) -> Bad:
    error.tag = tag
    return error
