"""GETMETADATA and SETMETADATA (RFC 5464)."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from mtad.imap import write
from mtad.imap.answer import No, Ok
from mtad.imap.commands import GetMetadata, SetMetadata
from mtad.imap.place import Place, check
from mtad.imap.reach import reach
from mtad.imap.session import Session
from mtad.store import annotations
from mtad.store.mailboxes import ANNOTATED
from mtad.store.view import Change

SHARED = "/shared/"


async def getmetadata(session: Session, command: GetMetadata) -> Ok | None:
    """RFC 5464 4.2: entries by name, and those below them as deep as asked."""
    async with _reach(session, command.mailbox, "r") as place:
        there = await _entries(session, place)
    found: dict[str, bytes | None] = {}
    longest = 0
    for name in command.entries:
        if name in there or not command.depth:
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
    async with _reach(session, command.mailbox, "r") as place:
        mine = {one: value for one, value in command.entries if not one.startswith(SHARED)}
        changes = [(place.box.owner.folder, dict(command.entries))]
        if place.reader:
            # Of another's mailbox what is private is in the client's own box, under its id.
            shared = {one: value for one, value in command.entries if one not in mine}
            changes = [(place.box.owner.folder, shared), (session.box.owner.folder, mine)]
            if shared:
                check(place.rights, "w")
        try:
            for folder, entries in changes:
                await asyncio.to_thread(annotations.change, folder, _id(place), entries)
        except annotations.TooMany:
            raise No("There are too many entries", b"METADATA TOOMANY") from None
        _announce(session, place, command, mine)
    return None


def _announce(session: Session, place: Place, command: SetMetadata, mine: Iterable[str]) -> None:
    """Tell whoever wants to hear of it by NOTIFY; of what is private only the user's sessions."""
    names = tuple(one for one, _ in command.entries)
    if place.reader:
        names = tuple(one for one in names if one.startswith(SHARED))
        private = Change(command.mailbox, what=ANNOTATED, by=session, entries=(*mine,))
        session.box.announce(private)
    if names:
        place.box.announce(Change(place.name, what=ANNOTATED, by=session, entries=names))


async def tell(session: Session, place: Place, names: Sequence[str]) -> None:
    """The METADATA response of LIST's RETURN (RFC 9590)."""
    there = await _entries(session, place)
    mailbox = place.prefix + place.name
    session.put(_line(session, mailbox, {name: there.get(name) for name in names}))


def _reach(session: Session, mailbox: str, needs: str) -> AbstractAsyncContextManager[Place]:
    """The mailbox, or the box as a whole where none is named."""
    return reach(session, mailbox, needs) if mailbox else nullcontext(Place(session.box, ""))


async def _entries(session: Session, place: Place) -> dict[str, bytes]:
    number = _id(place)
    found = await asyncio.to_thread(annotations.entries, place.box.owner.folder, number)
    if place.reader:
        own = await asyncio.to_thread(annotations.entries, session.box.owner.folder, number)
        found = {name: value for name, value in found.items() if name.startswith(SHARED)} | own
    return found


def _id(place: Place) -> int:
    return place.objectid if place.name else annotations.BOX


def _line(session: Session, mailbox: str, found: Mapping[str, bytes | None]) -> bytes:
    name = write.mailbox(mailbox, utf8=session.utf8)
    parts = (b"%b %b" % (write.astring(one), write.nstring(value)) for one, value in found.items())
    return write.line(b"METADATA", name, write.listed(parts))
