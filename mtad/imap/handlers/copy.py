"""COPY and MOVE with their UID forms (RFC 9051 6.4.7 and 6.4.8, RFC 4315, RFC 6851).

Either takes all messages or none. What a move takes away is told as EXPUNGE or VANISHED with
the tagged answer, after the numbers it got in its place.
"""

from mtad.errors import NothingFound
from mtad.imap import write
from mtad.imap.answer import No, Ok
from mtad.imap.commands import Copy
from mtad.imap.handlers.chosen import exists, opened, who, whole, writable
from mtad.imap.session import Session
from mtad.store.box import Copied


async def copy(session: Session, command: Copy) -> Ok | None:
    """COPY and UID COPY."""
    selected = opened(session)
    uids = whole(selected, command.numbers, command.by_uid)
    if not uids:
        return await _nothing(session, command.mailbox)
    try:
        done = await session.box.copy(selected.name, uids, command.mailbox, **who(session))
    except NothingFound:
        raise _no_such() from None
    return Ok("Copied", _code(done)) if done.targets else None


async def move(session: Session, command: Copy) -> Ok | None:
    """MOVE and UID MOVE."""
    selected = writable(session)
    uids = whole(selected, command.numbers, command.by_uid)
    if not uids:
        return await _nothing(session, command.mailbox)
    try:
        done = await session.box.move(selected.name, uids, command.mailbox, **who(session))
    except NothingFound:
        raise _no_such() from None
    if not done.targets:
        return None
    await session.ok("Moved", _code(done))
    return Ok(code=gone_code(session))


async def _nothing(session: Session, mailbox: str) -> Ok:
    """No message is meant (RFC 9051 6.4.9: that is no error); the mailbox must be there."""
    if not await exists(session, mailbox):
        raise _no_such()
    return Ok("There are no such messages")


def _no_such() -> No:
    return No("There is no such mailbox", b"TRYCREATE")


def _code(done: Copied) -> bytes:
    """COPYUID (RFC 4315 3): sets in which each source stands where its target does."""
    sources, targets = write.number_set(done.sources), write.number_set(done.targets)
    return write.code("COPYUID", done.uidvalidity, sources, targets)


def gone_code(session: Session) -> bytes:
    """HIGHESTMODSEQ after an expunge, for who resynchronises (RFC 7162 3.2.7)."""
    if not session.qresync:
        return b""
    return write.code("HIGHESTMODSEQ", opened(session).view.highestmodseq)
