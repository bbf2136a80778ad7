"""Choosing a mailbox and leaving it: SELECT, EXAMINE, CLOSE, UNSELECT, CHECK (RFC 9051 6.3)."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import AsyncExitStack

from mtad.errors import NothingFound
from mtad.imap import updates, write
from mtad.imap.answer import Bad, Ok, line
from mtad.imap.commands import NumberSet, Plain, QResync, Select
from mtad.imap.handlers.chosen import opened, who
from mtad.imap.place import no_such
from mtad.imap.reach import reach, rights_now
from mtad.imap.selected import Selected, combined
from mtad.imap.session import Session
from tracing import ids


async def select(session: Session, command: Select) -> Ok | None:
    """SELECT and EXAMINE; whatever comes of it, the former mailbox is not selected any more."""
    if command.qresync is not None and not session.qresync:
        raise Bad("ENABLE QRESYNC first")
    if session.uidonly and command.qresync is not None and command.qresync.matched is not None:
        # RFC 9586 3: also here nobody speaks of sequence numbers any more.
        raise Bad("Leave out the sequence numbers", b"UIDREQUIRED")
    if session.selected is not None:
        await session.unselect()
        session.put(line(b"*", b"OK", "The former mailbox is closed", b"CLOSED"))
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(reach(session, command.mailbox, "r"))
        try:
            view = await place.box.select(place.name, place.reader)
        except NothingFound:
            raise no_such() from None
        selected = Selected(view, place, read_only=command.name == "EXAMINE")
        session.select(selected, stack.pop_all())
        selected.grant(await rights_now(session, place))
    if not session.rev2:  # which has no \Recent any more
        selected.claim()
    if command.condstore:
        session.enabled.add("CONDSTORE")
    session.put(_facts(session, selected))
    if command.qresync is not None and command.qresync.uidvalidity == view.uidvalidity:
        await _resynchronise(session, selected, command.qresync)
    return Ok("", b"READ-ONLY" if selected.is_fixed else b"READ-WRITE")


def _facts(session: Session, selected: Selected) -> bytes:
    """What RFC 9051 6.3.2 (and RFC 3501 6.3.1) wants to be told of the mailbox."""
    view = selected.view
    parts = [updates.flags(session, selected), b"* %d EXISTS\r\n" % selected.exists]
    if session.rev2:
        parts.append(write.mailbox_list(selected.name, utf8=session.utf8))
    else:
        parts.append(b"* %d RECENT\r\n" % len(selected.recent))
        if (first := _first_unseen(selected)) and not session.uidonly:
            parts.append(line(b"*", b"OK", "First unseen", b"UNSEEN %d" % first))
    parts += [
        line(b"*", b"OK", "UIDs are valid", b"UIDVALIDITY %d" % view.uidvalidity),
        line(b"*", b"OK", "Predicted next UID", b"UIDNEXT %d" % view.uidnext),
        line(b"*", b"OK", "Highest", b"HIGHESTMODSEQ %d" % view.highestmodseq),
        line(b"*", b"OK", "Ok", b"MAILBOXID (%b)" % ids.text(view.id).encode()),
    ]
    return b"".join(parts)


def _first_unseen(selected: Selected) -> int:
    """The sequence number of the first message without \\Seen, 0 where all have it."""
    seen = combined(selected.view, "S")
    return next((at + 1 for at, mark in enumerate(selected.view.marks) if mark not in seen), 0)


async def _resynchronise(session: Session, selected: Selected, asked: QResync) -> None:
    """What became of the mailbox since the client last saw it (RFC 7162 3.2.5)."""
    view, box = selected.view, selected.box
    if asked.modseq >= view.highestmodseq:
        return
    gone = await box.vanished(view.name, asked.modseq)
    if asked.known_uids is not None:
        gone = _within(gone, asked.known_uids)
    if asked.matched is not None:
        beyond = _agreed(selected, asked.matched)
        gone = [uid for uid in gone if uid > beyond]
    await updates.vanished(session, [uid for uid in gone if not selected.number(uid)], earlier=True)
    known = None
    if asked.known_uids is not None:
        known = set(selected.resolve(asked.known_uids, by_uid=True))
    changed = [
        uid
        for uid, modseq in zip(view.uids, view.modseqs, strict=True)
        if modseq > asked.modseq and uid <= selected.last and (known is None or uid in known)
    ]
    for start in range(0, len(changed), updates.SLICE):
        part = changed[start : start + updates.SLICE]
        await session.write(b"".join([updates.flag_line(session, selected, uid) for uid in part]))
        await session.drain()


def _within(uids: list[int], numbers: NumberSet) -> list[int]:
    """Those of ascending UIDs that are in a set of numbers."""
    ranges = sorted((min(r), max(r)) for r in numbers.ranges)
    lows = [low for low, _ in ranges]
    highest: list[int] = []
    for _, high in ranges:
        highest.append(max(high, highest[-1] if highest else 0))
    return [uid for uid in uids if (at := bisect_right(lows, uid)) and uid <= highest[at - 1]]


def _agreed(selected: Selected, matched: tuple[NumberSet, NumberSet]) -> int:
    """The highest UID up to which the client's numbers are ours (RFC 7162 3.2.5.2)."""
    numbers, uids = (tuple(_each(one, selected.exists)) for one in matched)
    agreed = 0
    for number, uid in zip(numbers, uids, strict=False):
        if number > selected.exists or selected.uids[number - 1] != uid:
            break
        agreed = uid
    return agreed


def _each(numbers: NumberSet, limit: int) -> Iterator[int]:
    """The numbers of a set one by one, no more than could be of use."""
    count = 0
    for low, high in numbers.ranges:
        for number in range(min(low, high), max(low, high) + 1):
            yield number
            count += 1
            if count > limit:
                return


async def close(session: Session, command: Plain) -> Ok | None:
    r"""RFC 9051 6.4.1: what is \Deleted goes, without a word of it."""
    selected = session.selected
    assert selected is not None
    try:
        if not selected.read_only and "e" in selected.rights:
            view = selected.view
            marked = combined(view, "T")
            deleted = [
                uid for uid, mark in zip(view.uids, view.marks, strict=True) if mark in marked
            ]
            if deleted:
                await selected.box.expunge(view.name, deleted, **who(session))
    finally:
        await session.unselect()
    return None


async def unselect(session: Session, command: Plain) -> Ok | None:
    """RFC 9051 6.4.2."""
    await session.unselect()
    return None


async def check(session: Session, command: Plain) -> Ok | None:
    """RFC 3501 6.4.1: everything is durable already."""
    await opened(session).box.sync()
    return None
