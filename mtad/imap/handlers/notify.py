"""NOTIFY (RFC 5465): the client chooses what it is told of, and is told at once."""

from mtad.errors import NothingFound
from mtad.imap import neighbours, write
from mtad.imap.answer import No, Ok
from mtad.imap.commands import Notify
from mtad.imap.handlers import status
from mtad.imap.names import mailboxes
from mtad.imap.notices import Notices
from mtad.imap.reach import reach, split, visible
from mtad.imap.session import Session

ITEMS = ("MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN")
OF_MESSAGES = frozenset(("MessageNew", "FlagChange"))


async def notify(session: Session, command: Notify) -> Ok | None:
    """NOTIFY SET replaces what was asked before, NOTIFY NONE ends all but commands' answers."""
    if not command.groups:
        await session.listen(None)
        return None
    subscribed = await session.box.subscriptions()
    notices = Notices(command.groups, subscribed, lambda name: split(name) is None)
    others = {
        name: rights for name, rights in (await visible(session)).items() if notices.wanted(name)
    }
    notices.visible.update(others)
    await session.listen(notices, await neighbours.watch(session, notices, others))
    selected = session.selected.name if session.selected is not None else None
    for name in sorted({*mailboxes(session), *others}):
        wanted = notices.wanted(name) & OF_MESSAGES
        if not wanted or name == selected:
            continue
        if "r" not in others.get(name, "r"):
            session.put(write.mailbox_list(name, ("\\NoAccess",), utf8=session.utf8))
        elif command.status:
            await tell_counts(session, name, with_modseq="FlagChange" in wanted)
    return None


async def tell_counts(session: Session, name: str, *, with_modseq: bool = False) -> None:
    """The STATUS response that tells of messages in a mailbox that is not selected.

    Nothing where it is not there any more, or the client may not read it.
    """
    items = (*ITEMS, "HIGHESTMODSEQ") if with_modseq or session.condstore else ITEMS
    try:
        async with reach(session, name, "r") as place:
            await status.tell(session, place, items)
    except (No, NothingFound):
        return
