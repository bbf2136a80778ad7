"""Everything a client is told unasked, in its order: the selected mailbox, then the others."""

from mtad.imap import updates, write
from mtad.imap.answer import No, line
from mtad.imap.commands import Fetch, NumberSet
from mtad.imap.handlers.listing import tree
from mtad.imap.handlers.notify import tell_counts
from mtad.imap.handlers.table import TABLE
from mtad.imap.names import mailboxes
from mtad.imap.notices import Notices
from mtad.imap.session import Session


async def tell(session: Session, *, expunges: bool) -> None:
    """Send what the client does not know and wants to; see ``updates.tell``. Raises Gone."""
    notices, selected = session.notices, session.selected
    known = selected.last if selected is not None else 0
    await updates.tell(session, expunges=expunges)
    if notices is None:
        return
    if notices.items and selected is not None and selected.last > known:
        await _fetch(session, notices, known + 1)
    if notices.is_overflown:
        session.notices = None
        session.put(line(b"*", b"OK", "There is too much to tell", b"NOTIFICATIONOVERFLOW"))
        return
    if notices.is_waiting:
        await _others(session, notices)


async def _fetch(session: Session, notices: Notices, first: int) -> None:
    """What NOTIFY asks of each message that arrives (RFC 5465 5.1)."""
    entry = TABLE.get("FETCH")
    if entry is not None:
        numbers = NumberSet(((first, 0),))
        try:
            await entry.handler(session, Fetch("*", "UID FETCH", numbers, True, notices.items))
        except No:
            return


async def _others(session: Session, notices: Notices) -> None:
    names, counts = notices.take()
    there = mailboxes(session)
    if names:
        known = await tree(session)
        for name, old_name in names.items():
            flags = known.flags(name, "\\NonExistent", is_subscribed=True)
            session.put(write.mailbox_list(name, flags, old_name=old_name, utf8=session.utf8))
    for name in counts:
        if name in there:
            await tell_counts(session, name)
            await session.drain()
