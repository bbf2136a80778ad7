"""APPEND: messages from the client (RFC 9051 6.3.12, RFC 3502, RFC 4469, RFC 7889).

All messages of a command are stored, or none. What is written is in the box's Maildir/tmp until
the box has promised it durably; what fails before that leaves nothing behind.

Header fields with 8-bit octets are taken from every client, though RFC 9755 4 wants NO where
UTF8=ACCEPT is not enabled: mail is full of them, and programs that copy a box would lose it.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from mtad import clock
from mtad.errors import NothingFound
from mtad.imap import bodies, urls, write
from mtad.imap.answer import Bad, No, Ok
from mtad.imap.commands import Append, AppendMessage, Url
from mtad.imap.composing import compose
from mtad.imap.handlers.chosen import exists, who
from mtad.imap.place import Place, no_such, permitted
from mtad.imap.reach import reach
from mtad.imap.session import Session
from mtad.imap.wire import TOGETHER
from mtad.store.values import Placed, Prepared


async def append(session: Session, command: Append) -> Ok | None:
    """Store messages and tell their UIDs (RFC 4315)."""
    done = await put(session, command.mailbox, command.messages)
    return Ok("Stored", code(done))


def code(done: Placed) -> bytes:
    """APPENDUID."""
    return write.code("APPENDUID", done.uidvalidity, write.number_set(done.uids))


async def put(session: Session, mailbox: str, messages: Sequence[AppendMessage]) -> Placed:
    """Store messages in a mailbox, which is not made. Raises No."""
    async with reach(session, mailbox, "i", absent=b"TRYCREATE") as place:
        if not await exists(place):
            raise no_such(b"TRYCREATE")
        at_us = clock.now_us()
        made: list[Path] = []
        items: list[Prepared] = []
        left = session.service.limits.max_message_bytes * TOGETHER
        try:
            for one in messages:
                items.append(await _prepared(session, place, one, at_us, made))
                left -= items[-1].size
                if left < 0:
                    raise No("The messages are too big together", b"LIMIT")
            placed = await place.box.put(
                place.name, items, make=False, reader=place.reader, **who(session)
            )
            made.clear()
            return placed
        except NothingFound:
            raise no_such(b"TRYCREATE") from None
        except asyncio.CancelledError:
            made.clear()  # the act goes on, and what it does not take is swept away later
            raise
        finally:
            if made:
                await asyncio.to_thread(_remove, made)


def _remove(paths: Sequence[Path]) -> None:
    """Those that were not taken."""
    for path in paths:
        path.unlink(missing_ok=True)


async def _prepared(
    session: Session, place: Place, message: AppendMessage, at_us: int, made: list[Path]
) -> Prepared:
    """A message as a file of its own, with the flags that the client may set."""
    parts: list[bytes | Path] = []
    limit = session.service.limits.max_message_bytes
    fetched = 0
    for part in message.parts:
        if isinstance(part, bytes):
            parts.append(part)
        elif isinstance(part, Url):
            found = await _fetched(session, part.url)
            fetched += len(found)
            if fetched > limit:
                raise No(f"A message may have {limit} octets", b"TOOBIG")
            parts.append(found)
        else:
            parts.append(Path(part.path()))
    path = place.box.draft()
    made.append(path)
    return await asyncio.to_thread(
        compose,
        path,
        parts,
        permitted(place.rights, message.flags),
        at_us if message.date_us is None else message.date_us,
        max_size=limit,
        binary=message.utf8 or message.binary,
    )


async def _fetched(session: Session, url: str) -> bytes:
    """What a URL of CATENATE leads to."""
    said = write.code("BADURL", write.string(url))
    try:
        found = urls.parse(url)
    except ValueError:
        raise No("A URL must lead to a message of this box", said) from None
    mailbox = found.mailbox
    if not mailbox:
        if session.selected is None:
            raise Bad("A URL without a mailbox needs a selected one")
        mailbox = session.selected.name
    try:
        async with reach(session, mailbox, "r") as place:
            data = await bodies.of_url(place.box, place.name, found)
    except No:
        data = None
    if data is None:
        raise No("There is no such message or part", said)
    return data
