"""MYRIGHTS, and the lists of rights of one's own mailboxes (RFC 4314)."""

from mtad.imap import write
from mtad.imap.answer import Ok
from mtad.imap.commands import OfMailbox
from mtad.imap.names import find
from mtad.imap.session import Session

ALL_RIGHTS = b"lrswipkxteacd"
"""Those of an owner, with the old "c" and "d" (RFC 4314 2.1.1)."""


async def myrights(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 4314 3.5."""
    find(session, command.mailbox)
    name = write.mailbox(command.mailbox, utf8=session.utf8)
    session.put(b"* MYRIGHTS %b %b\r\n" % (name, ALL_RIGHTS))
    return None


async def getacl(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 4314 3.3."""
    find(session, command.mailbox)
    name = write.mailbox(command.mailbox, utf8=session.utf8)
    owner = write.astring(session.address.encode())
    session.put(b"* ACL %b %b %b\r\n" % (name, owner, ALL_RIGHTS))
    return None
