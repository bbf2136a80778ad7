"""Who read which message, for the log."""

from collections.abc import Sequence

from mtad.clock import now_us
from mtad.errors import NothingFound
from mtad.imap.batches import cut
from mtad.imap.commands import Item
from mtad.imap.selected import Selected
from mtad.imap.session import Session
from mtad.store.telling import CHUNK, item_of
from tracing.events import BoxRead

WHOLE = ("RFC822", "RFC822.TEXT", "BODY[]", "BINARY[]")


def is_reading(items: Sequence[Item]) -> bool:
    """Whether items give a message's text away, or a part of it."""
    return any(item.name in WHOLE and item.section.what in ("", "TEXT") for item in items)


async def tell(session: Session, selected: Selected, uids: Sequence[int]) -> None:
    """Write down what was sent, unless reading is nobody's business."""
    if not uids or not session.service.log_reading:
        return
    journal, box, mailbox = session.service.journal, selected.box, selected.view.name
    try:
        for part in cut(uids, CHUNK):
            items = tuple(map(item_of, await box.rows(mailbox, part)))
            known = tuple(dict.fromkeys(item.m for item in items if item.m))
            is_one = len(items) == 1 and bool(known)
            journal.note(
                BoxRead(
                    at=now_us(),
                    trace=known[0] if is_one else journal.mint.new(),
                    also=() if is_one else known,
                    addr=box.owner.address,
                    ip=session.ip,
                    mailbox=mailbox,
                    items=items,
                    client=session.client,
                    actor=session.actor,
                )
            )
    except NothingFound:
        return  # the mailbox was deleted meanwhile
