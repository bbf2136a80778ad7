"""GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208): one root for all of a box."""

from mtad.imap import write
from mtad.imap.answer import No, Ok
from mtad.imap.commands import OfMailbox, Quota
from mtad.imap.reach import reach
from mtad.imap.session import Session

ROOT = "box"


async def getquota(session: Session, command: Quota) -> Ok | None:
    """RFC 9208 4.1."""
    if command.root != ROOT:
        raise No("There is no such quota root", b"NONEXISTENT")
    session.put(await _usage(session))
    return None


async def getquotaroot(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 9208 4.1.2: also of a mailbox that is to be made."""
    name = write.mailbox(command.mailbox, utf8=session.utf8)
    async with reach(session, command.mailbox, "r") as place:
        if place.reader:  # what others have is their matter
            session.put(write.line(b"QUOTAROOT", name))
            return None
    session.put(b'* QUOTAROOT %b "%b"\r\n' % (name, ROOT.encode()) + await _usage(session))
    return None


async def setquota(session: Session, command: Quota) -> Ok | None:
    """Quotas are the operator's matter."""
    raise No("Only the operator sets quotas", b"NOPERM")


async def _usage(session: Session) -> bytes:
    """The QUOTA response; a resource without a limit is not in it (RFC 9208 5.1)."""
    found = await session.box.quota()
    parts = []
    if found.max_bytes:
        parts.append(b"STORAGE %d %d" % (-(-found.bytes // 1024), found.max_bytes // 1024))
    if found.max_messages:
        parts.append(b"MESSAGE %d %d" % (found.messages, found.max_messages))
    return b'* QUOTA "%b" (%b)\r\n' % (ROOT.encode(), b" ".join(parts))
