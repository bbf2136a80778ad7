"""STATUS (RFC 9051 6.3.11 with the items of RFC 7162, 8438, 8474, 7889 and 9208)."""

from collections.abc import Sequence

from mtad.errors import NothingFound
from mtad.imap import write
from mtad.imap.answer import Ok
from mtad.imap.commands import Status
from mtad.imap.place import Place, no_such
from mtad.imap.reach import reach
from mtad.imap.selected import combined
from mtad.imap.session import Session
from tracing import ids


async def status(session: Session, command: Status) -> Ok | None:
    """One mailbox's counts, of any mailbox."""
    async with reach(session, command.mailbox, "r") as place:
        await place.box.sync()
        if "HIGHESTMODSEQ" in command.items:
            session.use_modseqs()
        try:
            await tell(session, place, command.items)
        except NothingFound:
            raise no_such() from None
    return None


async def tell(session: Session, place: Place, items: Sequence[str]) -> None:
    """The STATUS response. Raises NothingFound."""
    found = await place.box.status(place.name, place.reader)
    values: dict[str, int | str] = {
        "MESSAGES": found.messages,
        "RECENT": found.recent,
        "UIDNEXT": found.uidnext,
        "UIDVALIDITY": found.uidvalidity,
        "UNSEEN": found.unseen,
        "DELETED": found.deleted,
        "SIZE": found.size,
        "HIGHESTMODSEQ": found.highestmodseq,
        "MAILBOXID": ids.text(found.mailboxid),
        "APPENDLIMIT": session.service.limits.max_message_bytes,
    }
    if "DELETED-STORAGE" in items:
        values["DELETED-STORAGE"] = await _deleted(place)
    said = {item: values[item] for item in items}
    await session.write(write.status(place.prefix + place.name, said, utf8=session.utf8))


async def _deleted(place: Place) -> int:
    r"""The octets of messages with ``\Deleted`` (RFC 9208 4.1.4)."""
    view = await place.box.select(place.name)
    marked = combined(view, "T")
    found = sum(size for size, mark in zip(view.sizes, view.marks, strict=True) if mark in marked)
    place.box.release(view)
    return found
