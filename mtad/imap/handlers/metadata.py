"""GETMETADATA and SETMETADATA (RFC 5464)."""

import asyncio
from collections.abc import Mapping, Sequence

from mtad.imap import annotations, write
from mtad.imap.answer import No, Ok
from mtad.imap.commands import GetMetadata, SetMetadata
from mtad.imap.names import find
from mtad.imap.session import Session


async def getmetadata(session: Session, command: GetMetadata) -> Ok | None:
    """RFC 5464 4.2: entries by name, and those below them as deep as asked."""
    there = await _entries(session, command.mailbox)
    found: dict[str, bytes | None] = {}
    longest = 0
    for name in command.entries:
        found[name] = there.get(name)
        for other in there:
            if other.startswith(f"{name}/") and _depth(name, other) <= _limit(command.depth):
                found[other] = there[other]
    for name, value in list(found.items()):
        if command.maxsize is not None and value is not None and len(value) > command.maxsize:
            longest = max(longest, len(value))
            del found[name]
    if found:
        session.put(_line(session, command.mailbox, found))
    return Ok("", b"METADATA LONGENTRIES %d" % longest if longest else b"")


def _depth(name: str, other: str) -> int:
    return other.removeprefix(name).count("/")


def _limit(depth: int) -> float:
    return float("inf") if depth < 0 else depth


async def setmetadata(session: Session, command: SetMetadata) -> Ok | None:
    """RFC 5464 4.3: all or nothing."""
    for _, value in command.entries:
        if value is not None and len(value) > annotations.MAX_VALUE:
            raise No("A value is too long", b"METADATA MAXSIZE %d" % annotations.MAX_VALUE)
    mailbox = _id(session, command.mailbox)
    folder = session.box.owner.folder
    try:
        await asyncio.to_thread(annotations.change, folder, mailbox, dict(command.entries))
    except annotations.TooMany:
        raise No("There are too many entries", b"METADATA TOOMANY") from None
    return None


async def tell(session: Session, mailbox: str, names: Sequence[str]) -> None:
    """The METADATA response of LIST's RETURN (RFC 9590)."""
    there = await _entries(session, mailbox)
    session.put(_line(session, mailbox, {name: there.get(name) for name in names}))


async def _entries(session: Session, mailbox: str) -> dict[str, bytes]:
    folder, number = session.box.owner.folder, _id(session, mailbox)
    return await asyncio.to_thread(annotations.entries, folder, number)


def _id(session: Session, mailbox: str) -> int:
    return find(session, mailbox).objectid if mailbox else annotations.BOX


def _line(session: Session, mailbox: str, found: Mapping[str, bytes | None]) -> bytes:
    name = write.mailbox(mailbox, utf8=session.utf8)
    parts = (b"%b %b" % (write.astring(one), write.nstring(value)) for one, value in found.items())
    return write.line(b"METADATA", name, write.listed(parts))
