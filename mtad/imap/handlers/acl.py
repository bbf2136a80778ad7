"""Rights to mailboxes (RFC 4314): who has which, one's own, and giving them to others."""

from mtad.errors import UsageError
from mtad.imap import write
from mtad.imap.answer import Bad, No, Ok
from mtad.imap.commands import Acl, OfMailbox
from mtad.imap.handlers.chosen import who
from mtad.imap.place import Place
from mtad.imap.reach import reach
from mtad.imap.session import Session
from mtad.store import acl
from mtad.store.acl import ANYONE, AUTHENTICATED, RIGHTS, VIRTUAL

ANY = frozenset("lrikxa")
"""Who has one of these may know which they have (RFC 4314 4)."""


async def myrights(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 4314 3.5."""
    async with reach(session, command.mailbox) as place:
        place.require()
        if ANY.isdisjoint(place.rights):
            raise No("There is no such mailbox", b"NONEXISTENT")
        tell(session, command.mailbox, place.rights)
    return None


def tell(session: Session, mailbox: str, rights: str) -> None:
    """The MYRIGHTS response, also that of LIST's RETURN (RFC 8440)."""
    name = write.mailbox(mailbox, utf8=session.utf8)
    session.put(write.line(b"MYRIGHTS", name, write.astring(acl.shown(rights).encode())))


async def getacl(session: Session, command: OfMailbox) -> Ok | None:
    """RFC 4314 3.3: the owner comes first, with all rights there are."""
    async with reach(session, command.mailbox, "a") as place:
        place.require()
        found = await place.box.acl(place.name)
        said = [write.mailbox(command.mailbox, utf8=session.utf8)]
        for one, granted in ((_owner(place), RIGHTS), *sorted(found.entries.items())):
            said += [write.astring(one.encode()), write.astring(acl.shown(granted).encode())]
    session.put(write.line(b"ACL", *said))
    return None


def _owner(place: Place) -> str:
    owner: str = place.box.owner.address
    return owner


async def setacl(session: Session, command: Acl) -> Ok | None:
    """RFC 4314 3.1."""
    try:
        acl.rights(command.rights.lstrip("+-"))
    except ValueError as error:
        raise Bad(str(error)) from None
    await _share(session, command, command.rights)
    return None


async def deleteacl(session: Session, command: Acl) -> Ok | None:
    """RFC 4314 3.2: the identifier has no entry any more."""
    await _share(session, command, "")
    return None


async def _share(session: Session, command: Acl, letters: str) -> None:
    async with reach(session, command.mailbox, "a") as place:
        place.require()
        identifier = _identifier(session, command.identifier)
        try:
            await place.box.share(place.name, identifier, letters, **who(session))
        except UsageError as error:
            raise No(str(error), b"CANNOT") from None


async def listrights(session: Session, command: Acl) -> Ok | None:
    """RFC 4314 3.4: all rights may be given to anybody, each by itself; the owner has them."""
    async with reach(session, command.mailbox, "a") as place:
        place.require()
        identifier = _identifier(session, command.identifier)
        every = RIGHTS + "".join(VIRTUAL)
        said = [every] if identifier == _owner(place) else ["", *every]
        session.put(
            write.line(
                b"LISTRIGHTS",
                write.mailbox(command.mailbox, utf8=session.utf8),
                write.astring(command.identifier.encode()),
                *(write.astring(one.encode()) for one in said),
            )
        )
    return None


def _identifier(session: Session, text: str) -> str:
    """An identifier in normal form. Raises No for one that names nobody here."""
    try:
        found = acl.identifier(text)
    except ValueError:
        raise No("Name a user by an address, or say anyone", b"CANNOT") from None
    user = found.removeprefix("-")
    if user not in (ANYONE, AUTHENTICATED) and not session.service.logins.directory.is_box(user):
        raise No("There is no such user", b"CANNOT")
    return found
