"""NOTIFY (RFC 5465): the client chooses what it is told of, and is told at once."""

from mtad.errors import NothingFound
from mtad.imap.answer import Ok
from mtad.imap.commands import Notify
from mtad.imap.handlers import status
from mtad.imap.names import mailboxes
from mtad.imap.notices import Notices
from mtad.imap.place import Place
from mtad.imap.session import Session

ITEMS = ("MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN")


async def notify(session: Session, command: Notify) -> Ok | None:
    """NOTIFY SET replaces what was asked before, NOTIFY NONE ends all but commands' answers."""
    if not command.groups:
        session.notices = None
        return None
    subscribed = await session.box.subscriptions()
    session.notices = notices = Notices(command.groups, subscribed.__contains__)
    if command.status:
        selected = session.selected.name if session.selected is not None else None
        for name in sorted(mailboxes(session)):
            if name != selected and "MessageNew" in notices.wanted(name):
                await tell_counts(session, name)
    return None


async def tell_counts(session: Session, name: str) -> None:
    """The STATUS response that tells of messages in a mailbox that is not selected."""
    items = (*ITEMS, "HIGHESTMODSEQ") if session.condstore else ITEMS
    try:
        await status.tell(session, Place(session.box, name), items)
    except NothingFound:
        return
