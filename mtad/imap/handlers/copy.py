"""COPY and MOVE with their UID forms (RFC 9051 6.4.7 and 6.4.8, RFC 4315, RFC 6851).

Either takes all messages or none. What a move takes away is told as EXPUNGE or VANISHED with
the tagged answer, after the numbers it got in its place.
"""

from collections.abc import Sequence
from functools import partial

from mtad.errors import NothingFound
from mtad.imap import write
from mtad.imap.answer import Ok
from mtad.imap.commands import Copy
from mtad.imap.handlers.chosen import exists, opened, who, whole, writable
from mtad.imap.place import ALL_FLAGS, Place, no_such, permitted
from mtad.imap.reach import reach
from mtad.imap.selected import Selected
from mtad.imap.session import Session
from mtad.store import crossing
from mtad.store.box import Copied


async def copy(session: Session, command: Copy) -> Ok | None:
    """COPY and UID COPY."""
    selected = opened(session)
    uids = whole(selected, command.numbers, command.by_uid)
    if not uids:
        return await _nothing(session, command.mailbox)
    async with reach(session, command.mailbox, "i", absent=b"TRYCREATE") as target:
        try:
            done = await _copy(session, selected, uids, target)
        except NothingFound:
            raise no_such(b"TRYCREATE") from None
    return Ok("Copied", _code(done)) if done.targets else None


async def _copy(session: Session, selected: Selected, uids: Sequence[int], target: Place) -> Copied:
    """Copy to a mailbox of whatever box, with the flags that may be set there."""
    source, mailbox = selected.place, selected.view.name
    if target.box is source.box and ALL_FLAGS.issubset(target.rights):
        return await source.box.copy(
            mailbox, uids, target.name, reader=target.reader, **who(session)
        )
    return await crossing.copy(
        crossing.End(source.box, mailbox, source.reader),
        uids,
        crossing.End(target.box, target.name, target.reader),
        partial(permitted, target.rights),
        **who(session),
    )


async def move(session: Session, command: Copy) -> Ok | None:
    """MOVE and UID MOVE."""
    selected = writable(session, "te")
    uids = whole(selected, command.numbers, command.by_uid)
    if not uids:
        return await _nothing(session, command.mailbox)
    async with reach(session, command.mailbox, "i", absent=b"TRYCREATE") as target:
        try:
            done = await _move(session, selected, uids, target)
        except NothingFound:
            raise no_such(b"TRYCREATE") from None
    if not done.targets:
        return None
    await session.ok("Moved", _code(done))
    return Ok(code=gone_code(session))


async def _move(session: Session, selected: Selected, uids: Sequence[int], target: Place) -> Copied:
    """The same for a move; to another box a copy comes first, and is durable before all else."""
    box, mailbox = selected.box, selected.view.name
    if target.box is box and ALL_FLAGS.issubset(target.rights):
        return await box.move(mailbox, uids, target.name, **who(session))
    done = await _copy(session, selected, uids, target)
    await box.expunge(mailbox, done.sources, **who(session))
    return done


async def _nothing(session: Session, mailbox: str) -> Ok:
    """No message is meant (RFC 9051 6.4.9: that is no error); the mailbox must be there."""
    async with reach(session, mailbox, "i", absent=b"TRYCREATE") as target:
        if not await exists(target):
            raise no_such(b"TRYCREATE")
    return Ok("There are no such messages")


def _code(done: Copied) -> bytes:
    """COPYUID (RFC 4315 3): sets in which each source stands where its target does."""
    sources, targets = write.number_set(done.sources), write.number_set(done.targets)
    return write.code("COPYUID", done.uidvalidity, sources, targets)


def gone_code(session: Session) -> bytes:
    """HIGHESTMODSEQ after an expunge, for who resynchronises (RFC 7162 3.2.7)."""
    if not session.qresync:
        return b""
    return write.code("HIGHESTMODSEQ", opened(session).view.highestmodseq)
