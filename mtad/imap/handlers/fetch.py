r"""FETCH and UID FETCH (RFC 9051 6.4.5, RFC 7162, RFC 9394, RFC 9586).

``\Seen`` is set durably before the first message is shown. Messages go out in batches; the
files of the next are read while one is on its way.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import chain

from mtad.errors import MtadError
from mtad.imap import batches, bodies, items, readers, results, write
from mtad.imap.answer import Bad, No, Ok
from mtad.imap.batches import Batch, Found, Lines
from mtad.imap.commands import Fetch, Item, NumberSet
from mtad.imap.handlers.chosen import expunged, opened, who
from mtad.imap.items import Plan
from mtad.imap.selected import Selected
from mtad.imap.session import Session
from mtad.journal.errors import JournalBroken, JournalFull
from mtad.store.cache_rendering import Summary

log = logging.getLogger("mtad.imap")

MAX_READ = 2**20
"""Octets of messages that are read at once, unless a single one is larger."""
CACHED = 512
"""Messages of which what is cached is read at once."""
PIECE = 128 * 1024
"""Octets handed to the connection at once."""


async def fetch(session: Session, command: Fetch) -> Ok | None:
    """Send what is asked of each message that is there."""
    selected = opened(session)
    asked = _asked(session, command)
    uids = selected.resolve(command.numbers, command.by_uid)
    if command.changed_since is not None:
        uids = _changed(selected, uids, command.changed_since)
    if command.vanished:
        await _vanished(session, command)
    if command.partial is not None:
        uids = results.page(uids, command.partial)
    if await _see(session, uids, asked):
        asked = list(dict.fromkeys([*asked, FLAGS, *([MODSEQ] if session.condstore else [])]))
    plan = items.plan(asked)
    lines = Lines(session, plan.columns)
    sent: list[int] = []
    try:
        async with aclosing(_batches(session, selected, uids, plan)) as found:
            async for batch in found:
                if sent:
                    await session.drain()
                await _send(session, lines.pieces(batch) if plan.reading else [lines.of(batch)])
                sent += batch.uids
    finally:
        if readers.is_reading(asked):
            await readers.tell(session, selected, sent)
    if plan.reading is not None and plan.reading.is_unknown:
        raise No("A part is in an encoding that is not known here", b"UNKNOWN-CTE")
    if len(sent) < len(uids) and not command.by_uid:
        raise expunged()
    return None


async def _send(session: Session, pieces: Sequence[bytes]) -> None:
    """Send octets; others have a turn after each ``PIECE`` of them. Raises Gone."""
    waits = 0
    for piece in pieces:
        for start in range(0, len(piece), PIECE):
            part = piece if len(piece) <= PIECE else piece[start : start + PIECE]
            if waits and waits + len(part) > PIECE:
                await session.drain()
                waits = 0
            session.put(part)
            waits += len(part)


FLAGS = Item("FLAGS", peek=True)
MODSEQ = Item("MODSEQ", peek=True)
UID = Item("UID", peek=True)


def _asked(session: Session, command: Fetch) -> list[Item]:
    """The items, with those that are implied."""
    asked = list(command.items)
    if command.changed_since is not None:
        asked.append(MODSEQ)
    if MODSEQ in asked:
        session.use_modseqs()
    if not session.uidonly and (command.by_uid or session.qresync):
        asked.insert(0, UID)
    if session.condstore and FLAGS in asked and session.qresync:
        asked.append(MODSEQ)
    return list(dict.fromkeys(asked))


def _changed(selected: Selected, uids: Sequence[int], since: int) -> list[int]:
    modseqs = selected.view.modseqs
    return [uid for uid in uids if (at := selected.view.position(uid)) >= 0 and modseqs[at] > since]


async def _vanished(session: Session, command: Fetch) -> None:
    """RFC 7162 3.2.6: which of the messages are gone since then."""
    if not session.qresync:
        raise Bad("ENABLE QRESYNC first")
    assert command.changed_since is not None
    selected = opened(session)
    gone = await selected.box.vanished(selected.view.name, command.changed_since)
    known = within(gone, command.numbers, selected)
    if known:
        await session.write(b"* VANISHED (EARLIER) %b\r\n" % write.number_set(known))


def within(uids: Sequence[int], numbers: NumberSet, selected: Selected) -> list[int]:
    """Those of ascending UIDs that a set of UIDs names, whether they are there or not."""
    if numbers.saved:
        return []
    top = selected.last
    spans = sorted(sorted((first or top, last or top)) for first, last in numbers.ranges)
    lows = [low for low, _ in spans]
    highest: list[int] = []
    for _, high in spans:
        highest.append(max(high, highest[-1] if highest else 0))
    return [uid for uid in uids if (at := bisect_right(lows, uid)) and uid <= highest[at - 1]]


async def _see(session: Session, uids: Sequence[int], asked: Sequence[Item]) -> bool:
    r"""Set \Seen where reading does that; whether any message got it.

    A journal that cannot be written keeps nobody from reading.
    """
    selected = opened(session)
    if selected.read_only or "s" not in selected.rights or all(item.peek for item in asked):
        return False
    view = selected.view
    seen = ["S" in letters for letters, _, _ in view.combinations()]
    marks = view.marks
    fresh = [
        uid for uid in uids if (at := selected.view.position(uid)) >= 0 and not seen[marks[at]]
    ]
    if not fresh:
        return False
    try:
        reader = selected.place.reader
        done = await selected.box.flags(
            view.name, fresh, ("\\Seen",), (), reader=reader, **who(session)
        )
    except (MtadError, JournalFull, JournalBroken, OSError) as error:
        log.warning("messages are read and not marked as seen: %s", error)
        return False
    return bool(done.changed)


# -------------------------------------------------------------------- batches


async def _batches(
    session: Session, selected: Selected, uids: Sequence[int], plan: Plan
) -> AsyncGenerator[Batch, None]:
    """Messages with what the plan needs of them; those that are gone are left out."""
    if plan.reading is None and not (plan.is_cached or plan.fields):
        for part in batches.cut(uids):
            yield batches.located(selected, part)
        return
    parts = batches.cut(uids, CACHED) if plan.reading is None else _parts(selected, uids)
    loop = asyncio.get_running_loop()
    ahead: asyncio.Task[Found] | None = None
    try:
        for more in chain(parts, (None,)):
            ready, ahead = ahead, None
            if more is not None:
                ahead = loop.create_task(_find(selected, more, plan))
            if ready is not None:
                found = await ready
                yield batches.located(selected, found.uids, found)
    finally:
        if ahead is not None:
            ahead.cancel()


async def _find(selected: Selected, uids: Sequence[int], plan: Plan) -> Found:
    summaries: Mapping[int, Summary] = {}
    read: Mapping[int, Sequence[bytes | write.Long]] = {}
    fields: dict[Item, Mapping[int, bytes]] = {}
    box, mailbox = selected.box, selected.view.name
    for item in plan.fields:
        without = item.section.what.endswith("NOT")
        fields[item] = await box.header_fields(mailbox, uids, item.section.fields, without=without)
        uids = [uid for uid in uids if uid in fields[item]]
    if plan.is_cached:
        summaries = await box.summaries(
            mailbox, uids, outline=plan.outline, header=plan.header, keys=plan.keys
        )
        uids = [uid for uid in uids if uid in summaries]
    if plan.reading is not None:
        read = await bodies.each(box, mailbox, uids, plan.reading)
        uids = [uid for uid in uids if uid in read]
    return Found(uids, summaries, read, fields)


def _parts(selected: Selected, uids: Sequence[int]) -> Iterator[Sequence[int]]:
    """UIDs in parts that may be in memory at once."""
    part: list[int] = []
    octets = 0
    for uid in uids:
        at = selected.view.position(uid)
        size = selected.view.sizes[at] if at >= 0 else 0
        if part and (octets + size > MAX_READ or len(part) == batches.SIZE):
            yield part
            part, octets = [], 0
        part.append(uid)
        octets += size
    if part:
        yield part
