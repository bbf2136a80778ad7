"""Everything a client is told unasked, in its order: the selected mailbox, then the others."""

from mtad.imap import updates, write
from mtad.imap.answer import No, line
from mtad.imap.commands import Fetch, NumberSet
from mtad.imap.handlers.listing import tree
from mtad.imap.handlers.notify import tell_counts
from mtad.imap.handlers.table import TABLE
from mtad.imap.notices import Notices
from mtad.imap.reach import split
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
        await session.listen(None)
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
    due = notices.take()
    if due.names:
        known = await tree(session)
        for name, old_name in due.names.items():
            is_there = name in known.mailboxes
            if split(name) is not None:
                notices.visible -= {old_name} if is_there else {name, old_name}
            flags = known.flags(name, "\\NonExistent", is_subscribed=True)
            session.put(write.mailbox_list(name, flags, old_name=old_name, utf8=session.utf8))
    for name, entries in due.entries.items():
        said = (write.astring(entry) for entry in entries)
        session.put(write.line(b"METADATA", write.mailbox(name, utf8=session.utf8), *said))
    for name in due.counts:
        await tell_counts(session, name)
        await session.drain()
