"""Others' boxes that a session hears of, where NOTIFY names mailboxes in them (RFC 5465, RFC 4314).

What a client may not list is never named to it. What is told of messages asks for the right to
read when it is told, so that nothing has to be kept of rights but which names the client knows.
"""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial

from mtad.imap.answer import No
from mtad.imap.notices import Notices
from mtad.imap.reach import split
from mtad.imap.session import Session
from mtad.store import acl
from mtad.store.box import Box
from mtad.store.mailboxes import ANNOTATED, CREATED, DELETED, RENAMED, SHARED
from mtad.store.view import Change

MAX_BOXES = 20
"""Boxes of others that one session hears of: each is held open for it."""


async def watch(session: Session, notices: Notices, names: Iterable[str]) -> AsyncExitStack:
    """Hear what happens in the boxes of others' mailboxes, until what is returned is closed.

    Raises No where that are too many.
    """
    owners = {}
    for name in names:
        found = split(name)
        if found is not None:
            space, owner, _ = found
            owners[owner] = f"{space}{owner}/"
    if len(owners) > MAX_BOXES:
        raise No("That are mailboxes of too many people", b"NOTIFICATIONOVERFLOW")
    async with AsyncExitStack() as stack:
        for owner, prefix in owners.items():
            box = await stack.enter_async_context(session.service.open_box(owner))
            listener = partial(_hear, session, notices, box, prefix)
            box.watch(listener)
            stack.callback(box.unwatch, listener)
        return stack.pop_all()


def _hear(session: Session, notices: Notices, box: Box, prefix: str, change: Change) -> None:
    """Something happened in another's box."""
    if change.by is session:
        return
    name, known = prefix + change.mailbox, notices.visible
    if not change.what:
        selected = session.selected
        is_selected = selected is not None and selected.box is box
        if is_selected and selected is not None and selected.view.name == change.mailbox:
            return
        if change.reader in ("", session.address):
            notices.hear_messages(
                name,
                came_or_went=bool(change.added or change.gone),
                flagged=bool(change.changed),
            )
    elif change.what == SHARED:
        # Also what was made comes so, once it is shared.
        may_list = "l" in acl.parse(change.acl).of(session.address)
        if may_list is not (name in known):
            known.add(name)
            notices.hear_name(name, CREATED if may_list else DELETED)
    elif change.what == ANNOTATED and name in known:
        notices.hear_entries(name, [one for one in change.entries if one.startswith("/shared/")])
    elif change.what in (RENAMED, DELETED) and name in known:
        target = prefix + change.target if change.target else ""
        known.add(target or name)
        notices.hear_name(name, change.what, target)
    if notices.is_waiting:
        session.connection.poke()
